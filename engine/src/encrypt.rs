//! Sealing: settings, new objects and the one-shot forms.
//!
//! ```text
//! Encryptor --begin--> NewObject: data key generated, wrapped, used for the cipher, wiped; header ready
//!     NewObject --writer-------> EncryptWriter   a stream of unknown length
//!               --parts--------> PartSealer      any number of threads, any order (see `parts`)
//!               --seal, _into--> bytes in memory
//!               --seal_file----> a file (see `file`)
//! ```

pub(crate) mod machine;
pub mod parts;
#[cfg(test)]
mod tests;
mod unsealed;
mod writer;

use std::io::Write;
use std::sync::Arc;

pub(crate) use self::unsealed::Unsealed;
pub use self::writer::EncryptWriter;

use crate::buffer::new_buffer;
use crate::cipher::{Backend, ChunkCipher};
use crate::context::EncryptionContext;
use crate::data_key::{ContentKeys, DataKey};
use crate::error::Result;
use crate::executor::Executor;
use crate::header::{ATTACHED_LEN, Core, Header, PayloadKind, Purpose, WrappedKey, check_slots};
use crate::keys::{GeneratedKey, KeyProvider};
use crate::layout::{ChunkSize, Layout, SALT_LEN};
use crate::progress::Progress;
use crate::sealer::Sealer;
use crate::secret::random_array;
use crate::suite::Suite;

/// Settings for sealing objects. One `Encryptor` seals any number of objects, each under its own data key.
#[derive(Debug, Clone)]
pub struct Encryptor {
    providers: Vec<Arc<dyn KeyProvider>>,
    context: EncryptionContext,
    suite: Suite,
    chunk_size: ChunkSize,
    backend: Backend,
    executor: Executor,
    progress: Progress,
    verify_writes: bool,
}

impl Encryptor {
    /// Creates an encryptor that wraps data keys with `key`. Defaults: AES-256-GCM, 16 KiB chunks, an empty context,
    /// sealing on the caller's thread.
    #[must_use]
    pub fn new(key: Arc<dyn KeyProvider>) -> Self {
        Self {
            providers: vec![key],
            context: EncryptionContext::new(),
            suite: Suite::default(),
            chunk_size: ChunkSize::default(),
            backend: Backend::default(),
            executor: Executor::serial(),
            progress: Progress::new(),
            verify_writes: false,
        }
    }

    /// Adds a slot for `key`. Anyone who holds the key of any slot can read the object, and forge it.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.providers.push(key);
        self
    }

    /// Sets the encryption context that wrapped keys are bound to.
    #[must_use]
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.context = context;
        self
    }

    /// Sets the AEAD.
    #[must_use]
    pub const fn with_suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// Sets the chunk size.
    #[must_use]
    pub const fn with_chunk_size(mut self, chunk_size: ChunkSize) -> Self {
        self.chunk_size = chunk_size;
        self
    }

    /// Sets the implementation of the AEAD.
    #[must_use]
    pub const fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Sets where chunks are sealed.
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

    /// Opens each chunk again and compares it with its plaintext before releasing it: a memory or processor fault then
    /// returns [`Error::SealedWrongly`](crate::Error::SealedWrongly) instead of producing an object that cannot be
    /// opened. Sealing takes about twice as long. Damage after the bytes reach the sink is not detected.
    #[must_use]
    pub const fn with_verify_writes(mut self, verify: bool) -> Self {
        self.verify_writes = verify;
        self
    }

    /// Begins a new object: generates and wraps a data key. Blocks the caller's thread.
    ///
    /// # Errors
    /// As [`Encryptor::begin_async`].
    pub fn begin(&self) -> Result<NewObject> {
        pollster::block_on(self.begin_async())
    }

    /// Begins a new object: generates and wraps a data key.
    ///
    /// # Errors
    /// [`Error::InvalidContext`](crate::Error::InvalidContext), [`Error::Provider`](crate::Error::Provider),
    /// [`Error::TooManySlots`](crate::Error::TooManySlots), [`Error::Random`](crate::Error::Random).
    pub async fn begin_async(&self) -> Result<NewObject> {
        let (data_key, slots) = self.new_key().await?;
        self.object(&data_key, random_array()?, slots)
    }

    /// Begins a composite object: its header, and its data key.
    pub(crate) async fn begin_header(&self, kind: PayloadKind) -> Result<(Header, DataKey)> {
        let (data_key, slots) = self.new_key().await?;
        let (header, _) = self.header(kind, &data_key, random_array()?, slots)?;
        Ok((header, data_key))
    }

    /// A new data key, wrapped by every provider.
    async fn new_key(&self) -> Result<(DataKey, Vec<WrappedKey>)> {
        self.context.validate()?;
        let GeneratedKey { data_key, wrapped } = self.providers[0].generate_key(&self.context).await?;
        let mut slots = vec![wrapped];
        for provider in &self.providers[1..] {
            slots.push(provider.wrap_key(&data_key, &self.context).await?);
        }
        Ok((data_key, slots))
    }

    /// [`begin_async`](Self::begin_async) with the caller's data key and salt, a pair that must never be used again:
    /// see `hazmat`.
    #[cfg(feature = "hazmat")]
    pub(crate) async fn begin_with(&self, data_key: &DataKey, salt: [u8; SALT_LEN]) -> Result<NewObject> {
        self.context.validate()?;
        let mut slots = Vec::with_capacity(self.providers.len());
        for provider in &self.providers {
            slots.push(provider.wrap_key(data_key, &self.context).await?);
        }
        self.object(data_key, salt, slots)
    }

    /// A header of this kind, and what its commitment is derived with.
    fn header(
        &self,
        kind: PayloadKind,
        data_key: &DataKey,
        salt: [u8; SALT_LEN],
        slots: Vec<WrappedKey>,
    ) -> Result<(Header, ContentKeys)> {
        check_slots(&slots)?;
        let core = Core {
            suite: self.suite,
            chunk_size: self.chunk_size,
            kind,
        };
        let context = core.context(Purpose::Object);
        let keys = ContentKeys::derive(data_key, self.suite, self.chunk_size, &salt, &context);
        let header = Header {
            suite: self.suite,
            chunk_size: self.chunk_size,
            kind,
            generation: 0,
            salt,
            commitment: *keys.commitment(),
            context: self.context.to_stored(),
            slots,
        };
        Ok((header, keys))
    }

    fn object(&self, data_key: &DataKey, salt: [u8; SALT_LEN], slots: Vec<WrappedKey>) -> Result<NewObject> {
        let (header, keys) = self.header(PayloadKind::Plain, data_key, salt, slots)?;
        let cipher = |keys: &ContentKeys| ChunkCipher::new(self.backend, self.suite, keys);
        let mut sealer = Sealer::new(cipher(&keys), header.layout());
        if self.verify_writes {
            let context = header.payload_context();
            let keys = ContentKeys::derive(data_key, self.suite, self.chunk_size, &salt, &context);
            sealer = sealer.with_verifier(cipher(&keys));
        }
        Ok(NewObject {
            header,
            attached: true,
            sealer,
            executor: self.executor.clone(),
            progress: self.progress.clone(),
        })
    }

    pub(crate) const fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) const fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) const fn verifies_writes(&self) -> bool {
        self.verify_writes
    }

    /// Seals `plaintext`; returns the object with its header attached.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::seal_into`].
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut object = new_buffer(self.object_len(plaintext.len() as u64)?)?;
        self.begin()?.seal_into(plaintext, &mut object)?;
        Ok(object)
    }

    /// Returns a writer that seals what is written to it into `sink`, header first.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::writer`].
    pub fn writer<W: Write>(&self, sink: W) -> Result<EncryptWriter<W>> {
        self.begin()?.writer(sink)
    }

    /// The length in bytes of an object with an attached header, for a plaintext of `plaintext_len` bytes.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge).
    pub fn object_len(&self, plaintext_len: u64) -> Result<u64> {
        Ok(ATTACHED_LEN as u64 + Layout::new(self.chunk_size).payload_len(plaintext_len)?)
    }
}

/// An object that has a key but no chunks yet. The method that seals it consumes it, and must run in the process that
/// began the object: in a fork of that process, sealing returns [`Error::Forked`](crate::Error::Forked).
///
/// The sealed object begins with the header, unless [`NewObject::detach`] was called.
#[derive(Debug)]
#[must_use = "nothing is sealed yet"]
pub struct NewObject {
    pub(crate) header: Header,
    /// Whether the header precedes the payload.
    attached: bool,
    pub(crate) sealer: Sealer,
    pub(crate) executor: Executor,
    pub(crate) progress: Progress,
}

impl NewObject {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Detaches the header, to be stored apart from the payload: in the object's metadata, in a file beside it or in a
    /// database. What is sealed afterwards is the payload alone.
    #[must_use = "without its header the payload cannot be opened"]
    pub fn detach(mut self) -> (Header, Self) {
        self.attached = false;
        (self.header.clone(), self)
    }

    /// Returns a writer that seals what is written to it into `sink`.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge); [`Error::Io`](crate::Error::Io) if the first bytes
    /// cannot be written.
    pub fn writer<W: Write>(self, sink: W) -> Result<EncryptWriter<W>> {
        self.unsealed()?.writer(sink)
    }

    /// Seals `plaintext` into `object`; returns the number of bytes written.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall),
    /// [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge),
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge), [`Error::SealedWrongly`](crate::Error::SealedWrongly).
    pub fn seal_into(self, plaintext: &[u8], object: &mut [u8]) -> Result<usize> {
        self.unsealed()?.seal_into(plaintext, object)
    }

    /// What every way of sealing consumes.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge).
    pub(crate) fn unsealed(self) -> Result<Unsealed> {
        let start = self.start()?;
        Ok(Unsealed {
            start,
            sealer: self.sealer,
            executor: self.executor,
            progress: self.progress,
        })
    }

    /// The bytes before the first chunk: the header, if it is attached, and the payload's prefix.
    fn start(&self) -> Result<Vec<u8>> {
        let mut start = if self.attached {
            self.header.to_attached()?
        } else {
            Vec::new()
        };
        start.extend_from_slice(&self.header.salt_and_commitment());
        Ok(start)
    }
}
