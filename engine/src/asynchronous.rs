//! Adapters for asynchronous programs: the machines of `encrypt` and `decrypt`, driven by polls.
//!
//! ```text
//! AsyncWrite -> AsyncEncryptWriter(SealMachine) -> AsyncWrite       Stream -> SealStream(SealMachine) -> Stream
//! AsyncRead  -> AsyncDecryptReader(OpenMachine) -> AsyncRead        Stream -> OpenStream(OpenMachine) -> Stream
//! ```
//!
//! Nothing here blocks. On the serial executor one poll seals or opens at most one batch: 256 KiB, or one chunk where
//! chunks are longer. With a pool the poll hands over one batch at most, and the job that ends wakes the task.
//!
//! All that a poll did is kept in the adapter, never in a future: a future may be dropped at any await. Nothing is
//! sealed twice, written twice or lost.

mod reader;
mod seek;
mod streams;
mod writer;

pub use self::reader::AsyncDecryptReader;
pub use self::streams::{OpenStream, SealStream};
pub use self::writer::AsyncEncryptWriter;
