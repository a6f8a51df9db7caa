//! The object that components are sealed for: begun once, joined once.
//!
//! ```text
//! begin_composite --> CompositeObject: header final, commitment     (sent to the sealers, over a channel they trust)
//!     component(label) --> NewComponent --> sealed bytes, Receipt   (any order, any process, again and again)
//!     complete(receipts in the object's order) --> the payload's last bytes
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether a composite payload is padded to a length that tells its plaintext's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Padding {
    /// No padding.
    #[default]
    None,
    /// Zeros up to [`padded_len`](super::padded_len), so that a listing's lengths tell the plaintext's. All components
    /// but the last then have at least 5 MiB.
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

/// A composite object that is being sealed: by this process or by several, in any order.
///
/// Its header is final from the start. Components are sealed under fresh random salts, so that nothing is lost if one
/// is sealed again, with the same bytes or with others: [`CompositeObject::complete`] names the sealings that count.
///
/// Where the header comes from storage, and not from [`Encryptor::begin_composite`], storage may have put another
/// there, of an object whose key it knows. So a sealer has to know the object's commitment from somewhere it trusts:
/// see [`Unlocked::composite`].
#[derive(Debug, Clone)]
pub struct CompositeObject {
    header: Arc<Header>,
    keys: Arc<CompositeKeys>,
    executor: Executor,
    progress: Progress,
    verify_writes: bool,
    /// Whether it is complete: of all clones.
    completed: Arc<AtomicBool>,
}

impl Encryptor {
    /// Begins a composite object: has a data key made and wrapped. This form waits on the caller's thread.
    ///
    /// # Errors
    /// As [`Encryptor::begin`].
    pub fn begin_composite(&self, padding: Padding) -> Result<CompositeObject> {
        pollster::block_on(self.begin_composite_async(padding))
    }

    /// Begins a composite object: has a data key made and wrapped.
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
            completed: Arc::default(),
        })
    }
}

impl Unlocked {
    /// Goes on with a composite object that was begun elsewhere, to seal components of it or to complete it.
    ///
    /// `commitment` is that of the object's header, as [`CompositeObject::commitment`] returned it where the object was
    /// begun. It must come over a channel that storage cannot write to, such as a job description or an upload id:
    /// otherwise storage could exchange the header for one whose data key it knows.
    ///
    /// # Errors
    /// [`CompositeError::NotComposite`]; [`CompositeError::HeaderExchanged`] if the header has another commitment.
    pub fn composite(&self, commitment: &[u8; COMMITMENT_LEN]) -> Result<CompositeObject> {
        let keys = self.composite_keys().ok_or(CompositeError::NotComposite)?;
        if !bool::from(self.header().commitment().ct_eq(commitment)) {
            return Err(CompositeError::HeaderExchanged.into());
        }
        Ok(CompositeObject {
            header: Arc::new(self.header().clone()),
            keys: keys.clone(),
            executor: self.executor().clone(),
            progress: self.progress().clone(),
            verify_writes: false,
            completed: Arc::default(),
        })
    }
}

impl CompositeObject {
    /// Where chunks are sealed; unless this is called, as for the encryptor or the unlocked object.
    #[must_use]
    pub fn with_executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Counts bytes, and can stop the work.
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

    /// The header, which is stored before the components or apart from them. It does not change.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What tells this object's header from every other: to be sent to those who seal components elsewhere.
    #[must_use]
    pub fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        self.header.commitment()
    }

    /// Begins one sealing of a component: draws its salt. `label` says which part of the object it is meant to be, such
    /// as a part number; it goes into the receipt, and into no stored byte.
    ///
    /// # Errors
    /// [`CompositeError::InvalidReceipt`] for a label over 65,535 bytes; [`CompositeError::Completed`];
    /// [`Error::Random`](crate::Error::Random).
    pub fn component(&self, label: &[u8]) -> Result<NewComponent> {
        self.check_open()?;
        check_label(label)?;
        // Here and nowhere else, and never the caller's: two sealings must not share a key.
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

    /// Says which sealings make up the object, and returns the payload's last bytes, to be stored after the last
    /// component: padding, manifest, and the manifest's length. `components` are in the object's order, each as the
    /// label that is expected in its place and the receipt for it. `note` is stored with them, sealed: at most 256
    /// bytes.
    ///
    /// An object is completed once: from then on, this value and its clones seal nothing more. Other processes can be
    /// held to that by their callers only. A second completion, with other components, would make a second object of
    /// the same header, and storage could show either: do not build anything like appending on it.
    ///
    /// # Errors
    /// [`CompositeError::Completed`];
    /// [`CompositeError::ReceiptAltered`], [`CompositeError::ReceiptOfAnotherPart`], [`CompositeError::Duplicate`],
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
        if self.completed.swap(true, Ordering::Relaxed) {
            // Another thread was faster: what was sealed here is dropped.
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
        if self.completed.load(Ordering::Relaxed) {
            return Err(CompositeError::Completed.into());
        }
        Ok(())
    }

    /// Padding, manifest and length. The manifest has a salt of its own, so that completing twice repeats no nonce.
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

/// What completes a composite object.
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
