//! A composite object while it is being sealed: begun once, completed once.
//!
//! ```text
//! begin_composite --> CompositeObject: header final, commitment     (sent to the sealers, over a channel they trust)
//!     component(label) --> NewComponent --> sealed bytes, Receipt   (any order, any process, again and again)
//!     complete(receipts in the object's order) --> the payload's last bytes
//! ```

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::component::NewComponent;
use super::keys::CompositeKeys;
use super::manifest::Manifest;
use super::receipt::{Receipt, check_label};
use crate::buffer::buffer_len;
use crate::chunker::{Span, Spans};
use crate::encrypt::Encryptor;
use crate::error::{CompositeError, Result};
use crate::executor::Executor;
use crate::header::{Header, PayloadKind, Purpose};
use crate::layout::COMMITMENT_LEN;
use crate::progress::Progress;
use crate::secret::random_array;
use crate::unlocked::Unlocked;

/// Whether a composite payload is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Padding {
    /// No padding.
    #[default]
    None,
    /// Zeros up to [`padded_len`](super::padded_len), so that a store's listing reveals the plaintext's length. All
    /// components but the last must have at least 5 MiB of plaintext.
    PlaintextLength,
}

impl Padding {
    const fn kind(self) -> PayloadKind {
        match self {
            Self::None => PayloadKind::Composite,
            Self::PlaintextLength => PayloadKind::PaddedComposite,
        }
    }
}

/// A composite object that is being sealed, by one process or several, in any order.
///
/// The header is final from the start. Each sealing of a component has a fresh random salt, so a component can be
/// sealed again, with the same bytes or others; [`CompositeObject::complete`] names the sealings that count.
///
/// A header that is read from storage may have been replaced by that of an object whose key the attacker knows. A
/// sealer must receive the object's commitment over a trusted channel: see [`Unlocked::composite`].
#[derive(Debug, Clone)]
pub struct CompositeObject {
    header: Arc<Header>,
    keys: Arc<CompositeKeys>,
    executor: Executor,
    progress: Progress,
    verify_writes: bool,
}

impl Encryptor {
    /// Begins a composite object: generates and wraps a data key. This form blocks the caller's thread.
    ///
    /// # Errors
    /// As [`Encryptor::begin`].
    pub fn begin_composite(&self, padding: Padding) -> Result<CompositeObject> {
        pollster::block_on(self.begin_composite_async(padding))
    }

    /// Begins a composite object: generates and wraps a data key.
    ///
    /// # Errors
    /// As [`Encryptor::begin_async`].
    pub async fn begin_composite_async(&self, padding: Padding) -> Result<CompositeObject> {
        let (header, data_key) = self.begin_header(padding.kind()).await?;
        let keys = CompositeKeys::new(data_key, header.core(), self.backend());
        Ok(CompositeObject {
            header: Arc::new(header),
            keys: Arc::new(keys),
            executor: self.executor().clone(),
            progress: self.progress().clone(),
            verify_writes: self.verifies_writes(),
        })
    }
}

impl Unlocked {
    /// Continues a composite object that was begun elsewhere: seals components of it, or completes it.
    ///
    /// `commitment` is the value that [`CompositeObject::commitment`] returned where the object was begun. It must come
    /// over a channel that storage cannot write to, such as a job description or an upload id. Otherwise storage could
    /// replace the header by one whose data key it knows. The commitment of the header at hand proves nothing: never pass
    /// `unlocked.header().commitment()`.
    ///
    /// # Errors
    /// [`CompositeError::NotComposite`]; [`CompositeError::HeaderExchanged`] if the header has another commitment;
    /// [`CompositeError::Completed`].
    pub fn composite(&self, commitment: &[u8; COMMITMENT_LEN]) -> Result<CompositeObject> {
        let keys = self.composite_keys().ok_or(CompositeError::NotComposite)?;
        if self.manifest().is_some() || keys.is_completed() {
            return Err(CompositeError::Completed.into());
        }
        if !bool::from(self.header().commitment().ct_eq(commitment)) {
            return Err(CompositeError::HeaderExchanged.into());
        }
        Ok(CompositeObject {
            header: Arc::new(self.header().clone()),
            keys: keys.clone(),
            executor: self.executor().clone(),
            progress: self.progress().clone(),
            verify_writes: false,
        })
    }
}

impl CompositeObject {
    /// Sets where chunks are sealed; by default, where the encryptor seals them or the unlocked object's are opened.
    #[must_use]
    pub fn with_executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Sets the [`Progress`] that counts plaintext bytes and can cancel operations; by default, the encryptor's or the
    /// unlocked object's.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// As [`Encryptor::with_verify_writes`].
    #[must_use]
    pub const fn with_verify_writes(mut self, verify: bool) -> Self {
        self.verify_writes = verify;
        self
    }

    /// The header. It is final: store it before the components, or apart from them. Encode it before components are
    /// sealed: a header with many keys or a long context may not fit the form that it is stored in.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's commitment, to be sent to sealers in other processes over a trusted channel.
    #[must_use]
    pub fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        self.header.commitment()
    }

    /// Begins one sealing of a component, under a fresh salt. `label` identifies the part, for example by its number.
    /// The receipt carries it; the object does not store it.
    ///
    /// # Errors
    /// [`CompositeError::InvalidReceipt`] for a label over 65,535 bytes; [`CompositeError::Completed`];
    /// [`Error::Random`](crate::Error::Random).
    pub fn component(&self, label: &[u8]) -> Result<NewComponent> {
        self.check_open()?;
        check_label(label)?;
        // The only place where a component's salt is chosen: two sealings must not share a key.
        let salt = random_array()?;
        let (sealer, prefix) = self.keys.sealer(Purpose::Component, &salt, self.verify_writes);
        Ok(NewComponent::new(
            sealer,
            prefix,
            self.executor.clone(),
            self.progress.clone(),
            self.keys.clone(),
            label.to_vec(),
        ))
    }

    /// Completes the object: seals the manifest and returns the payload's last bytes, which follow the last component:
    /// padding, manifest, and the manifest's length. `components` lists, in the object's order, the expected label and
    /// the receipt of each component. `note`, at most 256 bytes, is sealed with them.
    ///
    /// An object is completed once. Afterwards this value, its clones, and whatever was made of the same [`Unlocked`] or
    /// its clones seal nothing more. Callers must ensure the same for those who unlock the header again, in this process
    /// or another: a second completion with other components would make a second object under the same header, and
    /// storage could present either. Never use this for appending.
    ///
    /// # Errors
    /// [`CompositeError::Completed`], [`CompositeError::ReceiptAltered`], [`CompositeError::ReceiptOfAnotherPart`],
    /// [`CompositeError::Duplicate`],
    /// [`CompositeError::ComponentCount`], [`CompositeError::NoteTooLong`], [`CompositeError::ComponentTooShort`],
    /// [`CompositeError::NoRoomForManifest`], [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge),
    /// [`Error::Random`](crate::Error::Random).
    pub fn complete<L: AsRef<[u8]>>(&self, components: &[(L, Receipt)], note: &[u8]) -> Result<CompositeEnd> {
        self.check_open()?;
        let receipt_key = self.keys.receipt_key();
        let mut sealings = Vec::with_capacity(components.len());
        for (component, (label, receipt)) in components.iter().enumerate() {
            if !receipt.verifies(&receipt_key) {
                return Err(CompositeError::ReceiptAltered { component }.into());
            }
            if receipt.label() != label.as_ref() {
                return Err(CompositeError::ReceiptOfAnotherPart { component }.into());
            }
            sealings.push((*receipt.salt(), receipt.plaintext_len()));
        }
        let manifest = Manifest::new(self.keys.core(), &sealings, note)?;
        let bytes = self.seal_end(&manifest)?;
        if self.keys.complete() {
            // Another thread completed it first: what was sealed here is dropped.
            return Err(CompositeError::Completed.into());
        }
        Ok(CompositeEnd {
            bytes,
            plaintext_len: manifest.plaintext_len(),
            payload_len: manifest.payload_len(),
        })
    }

    /// # Errors
    /// [`CompositeError::Completed`].
    fn check_open(&self) -> Result<()> {
        if self.keys.is_completed() {
            return Err(CompositeError::Completed.into());
        }
        Ok(())
    }

    /// Padding, manifest and length. The manifest has its own salt, so even a second completion repeats no nonce.
    fn seal_end(&self, manifest: &Manifest) -> Result<Vec<u8>> {
        let (sealer, prefix) = self
            .keys
            .sealer(Purpose::Manifest, &random_array()?, self.verify_writes);
        let plain = manifest.encode();
        let padding = manifest.padding();
        let sealed = manifest.sealed_range();
        let mut end = vec![0; buffer_len(padding.end - padding.start)?];
        end.extend_from_slice(&prefix);
        let chunks_start = end.len();
        let sealed_len = buffer_len(sealed.end - sealed.start)?;
        end.resize(chunks_start + sealed_len - prefix.len(), 0);
        let spans = Spans::all(sealer.layout(), plain.len() as u64)?;
        for (span, plain, out) in spans.share(&plain, &mut end[chunks_start..], Span::seal_lens) {
            sealer.seal(span.first, plain, span.ends, out)?;
        }
        let length = u32::try_from(sealed_len).expect("the longest manifest has about 2 MiB");
        end.extend_from_slice(&length.to_be_bytes());
        Ok(end)
    }
}

/// The end of a composite object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompositeEnd {
    /// The payload's last bytes, which follow the last component.
    pub bytes: Vec<u8>,
    /// The object's plaintext length, in bytes.
    pub plaintext_len: u64,
    /// The payload's length, in bytes.
    pub payload_len: u64,
}
