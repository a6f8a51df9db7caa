//! Bodies that count their bytes, and do not wait for a client forever.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use s3s::StdError;
use tokio::time::timeout;

use super::Limits;
use super::exchange::{Exchange, Record};
use super::socket::Stall;

/// The body of a request.
pub(super) struct RequestBody {
    /// `None` after its end.
    incoming: Option<Incoming>,
    record: Arc<Record>,
    stall: Stall,
    /// How long the client may send without a signature that is valid.
    unverified: Duration,
    /// Whether the client sends the body only if it is asked for it.
    asks_first: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, record: Arc<Record>, limits: Limits, asks_first: bool) -> Self {
        Self {
            incoming: Some(incoming),
            record,
            stall: Stall::new(limits.stall_timeout),
            unverified: limits.idle_timeout,
            asks_first,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        // A client that is always just quick enough would have its place among the requests as long as it likes.
        if this.record.is_unverified_for(this.unverified) {
            this.incoming = None;
            let message = "the request has shown no valid signature in time";
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message))));
        }
        let polled = Pin::new(incoming).poll_frame(context);
        Poll::Ready(match ready!(this.stall.watch(polled, context)) {
            Ok(Some(Ok(frame))) => {
                this.asks_first = false;
                this.record.received(frame.data_ref().map_or(0, Bytes::len));
                Some(Ok(frame))
            }
            Ok(Some(Err(error))) => {
                this.incoming = None;
                Some(Err(io::Error::other(error)))
            }
            Ok(None) => {
                this.incoming = None;
                None
            }
            Err(stalled) => {
                this.incoming = None;
                Some(Err(stalled))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// How much of a body that nobody wants is read and discarded.
const DISCARD_LIMIT: u64 = 8 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Closing a socket with unread bytes resets the connection, and the response may be lost: a refused upload would look
/// like a broken network. So its sender may send some more while the response is on its way.
impl Drop for RequestBody {
    fn drop(&mut self) {
        let rest = self.incoming.take().filter(|rest| !rest.is_end_stream());
        let Some(rest) = rest.filter(|_| !self.asks_first) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(DISCARD_TIMEOUT, discard(rest)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = DISCARD_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        let len = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(len) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The body of a response. An error closes the connection.
pub(super) struct ResponseBody {
    body: s3s::Body,
    exchange: Exchange,
}

impl ResponseBody {
    pub(super) const fn new(body: s3s::Body, exchange: Exchange) -> Self {
        Self { body, exchange }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => this.exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) => this.exchange.failed(&**error),
            None => this.exchange.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}
