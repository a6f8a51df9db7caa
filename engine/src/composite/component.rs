//! Sealing one component, in the same forms as a plain object; each returns a receipt at the end.
//!
//! ```text
//! NewComponent --seal------> sealed bytes, Receipt
//!              --pipe------> a sink,       Receipt
//!              --writer----> ComponentWriter --finish--> the sink, Receipt
//!              --sealer----> ComponentSealer --finish--> ComponentRest --receipt--> Receipt      (no I/O)
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::Bytes;

use super::keys::CompositeKeys;
use super::receipt::Receipt;
use crate::buffer::new_buffer;
use crate::encrypt::{EncryptWriter, Unsealed};
use crate::error::Result;
use crate::executor::Executor;
use crate::layout::{PREFIX_LEN, SALT_LEN};
use crate::machines::{SealedRest, StreamSealer};
use crate::progress::Progress;
use crate::sealer::Sealer;

/// A component that has a salt but no chunks yet. The method that seals it consumes it. To seal the component again,
/// with the same bytes or others, call [`CompositeObject::component`](super::CompositeObject::component) again.
#[derive(Debug)]
#[must_use = "nothing is sealed yet"]
pub struct NewComponent {
    unsealed: Unsealed,
    receipt: ReceiptMaker,
}

/// A receipt without the plaintext's length.
#[derive(Debug)]
pub(crate) struct ReceiptMaker {
    keys: Arc<CompositeKeys>,
    salt: [u8; SALT_LEN],
    label: Vec<u8>,
}

impl ReceiptMaker {
    /// The receipt of a component that was sealed completely.
    pub(crate) fn make(self, plaintext_len: u64) -> Receipt {
        Receipt::new(&self.keys.receipt_key(), self.salt, plaintext_len, self.label)
    }
}

/// A sealed component in memory, with its receipt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SealedComponent {
    /// The sealed bytes.
    pub bytes: Bytes,
    /// The receipt, for the coordinator.
    pub receipt: Receipt,
}

impl NewComponent {
    pub(super) fn new(
        sealer: Sealer,
        prefix: [u8; PREFIX_LEN],
        executor: Executor,
        progress: Progress,
        keys: Arc<CompositeKeys>,
        label: Vec<u8>,
    ) -> Self {
        let salt = *prefix.first_chunk().expect("a prefix begins with the salt");
        Self {
            unsealed: Unsealed {
                start: prefix.to_vec(),
                sealer,
                executor,
                progress,
            },
            receipt: ReceiptMaker { keys, salt, label },
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Unsealed, ReceiptMaker) {
        (self.unsealed, self.receipt)
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn executor(&self) -> &Executor {
        &self.unsealed.executor
    }

    /// Seals `plaintext`.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge), [`Error::SealedWrongly`](crate::Error::SealedWrongly),
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::Forked`](crate::Error::Forked).
    pub fn seal(self, plaintext: &[u8]) -> Result<SealedComponent> {
        let len = plaintext.len() as u64;
        let mut bytes = new_buffer(self.unsealed.sealer.layout().payload_len(len)?)?;
        self.unsealed.seal_into(plaintext, &mut bytes)?;
        Ok(SealedComponent {
            bytes: bytes.into(),
            receipt: self.receipt.make(len),
        })
    }

    /// Seals `source`, read to its end, into `sink`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); as [`NewComponent::seal`].
    pub fn pipe(self, source: impl Read, sink: impl Write) -> Result<Receipt> {
        let len = self.unsealed.pipe(source, sink)?;
        Ok(self.receipt.make(len))
    }

    /// Returns a writer that seals into `sink`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the first bytes cannot be written.
    pub fn writer<W: Write>(self, sink: W) -> Result<ComponentWriter<W>> {
        Ok(ComponentWriter {
            writer: self.unsealed.writer(sink)?,
            receipt: self.receipt,
        })
    }

    /// Seals plaintext that the caller pushes.
    pub fn sealer(self) -> ComponentSealer {
        ComponentSealer {
            sealer: StreamSealer::new(self.unsealed),
            receipt: self.receipt,
        }
    }
}

/// Seals the component that is written to it: an [`EncryptWriter`] that returns a receipt.
#[must_use = "the component is incomplete until `finish`"]
pub struct ComponentWriter<W: Write> {
    writer: EncryptWriter<W>,
    receipt: ReceiptMaker,
}

impl<W: Write> ComponentWriter<W> {
    /// Seals the final chunk, writes what is left and flushes the sink; returns the sink and the receipt.
    ///
    /// # Errors
    /// As [`EncryptWriter::finish`]. The component is incomplete.
    pub fn finish(self) -> Result<(W, Receipt)> {
        let len = self.writer.plaintext_len();
        let sink = self.writer.finish()?;
        Ok((sink, self.receipt.make(len)))
    }

    /// As [`EncryptWriter::write_bytes`].
    ///
    /// # Errors
    /// As [`EncryptWriter::write_bytes`].
    pub fn write_bytes(&mut self, bytes: Bytes) -> Result<()> {
        self.writer.write_bytes(bytes)
    }

    /// The sink.
    pub const fn get_ref(&self) -> &W {
        self.writer.get_ref()
    }
}

impl<W: Write> Write for ComponentWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Write> fmt::Debug for ComponentWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentWriter").field(&self.writer).finish()
    }
}

/// Seals the plaintext that the caller pushes: a [`StreamSealer`] that returns a receipt.
#[derive(Debug)]
#[must_use = "the component is incomplete until `finish`"]
pub struct ComponentSealer {
    sealer: StreamSealer,
    receipt: ReceiptMaker,
}

impl ComponentSealer {
    /// As [`StreamSealer::push`].
    ///
    /// # Errors
    /// As [`StreamSealer::push`].
    pub fn push(&mut self, plaintext: &mut Bytes) -> Result<()> {
        self.sealer.push(plaintext)
    }

    /// As [`StreamSealer::is_full`].
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.sealer.is_full()
    }

    /// As [`StreamSealer::pull`].
    ///
    /// # Errors
    /// As [`StreamSealer::pull`].
    pub fn pull(&mut self) -> Result<Option<Bytes>> {
        self.sealer.pull()
    }

    /// Ends the plaintext. The iterator returns the rest of the component; after it has ended,
    /// [`ComponentRest::receipt`] returns the receipt.
    pub fn finish(self) -> ComponentRest {
        ComponentRest {
            len: self.sealer.plaintext_len(),
            rest: self.sealer.finish(),
            receipt: Some(self.receipt),
            complete: false,
        }
    }
}

/// The rest of a component's bytes.
#[derive(Debug)]
#[must_use = "the component is incomplete until this has ended"]
pub struct ComponentRest {
    rest: SealedRest,
    len: u64,
    receipt: Option<ReceiptMaker>,
    complete: bool,
}

impl ComponentRest {
    /// The receipt, once; `None` before the iterator has ended without an error.
    pub fn receipt(&mut self) -> Option<Receipt> {
        let maker = self.complete.then(|| self.receipt.take()).flatten();
        maker.map(|maker| maker.make(self.len))
    }
}

impl Iterator for ComponentRest {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.rest.next();
        match &next {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.receipt = None,
            None => self.complete = true,
        }
        next
    }
}

impl FusedIterator for ComponentRest {}
