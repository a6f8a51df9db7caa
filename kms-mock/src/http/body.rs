//! The body of an answer: whole, or truncated on purpose.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::Hangup;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Body {
    /// The bytes left to send.
    bytes: Bytes,
    /// The length that the head announces.
    promised: u64,
    /// hyper has had a chance to write the sent bytes to the socket.
    flushed: bool,
}

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let promised = bytes.len() as u64;
        Self {
            bytes,
            promised,
            flushed: true,
        }
    }

    /// Announces the whole body, sends half of it, and then closes the connection.
    pub(crate) fn truncated(self) -> Self {
        let half = self.bytes.len() / 2;
        // An empty body cannot be cut: announce one byte.
        Self {
            bytes: self.bytes.slice(..half),
            promised: self.promised.max(1),
            flushed: false,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Hangup;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.promised -= bytes.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.promised == 0 {
            return Poll::Ready(None);
        }
        // hyper flushes when the body is pending, and does not after an error.
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Hangup)))
    }

    fn is_end_stream(&self) -> bool {
        self.promised == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}
