//! Adapters for asynchronous programs: the machines of `encrypt` and `decrypt`, driven by polls.
//!
//! ```text
//! AsyncWrite -> AsyncEncryptWriter(SealMachine) -> AsyncWrite       Stream -> SealStream(SealMachine) -> Stream
//! AsyncRead  -> AsyncDecryptReader(OpenMachine) -> AsyncRead        Stream -> OpenStream(OpenMachine) -> Stream
//! ```
//!
//! Nothing here blocks. With the serial executor, one poll seals or opens at most one batch: 256 KiB, or one chunk if
//! chunks are longer. With a pool, one poll submits at most one batch, and the finished job wakes the task. So the
//! task's other work and other tasks have their turn, even if source and sink are always ready.
//!
//! All progress is kept in the adapter, never in a future, because a future may be dropped at any await. Nothing is
//! sealed twice, written twice or lost.

mod component;
mod one_shot;
mod reader;
mod seek;
mod streams;
mod writer;

use std::mem;
use std::task::{Context, Poll};

pub use self::component::{AsyncComponentWriter, ComponentSealStream};
pub use self::reader::AsyncDecryptReader;
pub use self::streams::{OpenStream, SealStream};
pub use self::writer::AsyncEncryptWriter;

/// Limits an adapter to one batch per poll of its task, which may call it repeatedly without getting `Pending`.
#[derive(Debug, Default)]
struct Turn {
    used: bool,
}

impl Turn {
    /// Records that a batch was submitted.
    const fn end(&mut self) {
        self.used = true;
    }

    const fn is_over(&self) -> bool {
        self.used
    }

    /// Pending once after each batch; the task is woken immediately.
    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<()> {
        if mem::take(&mut self.used) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
