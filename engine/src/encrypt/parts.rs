//! An object sealed in parts: in any order, by any number of threads, each part once.
//!
//! ```text
//! NewObject --parts--> PartSealer --part(k), once--> PartWriter --finish--> SealedPart     (can be sent repeatedly)
//! ```
//!
//! The concatenated parts are the object, byte for byte as a writer would have sealed it. Every part but the last holds
//! the same number of whole chunks. The first is longer: it begins with the header, if attached, and the payload's
//! first 56 bytes. For stores that require parts of equal length, [`EqualParts`] cuts them again.

mod equal;
mod running;
mod scattered;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

pub use self::equal::EqualParts;
pub use self::running::{RunningPart, RunningParts};

use super::NewObject;
use crate::batch::{BufferPool, PlainBatch};
use crate::chunker::{PartChunker, PartClaims};
use crate::error::{PartError, Result};
use crate::header::Header;
use crate::layout::PREFIX_LEN;
use crate::progress::Progress;
use crate::sealer::Sealer;
use crate::sticky::{Guarded, Sticky};

impl NewObject {
    /// Seals the object in parts of `part_len` bytes of plaintext, a multiple of the chunk size. The first part begins
    /// with the header, unless that is detached.
    ///
    /// # Errors
    /// [`PartError::Size`], [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge).
    pub fn parts(self, part_len: u64) -> Result<PartSealer> {
        PartSealer::new(self, part_len)
    }
}

/// Hands out the parts of one object, each once, to any thread.
///
/// Parts are numbered from 0. A part that was handed out and then dropped unsealed is lost, and the object with it:
/// sealing its chunks again, perhaps with other bytes, would repeat nonces.
#[derive(Debug)]
#[must_use = "the object is incomplete until `finish`"]
pub struct PartSealer {
    header: Header,
    shared: Arc<Shared>,
}

/// State shared by all part writers.
#[derive(Debug)]
struct Shared {
    claims: PartClaims,
    sealer: Sealer,
    /// The bytes before the first chunk.
    start: Bytes,
    progress: Progress,
}

impl PartSealer {
    fn new(object: NewObject, part_len: u64) -> Result<Self> {
        let start = object.start()?.into();
        Ok(Self {
            header: object.header,
            shared: Arc::new(Shared {
                claims: PartClaims::new(object.sealer.layout(), part_len)?,
                sealer: object.sealer,
                start,
                progress: object.progress,
            }),
        })
    }

    /// Sets the plaintext's length in bytes, before any part is handed out, so that the last part is known by its
    /// number.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge); [`PartError::Duplicate`] for part 0 if a part was
    /// already handed out.
    pub fn with_plaintext_len(self, len: u64) -> Result<Self> {
        let Some(shared) = Arc::into_inner(self.shared).filter(|shared| shared.claims.is_untouched()) else {
            return Err(PartError::Duplicate { part: 0 }.into());
        };
        Ok(Self {
            header: self.header,
            shared: Arc::new(Shared {
                claims: shared.claims.with_plaintext_len(len)?,
                ..shared
            }),
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of plaintext in every part but the last, which may be shorter.
    #[must_use]
    pub fn part_len(&self) -> u64 {
        self.shared.claims.part_len()
    }

    /// The sealed length in bytes of every part but the first, which also holds the bytes before the first chunk, and
    /// the last.
    #[must_use]
    pub fn sealed_part_len(&self) -> u64 {
        let layout = self.shared.sealer.layout();
        self.part_len() / layout.chunk_len() as u64 * layout.sealed_chunk_len() as u64
    }

    /// Hands out part `number`, which is possible only once.
    ///
    /// # Errors
    /// [`PartError::Duplicate`], [`PartError::AfterLast`],
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge).
    pub fn part(&self, number: u64) -> Result<PartWriter> {
        PartWriter::new(self.shared.clone(), number)
    }

    /// Checks that every part is sealed; returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`PartError::Missing`].
    pub fn finish(self) -> Result<u64> {
        self.shared.claims.finish()
    }
}

/// Seals the plaintext of one part, on the thread that writes it.
///
/// After an error every call returns that error again. [`Write::flush`] does nothing: a part is sent as a whole.
#[must_use = "a part that is not finished is lost"]
pub struct PartWriter {
    shared: Arc<Shared>,
    chunker: PartChunker,
    /// The sealed bytes so far.
    sealed: Vec<u8>,
    offset: u64,
    buffers: BufferPool,
    sticky: Sticky,
}

impl PartWriter {
    fn new(shared: Arc<Shared>, number: u64) -> Result<Self> {
        let chunker = shared.claims.claim(number)?;
        let before = (shared.start.len() - PREFIX_LEN) as u64;
        let (offset, sealed) = match number {
            0 => (0, shared.start.to_vec()),
            _ => (
                before + shared.sealer.layout().sealed_offset(chunker.first()),
                Vec::new(),
            ),
        };
        Ok(Self {
            shared,
            chunker,
            sealed,
            offset,
            buffers: BufferPool::new(1),
            sticky: Sticky::default(),
        })
    }

    /// The part's number, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.chunker.part()
    }

    /// Seals a whole part: not the last one, unless [`PartSealer::with_plaintext_len`] was called.
    ///
    /// # Errors
    /// As [`PartWriter::finish`].
    pub fn seal(mut self, plaintext: &[u8]) -> Result<SealedPart> {
        self.take(plaintext)?;
        self.finish()
    }

    /// Seals the whole last part.
    ///
    /// # Errors
    /// As [`PartWriter::finish_last`].
    pub fn seal_last(mut self, plaintext: &[u8]) -> Result<SealedPart> {
        self.take(plaintext)?;
        self.finish_last()
    }

    /// Seals the rest of a part: not the last one, unless [`PartSealer::with_plaintext_len`] was called.
    ///
    /// # Errors
    /// [`PartError::Length`] unless the part has its full length; [`Error::Cancelled`](crate::Error::Cancelled); or the
    /// error that an earlier call returned. The part is then lost.
    pub fn finish(self) -> Result<SealedPart> {
        if self.shared.claims.is_known_last(self.number()) {
            return self.finish_last();
        }
        self.complete(false)
    }

    /// Seals the rest of the last part, and the final chunk. The part may be shorter than others, or empty.
    ///
    /// # Errors
    /// [`PartError::AfterLast`] if a later part was handed out or another part was the last one; as
    /// [`PartWriter::finish`].
    pub fn finish_last(self) -> Result<SealedPart> {
        self.complete(true)
    }

    fn complete(mut self, ends: bool) -> Result<SealedPart> {
        self.sticky.check()?;
        let (part, plain_len) = (self.chunker.part(), self.chunker.taken());
        let rest = if ends {
            Some(self.chunker.finish_last(&self.shared.claims)?)
        } else {
            self.chunker.finish()?
        };
        if let Some(batch) = rest {
            append(&self.shared, &mut self.sealed, &batch)?;
        }
        self.shared.claims.sealed(part, plain_len);
        Ok(SealedPart {
            number: part,
            offset: self.offset,
            bytes: self.sealed.into(),
            ends,
        })
    }

    fn take(&mut self, plaintext: &[u8]) -> Result<()> {
        self.guarded(|this| this.try_take(plaintext))
    }

    fn try_take(&mut self, mut plaintext: &[u8]) -> Result<()> {
        self.chunker.reserve(plaintext.len())?;
        while !plaintext.is_empty() {
            let buffers = &self.buffers;
            if let Some(batch) = self.chunker.push(&mut plaintext, || buffers.take(0))? {
                append(&self.shared, &mut self.sealed, &batch)?;
                self.buffers.give_back(batch.plain);
            }
        }
        Ok(())
    }
}

/// Seals a batch and appends it to `out`.
fn append(shared: &Shared, out: &mut Vec<u8>, batch: &PlainBatch) -> Result<()> {
    let start = out.len();
    out.resize(start + shared.sealer.sealed_len(batch.plain.len(), batch.ends), 0);
    shared
        .sealer
        .seal(batch.first, &batch.plain, batch.ends, &mut out[start..])?;
    shared.progress.advance(batch.plain.len())
}

impl Guarded for PartWriter {
    fn sticky(&mut self) -> &mut Sticky {
        &mut self.sticky
    }
}

impl Write for PartWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.take(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("number", &self.number())
            .field("failed", &self.sticky.failure())
            .finish_non_exhaustive()
    }
}

/// The sealed bytes of one part. They can be sent any number of times; clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedPart {
    number: u64,
    offset: u64,
    bytes: Bytes,
    ends: bool,
}

impl SealedPart {
    /// The part's number, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Where the part begins in the object, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The sealed bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the sealed bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether it is the last part.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.ends
    }
}

impl fmt::Debug for SealedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedPart {} ({} bytes)", self.number, self.bytes.len())
    }
}
