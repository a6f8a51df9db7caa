//! Opening: settings, and the one-shot forms for objects with an attached header.
//!
//! ```text
//! Decryptor --header, keys--> Unlocked     (see `unlocked`; no further key call is needed)
//! ```

mod end;
pub(crate) mod machine;
pub(crate) mod plan;
mod reader;

use std::io::Read;
use std::sync::Arc;

pub(crate) use self::end::explain as explain_end;
pub use self::reader::DecryptReader;
#[cfg(feature = "tokio")]
pub(crate) use self::reader::before_the_start;

use crate::cipher::{Backend, ChunkCipher};
use crate::composite::CompositeKeys;
use crate::context::ExpectedContext;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::header::{ATTACHED_LEN, Header, ObjectHeader};
use crate::keys::KeyProvider;
use crate::layout::PREFIX_LEN;
use crate::opener::Opener;
use crate::positioned::{ReadAt, read_full, read_full_at};
use crate::progress::Progress;
use crate::unlock::{Offer, OpenedSlot, unlock_slot};
use crate::unlocked::{Unlocked, UnlockedPayload};

/// Bytes of an attached header and of the payload's prefix after it.
pub(crate) const START_LEN: usize = ATTACHED_LEN + PREFIX_LEN;

/// Settings for opening objects.
///
/// [`Decryptor::unlock`] finds an object's key. The other methods do that for an object with an attached header, and
/// then read it.
#[derive(Debug, Clone)]
pub struct Decryptor {
    pub(crate) providers: Vec<Arc<dyn KeyProvider>>,
    pub(crate) context: ExpectedContext,
    pub(crate) max_provider_calls: usize,
    pub(crate) backend: Backend,
    pub(crate) executor: Executor,
    pub(crate) progress: Progress,
}

impl Decryptor {
    /// Creates a decryptor that opens objects with `key`. Defaults: an empty context, at most 2 provider calls, opening
    /// on the caller's thread.
    #[must_use]
    pub fn new(key: Arc<dyn KeyProvider>) -> Self {
        Self {
            providers: vec![key],
            context: ExpectedContext::default(),
            max_provider_calls: 2,
            backend: Backend::default(),
            executor: Executor::serial(),
            progress: Progress::new(),
        }
    }

    /// Adds another key to try.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.providers.push(key);
        self
    }

    /// Sets what an object's encryption context must be.
    #[must_use]
    pub fn with_context(mut self, context: ExpectedContext) -> Self {
        self.context = context;
        self
    }

    /// Sets how many key provider calls one copy of a header may cause. The second copy is tried only if the copies
    /// differ and the current one does not open the object.
    #[must_use]
    pub const fn with_max_provider_calls(mut self, calls: usize) -> Self {
        self.max_provider_calls = calls;
        self
    }

    /// Sets the implementation of the AEAD.
    #[must_use]
    pub const fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Sets where chunks are opened.
    #[must_use]
    pub fn with_executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Sets the [`Progress`] that counts plaintext bytes and can cancel the operation.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Reads the attached header of the object in `source`, without any key.
    ///
    /// # Errors
    /// As [`ObjectHeader::parse`].
    pub fn read_header(source: &(impl ReadAt + ?Sized)) -> Result<ObjectHeader> {
        let mut start = vec![0; START_LEN];
        let len = read_full_at(source, &mut start, 0)?;
        ObjectHeader::parse(&start[..len])
    }

    /// Finds the key of the object that `header` belongs to. `header` is an [`ObjectHeader`], or a [`Header`] that was
    /// stored apart from its payload. Calls key providers; reading the object afterwards needs no further call. Blocks
    /// the caller's thread.
    ///
    /// # Errors
    /// As [`Decryptor::unlock_async`].
    pub fn unlock(&self, header: impl Into<ObjectHeader>) -> Result<Unlocked> {
        pollster::block_on(self.unlock_async(header))
    }

    /// Finds the key of the object that `header` belongs to. `header` is an [`ObjectHeader`], or a [`Header`] that was
    /// stored apart from its payload. Calls key providers; reading the object afterwards needs no further call.
    ///
    /// If two valid attached copies differ, the current one is tried first. If it does not open the object, the other
    /// is tried: a rewrap may have been interrupted, or a copy with a higher generation may have been forged.
    ///
    /// # Errors
    /// [`Error::ContextMismatch`], [`Error::NoUsableKey`], [`Error::Provider`], [`Error::CommitmentMismatch`];
    /// [`Error::HeaderOfAnotherPayload`] if `header` includes the payload's first bytes and they do not match it.
    pub async fn unlock_async(&self, header: impl Into<ObjectHeader>) -> Result<Unlocked> {
        let header = header.into();
        let failed = match self.open_copy(&header, header.header()).await {
            Ok(payload) => return Ok(Unlocked::new(header, payload, self)),
            Err(error) => error,
        };
        let Some(other) = header.stale().filter(|_| !failed.is_retryable()) else {
            return Err(failed);
        };
        match self.open_copy(&header, other).await {
            Ok(payload) => Ok(Unlocked::new(header.fallen_back(&failed), payload, self)),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Err(failed),
        }
    }

    async fn open_copy(&self, found: &ObjectHeader, copy: &Header) -> Result<UnlockedPayload> {
        if let Some(prefix) = found.payload_prefix() {
            copy.check_payload(prefix)?;
        }
        let offer = Offer {
            providers: &self.providers,
            context: &self.context,
            max_provider_calls: self.max_provider_calls,
            guessable: true,
        };
        let OpenedSlot { data_key, keys, .. } = unlock_slot(copy, &offer).await?;
        let cipher = ChunkCipher::new(self.backend, copy.suite, &keys);
        let composite = copy.payload_kind().is_composite();
        Ok(UnlockedPayload {
            opener: Opener::new(cipher, copy.layout(), found.payload_start()),
            // Of a plain object nothing more is derived: its data key is wiped here.
            composite: composite.then(|| CompositeKeys::new(data_key, copy.core(), self.backend)),
        })
    }

    /// Finds the key of the object in `source`.
    pub(crate) fn unlock_source(&self, source: &(impl ReadAt + ?Sized)) -> Result<Unlocked> {
        let header = Self::read_header(source)?;
        header.check_complete()?;
        self.unlock_at(header, source)
    }

    /// [`Decryptor::unlock`] for an object that can be read at offsets. Of two valid attached copies that differ, it chooses
    /// the one whose payload this is, even if both open with the keys offered: for a composite object, only the manifest
    /// shows which that is. This form waits on the caller's thread.
    ///
    /// # Errors
    /// As [`Decryptor::unlock`]; if the copies differ, as [`Unlocked::load_manifest`].
    pub fn unlock_at(&self, header: impl Into<ObjectHeader>, source: &(impl ReadAt + ?Sized)) -> Result<Unlocked> {
        pollster::block_on(self.unlock_at_async(header, source))
    }

    /// [`Decryptor::unlock_at`] for an asynchronous program. The key is awaited; `source` is read by the poll.
    ///
    /// # Errors
    /// As [`Decryptor::unlock_at`].
    pub async fn unlock_at_async(
        &self,
        header: impl Into<ObjectHeader>,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<Unlocked> {
        let unlocked = self.unlock_async(header).await?;
        if !unlocked.is_composite() || unlocked.object_header().stale().is_none() {
            return Ok(unlocked);
        }
        let failed = match unlocked.load_manifest(source) {
            Err(error @ (Error::Composite(_) | Error::Truncated { .. })) => error,
            loaded => return loaded,
        };
        // The other copy may be the object's own.
        let other = unlocked.object_header().clone().fallen_back(&failed);
        let opened = self.unlock_async(other).await;
        match opened.and_then(|other| other.load_manifest(source)) {
            Ok(other) => Ok(other),
            Err(error) if error.is_retryable() || matches!(error, Error::Io { .. }) => Err(error),
            Err(_) => Err(failed),
        }
    }

    /// Opens an object; returns the plaintext.
    ///
    /// # Errors
    /// As [`ObjectHeader::parse`], [`Decryptor::unlock`] and [`Unlocked::open`].
    pub fn open(&self, object: &[u8]) -> Result<Vec<u8>> {
        self.unlock_source(object)?.open(object)
    }

    /// Opens an object into `plaintext`; returns the plaintext's length in bytes. After an error `plaintext` holds no
    /// plaintext.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; as [`Decryptor::open`].
    pub fn open_into(&self, object: &[u8], plaintext: &mut [u8]) -> Result<usize> {
        self.unlock_source(object)?.open_into(object, plaintext)
    }

    /// Returns a reader of the plaintext of the object in `source`, header first.
    ///
    /// # Errors
    /// As [`ObjectHeader::parse`] and [`Decryptor::unlock`];
    /// [`CompositeError::NotSeekable`](crate::error::CompositeError::NotSeekable). No chunk is opened yet.
    pub fn reader<R: Read>(&self, mut source: R) -> Result<DecryptReader<R>> {
        let mut start = vec![0; START_LEN];
        let len = read_full(&mut source, &mut start)?;
        let header = ObjectHeader::parse(&start[..len])?;
        header.check_complete()?;
        header.check_streamable()?;
        let unlocked = self.unlock(header)?;
        unlocked.check_streamable()?;
        Ok(DecryptReader::after_prefix(source, unlocked))
    }
}

/// Checks a payload's first bytes. `have` is shorter than a prefix only if the payload is.
pub(crate) fn check_prefix(header: &Header, have: &[u8]) -> Result<()> {
    let prefix = have.try_into().map_err(|_| Error::Truncated { after: 0 })?;
    header.check_payload(prefix)
}
