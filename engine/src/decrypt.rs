//! Opening: the settings, the object whose key was found, and its one-shot forms.
//!
//! ```text
//! Decryptor --header, keys--> Opener --> DecryptReader   a stream
//!                                    --> bytes in memory
//!                                    --> RangeReader     anywhere (see `range`)
//!                                    --> a file          (see `file`)
//! ```

mod end;
pub(crate) mod machine;
mod reader;

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::end::explain as explain_end;
pub use self::reader::DecryptReader;
#[cfg(feature = "tokio")]
pub(crate) use self::reader::before_the_start;

use crate::chunker::{Span, Spans};
use crate::cipher::Backend;
use crate::context::ExpectedContext;
use crate::encrypt::{buffer_len, new_buffer};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::header::{ATTACHED_LEN, AttachedHeader, Header};
use crate::layout::PREFIX_LEN;
use crate::opener::Opener;
use crate::positioned::{ReadAt, read_full, read_full_at};
use crate::progress::Progress;
use crate::provider::KeyProvider;
use crate::unlock::{Offer, unlock};

/// How objects are to be opened.
#[derive(Debug, Clone)]
pub struct Decryptor {
    pub(crate) providers: Vec<Arc<dyn KeyProvider>>,
    pub(crate) context: ExpectedContext,
    pub(crate) max_provider_calls: usize,
    pub(crate) backend: Backend,
    /// The header of the payload to open, if that is stored apart.
    detached: Option<Header>,
    pub(crate) executor: Executor,
    pub(crate) progress: Progress,
}

impl Decryptor {
    /// Opens objects with `key`: without context, with at most 2 provider calls each, on the caller's thread.
    #[must_use]
    pub fn new(key: Arc<dyn KeyProvider>) -> Self {
        Self {
            providers: vec![key],
            context: ExpectedContext::default(),
            max_provider_calls: 2,
            backend: Backend::default(),
            detached: None,
            executor: Executor::serial(),
            progress: Progress::new(),
        }
    }

    /// Offers another key.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.providers.push(key);
        self
    }

    /// What the object's encryption context must be.
    #[must_use]
    pub fn with_context(mut self, context: ExpectedContext) -> Self {
        self.context = context;
        self
    }

    /// How many calls of key providers one copy of a header may cause. The second copy is tried only if the two differ
    /// and the current one does not open the object.
    #[must_use]
    pub const fn with_max_provider_calls(mut self, calls: usize) -> Self {
        self.max_provider_calls = calls;
        self
    }

    /// Who computes the AEAD.
    #[must_use]
    pub const fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Where chunks are opened.
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

    /// Opens the payload that `header` belongs to, which was stored apart: from now on each source gives a payload
    /// alone, and no header is read from it.
    #[must_use]
    pub fn with_detached_header(mut self, header: Header) -> Self {
        self.detached = Some(header);
        self
    }

    pub(crate) const fn detached_header(&self) -> Option<&Header> {
        self.detached.as_ref()
    }

    /// Finds the object's key; `payload_start` is where errors shall count offsets from.
    pub(crate) async fn opener_async(&self, header: &Header, payload_start: u64) -> Result<Opener> {
        let offer = Offer {
            providers: &self.providers,
            context: &self.context,
            max_provider_calls: self.max_provider_calls,
            passphrases: true,
            backend: self.backend,
        };
        let cipher = unlock(header, &offer).await?;
        Ok(Opener::new(cipher, header.layout(), payload_start))
    }

    /// [`Decryptor::opener_async`], waiting on the caller's thread.
    pub(crate) fn opener(&self, header: &Header, payload_start: u64) -> Result<Opener> {
        pollster::block_on(self.opener_async(header, payload_start))
    }

    /// Reads the attached header of the object in `source`, without any key.
    ///
    /// # Errors
    /// As [`AttachedHeader::parse`].
    pub fn read_header(source: &(impl ReadAt + ?Sized)) -> Result<AttachedHeader> {
        let mut start = vec![0; ATTACHED_LEN];
        let len = read_full_at(source, &mut start, 0)?;
        AttachedHeader::parse(&start[..len])
    }

    /// A reader of the plaintext of the object that `source` gives, header first unless that is detached.
    ///
    /// # Errors
    /// Every error of a header, of a key, of a context: nothing of the payload was opened yet.
    pub fn reader<R: Read>(&self, mut source: R) -> Result<DecryptReader<R>> {
        let (header, opener) = self.read_start(&mut source)?;
        let attached = self.detached.is_none().then_some(header);
        Ok(DecryptReader::new(source, opener, self, attached))
    }

    /// Finds the key of an object with an attached header, whose payload begins with `prefix`. Of two valid copies of the
    /// header that differ, the current one is tried first. If it does not open the payload, the other is: a rewrap may
    /// have been interrupted, or someone may have put a forged copy of a higher generation there.
    pub(crate) async fn open_attached(&self, found: AttachedHeader, prefix: &[u8]) -> Result<(AttachedHeader, Opener)> {
        let failed = match self.open_copy(found.header(), prefix).await {
            Ok(opener) => return Ok((found, opener)),
            Err(error) => error,
        };
        let Some(other) = found.stale().filter(|_| !failed.is_retryable()) else {
            return Err(failed);
        };
        match self.open_copy(other, prefix).await {
            Ok(opener) => Ok((found.fallen_back(&failed), opener)),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Err(failed),
        }
    }

    async fn open_copy(&self, header: &Header, prefix: &[u8]) -> Result<Opener> {
        check_prefix(header, prefix)?;
        self.opener_async(header, ATTACHED_LEN as u64).await
    }

    /// Reads an attached header, if none was given, and the payload's first bytes from a stream, and finds the key.
    pub(crate) fn read_start(&self, source: &mut impl Read) -> Result<(AttachedHeader, Opener)> {
        let mut prefix = [0; PREFIX_LEN];
        if let Some(header) = &self.detached {
            let have = read_full(source, &mut prefix)?;
            check_prefix(header, &prefix[..have])?;
            return Ok((header.clone().into(), self.opener(header, 0)?));
        }
        let mut start = vec![0; ATTACHED_LEN];
        let len = read_full(source, &mut start)?;
        let header = AttachedHeader::parse(&start[..len])?;
        let have = read_full(source, &mut prefix)?;
        pollster::block_on(self.open_attached(header, &prefix[..have]))
    }

    /// Reads an attached header from `source`, if none was given, checks that the payload is its own, and finds the
    /// key.
    pub(crate) fn open_source(&self, source: &(impl ReadAt + ?Sized)) -> Result<(AttachedHeader, Opener)> {
        let mut start = vec![0; ATTACHED_LEN + PREFIX_LEN];
        if let Some(header) = &self.detached {
            let len = read_full_at(source, &mut start[..PREFIX_LEN], 0)?;
            check_prefix(header, &start[..len])?;
            return Ok((header.clone().into(), self.opener(header, 0)?));
        }
        let len = read_full_at(source, &mut start, 0)?;
        let header = AttachedHeader::parse(&start[..len.min(ATTACHED_LEN)])?;
        let prefix = start[..len].get(ATTACHED_LEN..).unwrap_or_default();
        pollster::block_on(self.open_attached(header, prefix))
    }

    /// Opens an object; gives the plaintext.
    ///
    /// # Errors
    /// Every error of a header, of a key, of a context, of a chunk.
    pub fn open(&self, object: &[u8]) -> Result<Vec<u8>> {
        let (_, opener) = self.open_source(object)?;
        let opened = plaintext_len(object.len() as u64, &opener).and_then(|len| {
            let mut plaintext = new_buffer(len)?;
            self.open_chunks(&opener, object, &mut plaintext)?;
            Ok(plaintext)
        });
        opened.map_err(|error| explain_end(object, &opener, error))
    }

    /// Opens an object into `plaintext`; gives the plaintext's length in bytes. On an
    /// error `plaintext` holds zeros where the plaintext would be.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; as [`Decryptor::open`].
    pub fn open_into(&self, object: &[u8], plaintext: &mut [u8]) -> Result<usize> {
        let (_, opener) = self.open_source(object)?;
        let opened = plaintext_len(object.len() as u64, &opener).and_then(|need| {
            if (plaintext.len() as u64) < need {
                return Err(Error::BufferTooSmall {
                    need,
                    have: plaintext.len() as u64,
                });
            }
            let len = buffer_len(need)?;
            self.open_chunks(&opener, object, &mut plaintext[..len])?;
            Ok(len)
        });
        opened.map_err(|error| explain_end(object, &opener, error))
    }

    /// [`Decryptor::open`] for shared buffers: the object is opened straight into the plaintext, without a copy.
    ///
    /// # Errors
    /// As [`Decryptor::open`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a shared buffer is handed over by value everywhere"
    )]
    pub fn open_bytes(&self, object: Bytes) -> Result<Bytes> {
        self.open(&object).map(Bytes::from)
    }

    fn open_chunks(&self, opener: &Opener, object: &[u8], plaintext: &mut [u8]) -> Result<()> {
        let chunks = &object[buffer_len(opener.payload_start())? + PREFIX_LEN..];
        let spans = Spans::all(opener.layout(), plaintext.len() as u64)?;
        let tasks = spans.share(chunks, plaintext, Span::open_lens);
        let opened = self.executor.try_for_each(tasks, |(span, sealed, plain)| {
            opener.open(span.first, sealed, span.ends, plain)?;
            self.progress.advance(plain.len())
        });
        if opened.is_err() {
            plaintext.fill(0);
        }
        opened
    }
}

/// Checks a payload's first bytes, of which `have` are all there are.
pub(crate) fn check_prefix(header: &Header, have: &[u8]) -> Result<()> {
    let prefix = have.try_into().map_err(|_| Error::Truncated { after: 0 })?;
    header.check_payload(prefix)
}

/// The plaintext's length in an object of `object_len` bytes, as the length claims it.
pub(crate) fn plaintext_len(object_len: u64, opener: &Opener) -> Result<u64> {
    let payload_len = object_len
        .checked_sub(opener.payload_start())
        .ok_or(Error::Truncated { after: 0 })?;
    opener.layout().plaintext_len(payload_len)
}
