//! Bytes on their way to the store and from it, one way and once, and how long the store may take for them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream as SdkStream, SdkBody};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BackendError;
use super::errors::reason;
use crate::backend::{Body, ByteStream};

/// Bodies up to this many bytes are read before the request is sent, which can then be sent again.
const SMALL: u64 = 64 << 10;

/// A body to send, and what is known of its progress.
pub(super) struct Upload {
    pub(super) bytes: SdkStream,
    /// Of bytes that stream.
    pub(super) progress: Option<Arc<Progress>>,
}

/// Makes the body of a request. Nothing more than `SMALL` bytes is ever in memory as a whole.
pub(super) async fn upload(body: Body) -> Result<Upload, BackendError> {
    if body.len <= SMALL {
        let bytes = collected(body).await?;
        return Ok(Upload {
            bytes: bytes.into(),
            progress: None,
        });
    }
    let progress = Arc::new(Progress::default());
    let streamed = Streamed {
        bytes: Mutex::new(body.bytes),
        left: body.len,
        last: None,
        progress: Arc::clone(&progress),
    };
    Ok(Upload {
        bytes: SdkStream::new(SdkBody::from_body_1_x(streamed)),
        progress: Some(progress),
    })
}

async fn collected(mut body: Body) -> Result<Bytes, BackendError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.bytes.next().await {
        let piece = piece.map_err(BackendError::Body)?;
        if (bytes.len() + piece.len()) as u64 > body.len {
            return Err(BackendError::Body(too_long()));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() as u64 != body.len {
        return Err(BackendError::Body(too_short()));
    }
    Ok(bytes.freeze())
}

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the bytes end before the declared length")
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the bytes go on after the declared length")
}

/// How far a streamed body is.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since when the store has been waited for; `None` while the gateway's client is.
    waiting: Option<Instant>,
    complete: bool,
    failed: Option<io::Error>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: Some(Instant::now()),
            complete: false,
            failed: None,
        }))
    }
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request to its end, unless the store does nothing for this long.
    pub(super) async fn watch<T>(
        &self,
        idle: Duration,
        request: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        tokio::pin!(request);
        let mut deadline = Instant::now() + idle;
        let result = loop {
            tokio::select! {
                result = &mut request => break result,
                () = sleep_until(deadline) => match self.state().waiting {
                    Some(since) if since + idle <= Instant::now() => return Err(idled(idle)),
                    since => deadline = since.unwrap_or_else(Instant::now) + idle,
                },
            }
        };
        let mut state = self.state();
        match state.failed.take() {
            Some(error) => Err(BackendError::Body(error)),
            None if result.is_ok() && !state.complete => {
                Err(BackendError::Other("it responded before it had all bytes".into()))
            }
            None => result,
        }
    }
}

fn idled(idle: Duration) -> BackendError {
    BackendError::Unavailable(format!("it did nothing for {idle:?}"))
}

/// Limits the time of a request whose body is sent at once.
pub(super) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    tokio::time::timeout(limit, request)
        .await
        .unwrap_or_else(|_| Err(idled(limit)))
}

/// The body of an HTTP request: exactly as many bytes as were declared, or an error before the last of them.
struct Streamed {
    /// For `Sync`, which the client asks for. It is never locked.
    bytes: Mutex<ByteStream>,
    /// Not yet read.
    left: u64,
    /// Read, but withheld until the stream has ended there.
    last: Option<Bytes>,
    progress: Arc<Progress>,
}

impl Streamed {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let stream = self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
            let piece = match ready!(stream.as_mut().poll_next(cx)) {
                None if self.left > 0 => return Poll::Ready(Err(too_short())),
                None => return Poll::Ready(Ok(self.last.take())),
                Some(piece) => piece?,
            };
            if piece.is_empty() {
                continue;
            }
            self.left = match self.left.checked_sub(piece.len() as u64) {
                None => return Poll::Ready(Err(too_long())),
                Some(left) => left,
            };
            if self.left > 0 {
                return Poll::Ready(Ok(Some(piece)));
            }
            self.last = Some(piece);
        }
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.is_end_stream() {
            return Poll::Ready(None);
        }
        let polled = this.poll_bytes(cx);
        let mut state = this.progress.state();
        state.waiting = match polled {
            Poll::Pending => None,
            Poll::Ready(_) => Some(Instant::now()),
        };
        match ready!(polled) {
            Ok(Some(piece)) => {
                state.complete = this.left == 0;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Ok(None) => Poll::Ready(None),
            Err(error) => {
                let kind = error.kind();
                state.failed = Some(error);
                Poll::Ready(Some(Err(kind.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + self.last.as_ref().map_or(0, |last| last.len() as u64))
    }
}

/// The body of a response, which must have this many bytes.
pub(super) fn download(bytes: SdkStream, len: u64, idle: Duration) -> ByteStream {
    Download {
        bytes,
        left: len,
        idle,
        deadline: None,
    }
    .boxed()
}

struct Download {
    bytes: SdkStream,
    left: u64,
    idle: Duration,
    /// While the store is waited for: a client that does not ask for more keeps nothing waiting.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Stream for Download {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Poll::Ready(piece) = Pin::new(&mut this.bytes).poll_next(cx) else {
            let deadline = this
                .deadline
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(this.idle)));
            ready!(deadline.as_mut().poll(cx));
            let message = format!("the store sent nothing for {:?}", this.idle);
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message))));
        };
        this.deadline = None;
        Poll::Ready(match piece {
            None if this.left > 0 => Some(Err(truncated(this.left))),
            None => None,
            Some(Err(error)) => Some(Err(io::Error::other(reason(&error)))),
            Some(Ok(piece)) => match this.left.checked_sub(piece.len() as u64) {
                None => Some(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the store sent more bytes than it declared",
                ))),
                Some(left) => {
                    this.left = left;
                    Some(Ok(piece))
                }
            },
        })
    }
}

fn truncated(left: u64) -> io::Error {
    let message = format!("the store's response ended {left} bytes early");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
