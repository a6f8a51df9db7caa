//! A component of a composite object, sealed by an asynchronous program.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::one_shot::run;
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
