//! A component of a composite object, sealed by an asynchronous program.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::io::AsyncWrite;

use super::one_shot::run;
use super::streams::SealStream;
use super::writer::AsyncEncryptWriter;
use crate::composite::Receipt;
use crate::composite::{NewComponent, ReceiptMaker, SealedComponent};
use crate::error::Result;

impl NewComponent {
    /// [`NewComponent::seal`] for an asynchronous program. Over 64 KiB the executor's pool seals while the task waits;
    /// on the serial executor all of it is sealed by one poll.
    ///
    /// # Errors
    /// As [`NewComponent::seal`].
    pub async fn seal_async(self, plaintext: Bytes) -> Result<SealedComponent> {
        let (executor, len) = (self.executor().clone(), plaintext.len() as u64);
        run(&executor, len, move || self.seal(&plaintext)).await
    }

    /// [`NewComponent::writer`] for an asynchronous sink. The first bytes go out with the first write.
    pub fn writer_async<W: AsyncWrite + Unpin>(self, sink: W) -> AsyncComponentWriter<W> {
        let (unsealed, receipt) = self.into_parts();
        AsyncComponentWriter {
            writer: AsyncEncryptWriter::new(unsealed, sink),
            receipt,
        }
    }

    /// Seals what `source` yields; the items are the component's bytes.
    pub fn seal_stream<S>(self, source: S) -> ComponentSealStream<S>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let (unsealed, receipt) = self.into_parts();
        ComponentSealStream {
            stream: SealStream::new(unsealed, source),
            receipt: Some(receipt),
            complete: false,
        }
    }
}

/// Seals a component that is written to it, into an asynchronous sink: an [`AsyncEncryptWriter`] that ends with a
/// receipt; needs the feature `tokio`.
#[must_use = "the component is incomplete until `finish`"]
pub struct AsyncComponentWriter<W> {
    writer: AsyncEncryptWriter<W>,
    receipt: ReceiptMaker,
}

impl<W: AsyncWrite + Unpin> AsyncComponentWriter<W> {
    /// Seals the final chunk, writes what is left and flushes the sink; returns the sink, not shut down, and the
    /// receipt.
    ///
    /// # Errors
    /// As [`AsyncEncryptWriter::finish`]. The component is incomplete.
    pub async fn finish(self) -> Result<(W, Receipt)> {
        let len = self.writer.plaintext_len();
        let sink = self.writer.finish().await?;
        Ok((sink, self.receipt.make(len)))
    }

    /// The sink.
    pub const fn get_ref(&self) -> &W {
        self.writer.get_ref()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncComponentWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_shutdown(cx)
    }
}

impl<W> fmt::Debug for AsyncComponentWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncComponentWriter").field(&self.writer).finish()
    }
}

/// Seals the buffers of a stream: a [`SealStream`] that ends with a receipt; needs the feature `tokio`.
#[must_use = "a stream does nothing until it is polled"]
pub struct ComponentSealStream<S> {
    stream: SealStream<S>,
    receipt: Option<ReceiptMaker>,
    complete: bool,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> ComponentSealStream<S> {
    /// The receipt, once; `None` before the stream has ended without an error.
    pub fn receipt(&mut self) -> Option<Receipt> {
        let maker = self.complete.then(|| self.receipt.take()).flatten();
        maker.map(|maker| maker.make(self.stream.plaintext_len()))
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for ComponentSealStream<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.stream).poll_next(cx));
        self.complete = next.is_none();
        Poll::Ready(next)
    }
}

impl<S> fmt::Debug for ComponentSealStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentSealStream").field(&self.stream).finish()
    }
}
