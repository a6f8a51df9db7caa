//! Streams of buffers, as HTTP and storage clients use them for bodies.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::Turn;
use super::reader::AsyncDecryptReader;
use crate::decrypt::Decryptor;
use crate::encrypt::machine::SealMachine;
use crate::encrypt::{Encryptor, NewObject, Unsealed};
use crate::error::{Error, Result};
use crate::range::RangeOpener;
use crate::sticky::{Guarded, Sticky};
use crate::unlocked::Unlocked;

/// Seals the buffers of a stream; needs the feature `tokio`.
///
/// Its items are the bytes before the first chunk and then batches of 256 KiB, the last one shorter. It ends after the
/// final chunk, once `source` has ended. An error of `source` does not end the object: every later poll returns the
/// error again.
#[must_use = "a stream does nothing until it is polled"]
pub struct SealStream<S> {
    source: S,
    /// The bytes before the first chunk.
    start: Bytes,
    /// The rest of the last item of `source`.
    input: Bytes,
    machine: SealMachine,
    turn: Turn,
}

impl Encryptor {
    /// Seals what `source` yields; the items are the object's bytes, header first. Awaits the key.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::seal_stream`].
    pub async fn seal_stream<S>(&self, source: S) -> Result<SealStream<S>>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        self.begin_async().await?.seal_stream(source)
    }
}

impl NewObject {
    /// Seals what `source` yields; the items are the object's bytes.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`].
    pub fn seal_stream<S>(self, source: S) -> Result<SealStream<S>>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        Ok(SealStream::new(self.unsealed()?, source))
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> SealStream<S> {
    pub(super) fn new(mut unsealed: Unsealed, source: S) -> Self {
        Self {
            source,
            start: mem::take(&mut unsealed.start).into(),
            input: Bytes::new(),
            machine: SealMachine::new(unsealed),
            turn: Turn::default(),
        }
    }

    /// The number of plaintext bytes sealed so far.
    pub(super) const fn plaintext_len(&self) -> u64 {
        self.machine.plaintext_len()
    }

    fn poll_sealed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if !self.start.is_empty() {
            return Poll::Ready(Ok(Some(mem::take(&mut self.start))));
        }
        let _ = self.poll_feed(cx)?;
        match self.machine.poll_next(cx)? {
            Poll::Ready(Some(sealed)) => Poll::Ready(Ok(Some(sealed.into_bytes(0)))),
            Poll::Ready(None) if self.machine.is_finished() => Poll::Ready(Ok(None)),
            _ => {
                // The source may have more, and the pool should be kept busy.
                let _ = self.turn.poll_next(cx);
                Poll::Pending
            }
        }
    }

    const fn wants_input(&self) -> bool {
        !self.machine.is_finished() && !self.machine.is_full()
    }

    /// Takes bytes from the source until one batch is submitted, if there is room for one.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.wants_input() && self.turn.is_over() {
            return Poll::Pending;
        }
        while self.wants_input() {
            if self.input.is_empty() {
                match ready!(Pin::new(&mut self.source).poll_next(cx)) {
                    Some(item) => self.input = item.map_err(Error::io("reading the input"))?,
                    None => return Poll::Ready(self.machine.finish()),
                }
            }
            if self.machine.push_bytes(&mut self.input)? {
                self.turn.end();
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Guarded for SealStream<S> {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for SealStream<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let sealed = ready!(this.poll_guarded(|this| this.poll_sealed(cx)));
        Poll::Ready(sealed.map_err(Into::into).transpose())
    }
}

impl<S> fmt::Debug for SealStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealStream")
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}

/// Opens the buffers of a stream; needs the feature `tokio`.
///
/// Its items are verified plaintext, and it ends once the final chunk has been verified. Any other end is an error,
/// which every later poll returns again, so a consumer that ignores errors never sees an end.
#[must_use = "a stream does nothing until it is polled"]
pub struct OpenStream<S>(AsyncDecryptReader<Source<S>>);

impl Decryptor {
    /// Opens the object that `source` yields, header first. Awaits the header and the key.
    ///
    /// # Errors
    /// As [`Decryptor::reader`].
    pub async fn open_stream<S>(&self, source: S) -> Result<OpenStream<S>>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        self.reader_async(Source::new(source)).await.map(OpenStream)
    }
}

impl Unlocked {
    /// Opens a payload. `payload` yields the bytes after an attached header.
    ///
    /// # Errors
    /// As [`Unlocked::reader`].
    pub async fn open_stream<S>(&self, payload: S) -> Result<OpenStream<S>>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        self.reader_async(Source::new(payload)).await.map(OpenStream)
    }
}

impl RangeOpener {
    /// Returns a stream of the range's plaintext. `ciphertext` yields the bytes of [`RangeOpener::ciphertext_range`];
    /// bytes after them are not read.
    pub fn open_stream<S>(&self, ciphertext: S) -> OpenStream<S>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let source = Source::new(ciphertext);
        OpenStream(AsyncDecryptReader::driving(
            self.machine(),
            source,
            self.unlocked().clone(),
        ))
    }

    /// [`RangeOpener::reader`] for an asynchronous source.
    pub fn reader_async<R: AsyncRead + Unpin>(&self, ciphertext: R) -> impl AsyncBufRead + Unpin + use<R> {
        AsyncDecryptReader::driving(self.machine(), ciphertext, self.unlocked().clone())
    }
}

impl<S> OpenStream<S> {
    /// The object being read.
    pub const fn unlocked(&self) -> &Unlocked {
        self.0.unlocked()
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for OpenStream<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let opened = ready!(self.get_mut().0.poll_bytes(cx));
        Poll::Ready(opened.map_err(Into::into).transpose())
    }
}

impl<S> fmt::Debug for OpenStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenStream").field(&self.0).finish()
    }
}

/// The buffers of a stream as one source.
struct Source<S> {
    stream: S,
    /// The rest of the last item.
    input: Bytes,
    /// Whether the stream has ended and must not be polled again.
    ended: bool,
}

impl<S> Source<S> {
    const fn new(stream: S) -> Self {
        Self {
            stream,
            input: Bytes::new(),
            ended: false,
        }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> AsyncRead for Source<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An empty buffer is not the end.
        while this.input.is_empty() && !this.ended {
            match ready!(Pin::new(&mut this.stream).poll_next(cx)) {
                Some(item) => this.input = item?,
                None => this.ended = true,
            }
        }
        let len = this.input.len().min(buf.remaining());
        buf.put_slice(&this.input.split_to(len));
        Poll::Ready(Ok(()))
    }
}
