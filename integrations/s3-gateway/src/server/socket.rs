//! A socket that does not wait for its client forever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Fails what stays pending for too long without a break.
pub(super) struct Stall {
    patience: Duration,
    /// Made when it is first needed: most bodies are never waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Stall {
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            patience,
            timer: None,
            waits: false,
        }
    }

    /// Passes on what is ready; fails once it has been pending for too long.
    pub(super) fn watch<T>(&mut self, polled: Poll<T>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if let Poll::Ready(ready) = polled {
            self.waits = false;
            return Poll::Ready(Ok(ready));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if !self.waits {
            timer.as_mut().reset(Instant::now() + self.patience);
            self.waits = true;
        }
        timer.as_mut().poll(context).map(|()| {
            let message = "the client has neither sent nor taken a byte for too long";
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }
}

/// A socket whose writes fail if the client takes nothing for too long. How long it takes for a whole response does not
/// matter. Reads wait: what they wait for, hyper and the request's body know.
pub(super) struct Socket {
    stream: TcpStream,
    stall: Stall,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            stall: Stall::new(patience),
        }
    }

    fn watch<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.stall
            .watch(polled, context)
            .map(|result| result.and_then(|inner| inner))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
