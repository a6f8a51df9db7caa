//! An asynchronous writer that seals: bytes in, an object out.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Turn;
use crate::batch::Slab;
use crate::encrypt::machine::SealMachine;
use crate::encrypt::{Encryptor, NewObject, Unsealed};
use crate::error::{Error, Result};
use crate::sticky::{Guarded, Sticky};

/// Seals what is written to it and writes the object to an asynchronous sink; needs the feature `tokio`.
///
/// The object is complete only once [`AsyncEncryptWriter::finish`] or a shutdown has returned. If the writer, or the
/// future of either, is dropped before that, readers refuse the incomplete object, unless all of it had been written.
/// After an error, every call returns that error again.
///
/// A write takes at most one batch of 256 KiB. It waits only while the sink accepts nothing and the executor has as
/// many batches in progress as it works on. A flush writes complete chunks only; an incomplete chunk stays in the
/// writer.
#[must_use = "the object is incomplete until `finish` or a shutdown"]
pub struct AsyncEncryptWriter<W> {
    sink: W,
    machine: SealMachine,
    /// The bytes to write next, of which `written` bytes have been written. Kept here, so that an abandoned write is
    /// neither lost nor repeated.
    out: Slab,
    written: usize,
    turn: Turn,
    /// Whether the sink has been shut down.
    shut: bool,
}

impl Encryptor {
    /// [`Encryptor::writer`] for an asynchronous sink. Awaits the key; the first write also writes the header.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::writer_async`].
    pub async fn writer_async<W: AsyncWrite + Unpin>(&self, sink: W) -> Result<AsyncEncryptWriter<W>> {
        self.begin_async().await?.writer_async(sink)
    }
}

impl NewObject {
    /// [`NewObject::writer`] for an asynchronous sink. The first write also writes the header.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`].
    pub fn writer_async<W: AsyncWrite + Unpin>(self, sink: W) -> Result<AsyncEncryptWriter<W>> {
        Ok(AsyncEncryptWriter::new(self.unsealed()?, sink))
    }
}

impl<W: AsyncWrite + Unpin> AsyncEncryptWriter<W> {
    pub(super) fn new(unsealed: Unsealed, sink: W) -> Self {
        let mut out = Slab::default();
        out.append(&unsealed.start);
        Self {
            sink,
            machine: SealMachine::new(unsealed),
            out,
            written: 0,
            turn: Turn::default(),
            shut: false,
        }
    }

    /// Bytes of plaintext that were written so far.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.machine.plaintext_len()
    }

    /// Seals the final chunk, writes the remaining bytes and flushes the sink; returns the sink, without shutting it
    /// down.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ObjectTooLarge`], or the error that an earlier call returned. The object is then
    /// incomplete.
    pub async fn finish(mut self) -> Result<W> {
        poll_fn(|cx| self.poll_guarded(|this| this.poll_end(cx))).await?;
        poll_fn(|cx| Pin::new(&mut self.sink).poll_flush(cx))
            .await
            .map_err(Error::io("writing the output"))?;
        Ok(self.sink)
    }

    /// The sink.
    pub const fn get_ref(&self) -> &W {
        &self.sink
    }

    /// The sink. Bytes written to it directly end up between chunks and corrupt the object.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Takes bytes from the front of `buf`; returns their number.
    fn poll_push(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        // Sealed bytes are written as far as the sink accepts them; waiting for it is needed only when there is no
        // room.
        match self.poll_drain(cx) {
            Poll::Pending if self.machine.is_full() => return Poll::Pending,
            written => drop(written?),
        }
        ready!(self.turn.poll_next(cx));
        let mut rest = buf;
        if self.machine.push(&mut rest)? {
            self.turn.end();
        }
        Poll::Ready(Ok(buf.len() - rest.len()))
    }

    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(cx))?;
        if self.machine.push_complete()? {
            self.turn.end();
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.sink)
            .poll_flush(cx)
            .map_err(Error::io("writing the output"))
    }

    /// Seals the final chunk and writes everything.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(cx))?;
        self.machine.finish()?;
        self.poll_drain(cx)
    }

    /// Shutting down also flushes. A flush before it would start over at each poll, and the shutdown might never be
    /// reached.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.shut {
            ready!(self.poll_end(cx))?;
            ready!(Pin::new(&mut self.sink).poll_shutdown(cx)).map_err(Error::io("writing the output"))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until a batch can be sealed, then waits for the task's next turn.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.machine.is_full() {
            ready!(self.poll_write_next(cx))?;
        }
        self.turn.poll_next(cx).map(Ok)
    }

    /// Writes everything that was submitted.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while ready!(self.poll_write_next(cx))? {}
        Poll::Ready(Ok(()))
    }

    /// Writes the rest of `out`, then moves the oldest batch there; `false` if there is none.
    fn poll_write_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let count =
                ready!(Pin::new(&mut self.sink).poll_write(cx, rest)).map_err(Error::io("writing the output"))?;
            if count == 0 {
                let nothing = io::ErrorKind::WriteZero.into();
                return Poll::Ready(Err(Error::from_io("writing the output", nothing)));
            }
            self.written += count;
        }
        let Some(sealed) = ready!(self.machine.poll_next(cx))? else {
            return Poll::Ready(Ok(false));
        };
        self.machine.give_back(mem::replace(&mut self.out, sealed));
        self.written = 0;
        Poll::Ready(Ok(true))
    }
}

impl<W> Guarded for AsyncEncryptWriter<W> {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncEncryptWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.machine.is_finished() && this.machine.failure().is_none() {
            let after = "cannot write after the writer was shut down";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, after)));
        }
        this.poll_guarded(|this| this.poll_push(cx, buf)).map_err(Into::into)
    }

    /// Writes every complete chunk and flushes the sink.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_guarded(|this| this.poll_pass_on(cx))
            .map_err(Into::into)
    }

    /// Seals the final chunk, writes the remaining bytes and shuts the sink down: the object is then complete.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_guarded(|this| this.poll_shut(cx))
            .map_err(Into::into)
    }
}

impl<W> fmt::Debug for AsyncEncryptWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncEncryptWriter")
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}
