//! Sources, sinks and streams that are as difficult as possible: pending before each operation, a few bytes at a time.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, SeekFrom};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

/// Completes each operation only at the second poll, and moves at most `step` bytes.
#[derive(Debug)]
pub struct Grudging<T> {
    pub inner: T,
    step: usize,
    asked: bool,
}

impl<T> Grudging<T> {
    pub fn new(inner: T, step: usize) -> Self {
        Self {
            inner,
            step,
            asked: false,
        }
    }

    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.asked = !self.asked;
        if self.asked {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Grudging<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_asked(cx));
        let mut few = vec![0; self.step.min(buf.remaining())];
        let mut space = ReadBuf::new(&mut few);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut space))?;
        buf.put_slice(space.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncSeek + Unpin> AsyncSeek for Grudging<T> {
    fn start_seek(mut self: Pin<&mut Self>, target: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.inner).start_seek(target)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        ready!(self.poll_asked(cx));
        Pin::new(&mut self.inner).poll_complete(cx)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Grudging<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_asked(cx));
        let len = buf.len().min(self.step);
        Pin::new(&mut self.inner).poll_write(cx, &buf[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_asked(cx));
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_asked(cx));
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Stream + Unpin> Stream for Grudging<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        ready!(self.poll_asked(cx));
        Pin::new(&mut self.inner).poll_next(cx)
    }
}

/// A sink whose content others can read.
#[derive(Debug, Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream of the items in a list. Polling it after its end panics, as a stream may.
#[derive(Debug)]
pub struct Items(VecDeque<io::Result<Bytes>>, bool);

impl Items {
    /// The bytes in pieces of these sizes, in turn; 0 is an empty piece.
    pub fn cut(bytes: &[u8], sizes: &[usize]) -> Self {
        let (mut rest, mut items) = (bytes, VecDeque::new());
        for &size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            items.push_back(Ok(Bytes::copy_from_slice(piece)));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        Self(items, false)
    }

    pub fn then_fail(mut self, kind: io::ErrorKind) -> Self {
        self.0.push_back(Err(kind.into()));
        self
    }
}

impl Stream for Items {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.0.pop_front();
        assert!(item.is_some() || !self.1, "polled after the end");
        self.1 = item.is_none();
        Poll::Ready(item)
    }
}

/// Everything that a stream yields until it ends or fails.
pub async fn collect(mut stream: impl Stream<Item = io::Result<Bytes>> + Unpin) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    while let Some(item) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        match item {
            Ok(bytes) => all.extend_from_slice(&bytes),
            Err(error) => return (all, Err(error)),
        }
    }
    (all, Ok(()))
}

/// Polls the future at most this many times, each time after it was woken, then drops it; returns its result.
pub fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    for polled in 0..times {
        if polled > 0 {
            // A future that is never woken is polled anyway.
            thread::park_timeout(Duration::from_millis(20));
        }
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return Some(result);
        }
    }
    None
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
