//! An asynchronous reader that opens: an object in, verified plaintext out.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::Turn;
use super::seek::Seeking;
use crate::decrypt::machine::OpenMachine;
use crate::decrypt::{Decryptor, START_LEN, check_prefix};
use crate::error::{Error, Result};
use crate::header::ObjectHeader;
use crate::layout::PREFIX_LEN;
use crate::sticky::{Guarded, Sticky};
use crate::unlocked::Unlocked;

/// Reads an object's plaintext from an asynchronous source; needs the feature `tokio`.
///
/// Every byte that it returns has been verified, and at end of file so has the final chunk. Until then a consumer has
/// only a verified beginning, which must not be treated as the whole plaintext. After an error, every call returns that
/// error again. An abandoned read loses no byte: the next read returns it.
///
/// Each chunk is returned as soon as the source has provided it. With a pool, several batches of 256 KiB are read
/// ahead.
///
/// It seeks in the plaintext if the source seeks and the object begins at the source's offset 0. The first seek opens
/// the final chunk. The next call finishes an abandoned seek.
pub struct AsyncDecryptReader<R> {
    pub(super) source: R,
    unlocked: Unlocked,
    pub(super) machine: OpenMachine,
    pub(super) seeking: Option<Seeking<R>>,
    turn: Turn,
}

impl Decryptor {
    /// [`Decryptor::reader`] for an asynchronous source. Awaits the header and the key. If this future is dropped, the
    /// bytes that it has read from the source are lost.
    ///
    /// # Errors
    /// As [`Decryptor::reader`].
    pub async fn reader_async<R: AsyncRead + Unpin>(&self, mut source: R) -> Result<AsyncDecryptReader<R>> {
        let mut start = vec![0; START_LEN];
        let len = read_full(&mut source, &mut start).await?;
        let header = ObjectHeader::parse(&start[..len])?;
        header.check_complete()?;
        header.check_streamable()?;
        let unlocked = self.unlock_async(header).await?;
        unlocked.check_streamable()?;
        Ok(AsyncDecryptReader::driving(
            OpenMachine::new(&unlocked),
            source,
            unlocked,
        ))
    }
}

impl Unlocked {
    /// [`Unlocked::reader`] for an asynchronous source. If this future is dropped, the bytes that it has read are lost.
    ///
    /// # Errors
    /// As [`Unlocked::reader`].
    pub async fn reader_async<R: AsyncRead + Unpin>(&self, mut payload: R) -> Result<AsyncDecryptReader<R>> {
        self.check_streamable()?;
        let mut prefix = [0; PREFIX_LEN];
        let have = read_full(&mut payload, &mut prefix).await?;
        check_prefix(self.header(), &prefix[..have])?;
        Ok(AsyncDecryptReader::driving(
            OpenMachine::new(self),
            payload,
            self.clone(),
        ))
    }
}

impl<R> AsyncDecryptReader<R> {
    pub(super) fn driving(machine: OpenMachine, source: R, unlocked: Unlocked) -> Self {
        Self {
            source,
            unlocked,
            machine,
            seeking: None,
            turn: Turn::default(),
        }
    }

    /// The object being read.
    pub const fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The source.
    pub const fn get_ref(&self) -> &R {
        &self.source
    }

    /// The source. Bytes read from it directly are missing from the object.
    pub const fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Returns the source. Plaintext that was verified but not read is dropped.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The plaintext offset of the next byte: without seeking, the number of verified bytes returned.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.machine.position()
    }
}

impl<R> Guarded for AsyncDecryptReader<R> {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl<R: AsyncRead + Unpin> AsyncDecryptReader<R> {
    /// Returns the next verified plaintext, without a copy; `None` at the verified end.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let more = ready!(self.poll_guarded(|this| this.poll_fill(cx)))?;
        Poll::Ready(Ok(more.then(|| self.machine.take_bytes())))
    }

    /// Makes plaintext available; `false` at the verified end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        if let Some(seeking) = &self.seeking {
            let poll = seeking.poll;
            ready!(poll(self, cx))?;
        }
        while !self.machine.has_plaintext()? {
            let read = self.poll_batch(cx)?;
            let next = if read.is_pending() && self.machine.is_idle() {
                Poll::Pending
            } else {
                self.machine.poll_next(cx)?
            };
            if next.is_pending() {
                // The source may have more, and the pool should be kept busy.
                let _ = self.turn.poll_next(cx);
            }
            if !ready!(next) {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Reads until one batch is submitted, if one is wanted. Bytes read so far are kept.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.machine.wants_input() && self.turn.is_over() {
            return Poll::Pending;
        }
        while self.machine.wants_input() {
            let mut space = ReadBuf::new(self.machine.space());
            let Poll::Ready(read) = Pin::new(&mut self.source).poll_read(cx, &mut space) else {
                if self.machine.starved()? {
                    self.turn.end();
                }
                return Poll::Pending;
            };
            read.map_err(Error::io("reading the input"))?;
            let count = space.filled().len();
            if self.machine.filled(count)? {
                self.turn.end();
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncDecryptReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let this = self.get_mut();
        ready!(this.poll_guarded(|this| this.poll_fill(cx)))?;
        let available = this.machine.available();
        let len = available.len().min(buf.remaining());
        buf.put_slice(&available[..len]);
        this.machine.consume(len);
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for AsyncDecryptReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_guarded(|this| this.poll_fill(cx)))?;
        Poll::Ready(Ok(this.machine.available()))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().machine.consume(amount);
    }
}

impl<R> fmt::Debug for AsyncDecryptReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncDecryptReader")
            .field("position", &self.position())
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}

/// Fills as much of `buffer` as the source has; returns the number of bytes.
async fn read_full(source: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = ReadBuf::new(&mut buffer[filled..]);
        poll_fn(|cx| Pin::new(&mut *source).poll_read(cx, &mut space))
            .await
            .map_err(Error::io("reading the input"))?;
        match space.filled().len() {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
