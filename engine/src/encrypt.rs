//! Sealing: the settings, the object about to be sealed, and its one-shot forms.
//!
//! ```text
//! Encryptor --begin--> NewObject: data key made, wrapped, used for the cipher, wiped; header ready
//!     NewObject --writer-------> EncryptWriter   a stream of unknown length
//!               --parts--------> PartSealer      any number of threads, any order (see `parts`)
//!               --seal, _into--> bytes in memory
//!               --seal_file----> a file (see `file`)
//! ```

pub(crate) mod machine;
mod parts;
#[cfg(test)]
mod tests;
mod writer;

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::parts::Shared;
pub use self::parts::{EqualParts, PartSealer, PartWriter, SealedPart};
pub use self::writer::EncryptWriter;

use crate::chunker::{Span, Spans};
use crate::cipher::{Backend, ChunkCipher, Suite};
use crate::context::EncryptionContext;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::header::{ATTACHED_LEN, Header, check_slots, payload_context};
use crate::keys::{ContentKeys, DataKey};
use crate::layout::{ChunkSize, Layout, PREFIX_LEN, SALT_LEN};
use crate::progress::Progress;
use crate::provider::{GeneratedKey, KeyProvider};
use crate::sealer::Sealer;
use crate::secret::random_array;

/// How objects are to be sealed. One value seals any number of objects, each under its own data key.
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
    /// Seals for the holder of `key`: AES-256-GCM, 16 KiB chunks, no context, on the caller's thread.
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

    /// Seals for the holder of `key` as well. Every holder of a slot's key can read the object, and forge it.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.providers.push(key);
        self
    }

    /// The encryption context that all wraps are bound to.
    #[must_use]
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.context = context;
        self
    }

    /// The AEAD.
    #[must_use]
    pub const fn with_suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// The chunk size.
    #[must_use]
    pub const fn with_chunk_size(mut self, chunk_size: ChunkSize) -> Self {
        self.chunk_size = chunk_size;
        self
    }

    /// Who computes the AEAD.
    #[must_use]
    pub const fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Where chunks are sealed.
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

    /// Opens each chunk again, and compares it with its plaintext, before it is released: a fault of memory or
    /// processor gives [`Error::SealedWrongly`], and not an object that nobody can open. It takes about as long
    /// again as sealing. It says nothing of what becomes of the bytes behind the sink.
    #[must_use]
    pub const fn with_verify_writes(mut self, verify: bool) -> Self {
        self.verify_writes = verify;
        self
    }

    /// Has a data key made and wrapped for a new object.
    ///
    /// # Errors
    /// [`Error::InvalidContext`], [`Error::Provider`], [`Error::TooManySlots`], [`Error::Random`].
    pub async fn begin_async(&self) -> Result<NewObject> {
        self.context.validate()?;
        let GeneratedKey { data_key, wrapped } = self.providers[0].generate(&self.context).await?;
        let mut slots = vec![wrapped];
        for provider in &self.providers[1..] {
            slots.push(provider.wrap(&data_key, &self.context).await?);
        }
        check_slots(&slots)?;
        let mut object = self.object(&data_key, random_array()?);
        object.header.slots = slots;
        Ok(object)
    }

    /// [`Encryptor::begin_async`], waiting on the caller's thread.
    ///
    /// # Errors
    /// As [`Encryptor::begin_async`].
    pub fn begin(&self) -> Result<NewObject> {
        pollster::block_on(self.begin_async())
    }

    /// The same under a data key and salt of the caller's, which must never meet again: see `hazmat`.
    pub(crate) async fn begin_with(&self, data_key: &DataKey, salt: [u8; SALT_LEN]) -> Result<NewObject> {
        self.context.validate()?;
        let mut object = self.object(data_key, salt);
        for provider in &self.providers {
            object.header.slots.push(provider.wrap(data_key, &self.context).await?);
        }
        check_slots(&object.header.slots)?;
        Ok(object)
    }

    /// An object without slots.
    fn object(&self, data_key: &DataKey, salt: [u8; SALT_LEN]) -> NewObject {
        let context = payload_context(self.suite, self.chunk_size);
        let derive = || ContentKeys::derive(data_key, self.suite, self.chunk_size, &salt, &context);
        let cipher = |keys: &ContentKeys| ChunkCipher::new(self.backend, self.suite, keys);
        let keys = derive();
        let sealer = Sealer::new(cipher(&keys), Layout::new(self.chunk_size));
        NewObject {
            header: Header {
                suite: self.suite,
                chunk_size: self.chunk_size,
                generation: 0,
                salt,
                commitment: *keys.commitment(),
                context: self.context.to_stored(),
                slots: Vec::new(),
            },
            sealer: if self.verify_writes {
                sealer.with_verifier(cipher(&derive()))
            } else {
                sealer
            },
            executor: self.executor.clone(),
            progress: self.progress.clone(),
        }
    }

    /// Seals `plaintext`; gives the object, header attached.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::seal_into`].
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut object = new_buffer(self.object_len(plaintext.len() as u64)?)?;
        self.begin()?.seal_into(plaintext, &mut object)?;
        Ok(object)
    }

    /// [`Encryptor::seal`] for shared buffers: the plaintext is sealed straight into the object, without a copy.
    ///
    /// # Errors
    /// As [`Encryptor::seal`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a shared buffer is handed over by value everywhere"
    )]
    pub fn seal_bytes(&self, plaintext: Bytes) -> Result<Bytes> {
        self.seal(&plaintext).map(Bytes::from)
    }

    /// A writer that seals what is written to it into `sink`, header first.
    ///
    /// # Errors
    /// As [`Encryptor::begin`] and [`NewObject::writer`].
    pub fn writer<W: Write>(&self, sink: W) -> Result<EncryptWriter<W>> {
        self.begin()?.writer(sink)
    }

    /// The object's length for a plaintext of `plaintext_len` bytes, header attached, in bytes.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub fn object_len(&self, plaintext_len: u64) -> Result<u64> {
        Ok(ATTACHED_LEN as u64 + Layout::new(self.chunk_size).payload_len(plaintext_len)?)
    }
}

/// An object whose key is there and whose chunks are not: sealed by the one method that consumes it, in the process that
/// began it. A fork of that process gets [`Error::Forked`], whatever it seals with.
#[derive(Debug)]
#[must_use = "nothing is sealed yet"]
pub struct NewObject {
    pub(crate) header: Header,
    pub(crate) sealer: Sealer,
    pub(crate) executor: Executor,
    pub(crate) progress: Progress,
}

impl NewObject {
    /// The header, to be stored detached if the payload is sealed alone.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// A writer that seals what is written to it into `sink`, header first.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`]; [`Error::Io`] if the header cannot be written.
    pub fn writer<W: Write>(self, sink: W) -> Result<EncryptWriter<W>> {
        let start = self.start()?;
        EncryptWriter::new(self, sink, &start)
    }

    /// A writer that seals what is written to it into `sink`, without the header: store that detached.
    ///
    /// # Errors
    /// [`Error::Io`] if the payload's first bytes cannot be written.
    pub fn payload_writer<W: Write>(self, sink: W) -> Result<EncryptWriter<W>> {
        let prefix = self.header.payload_prefix();
        EncryptWriter::new(self, sink, &prefix)
    }

    /// Seals `plaintext` into `object`, header attached; gives the object's length in bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::HeaderTooLarge`], [`Error::ObjectTooLarge`], [`Error::SealedWrongly`].
    pub fn seal_into(self, plaintext: &[u8], object: &mut [u8]) -> Result<usize> {
        let start = self.start()?;
        self.seal_behind(&start, plaintext, object)
    }

    /// Seals `plaintext` into `payload`, without the header; gives the payload's length in bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::ObjectTooLarge`], [`Error::SealedWrongly`].
    pub fn seal_payload_into(self, plaintext: &[u8], payload: &mut [u8]) -> Result<usize> {
        let prefix = self.header.payload_prefix();
        self.seal_behind(&prefix, plaintext, payload)
    }

    /// An attached header and the payload's first bytes.
    pub(crate) fn start(&self) -> Result<Vec<u8>> {
        let mut start = self.header.to_attached()?;
        start.extend_from_slice(&self.header.payload_prefix());
        Ok(start)
    }

    fn seal_behind(self, start: &[u8], plaintext: &[u8], out: &mut [u8]) -> Result<usize> {
        let layout = self.sealer.layout();
        let payload_len = layout.payload_len(plaintext.len() as u64)?;
        let need = (start.len() - PREFIX_LEN) as u64 + payload_len;
        if (out.len() as u64) < need {
            return Err(Error::BufferTooSmall {
                need,
                have: out.len() as u64,
            });
        }
        let len = buffer_len(need)?;
        let (head, chunks) = out[..len].split_at_mut(start.len());
        head.copy_from_slice(start);
        let tasks = Spans::all(layout, plaintext.len() as u64)?.share(plaintext, chunks, Span::seal_lens);
        self.executor.try_for_each(tasks, |(span, plain, sealed)| {
            self.sealer.seal(span.first, plain, span.ends, sealed)?;
            self.progress.advance(plain.len())
        })?;
        Ok(len)
    }
}

/// A length as a buffer's: an address space may be smaller than an object.
pub(crate) fn buffer_len(len: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| Error::ObjectTooLarge)
}

/// A buffer of `len` zeros. An object's length is its author's word: a buffer that the memory does not hold is an error.
///
/// The zeros are the operating system's, which makes each page when a worker first writes to it. If they were written
/// here, one thread would pay for all pages, and the workers would wait: half as long again for 64 MiB on two cores.
pub(crate) fn new_buffer(len: u64) -> Result<Vec<u8>> {
    bytemuck::try_zeroed_slice_box(buffer_len(len)?)
        .map(Vec::from)
        .map_err(|()| Error::from_io("making room for the result", io::ErrorKind::OutOfMemory.into()))
}
