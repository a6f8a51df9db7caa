//! An object sealed in parts: in any order, by any number of threads, each part once.
//!
//! ```text
//! NewObject --parts--> PartSealer --part(k), once--> PartWriter --finish--> SealedPart     (to be sent, and sent again)
//! ```
//!
//! The parts, one after the other, are the object, byte for byte as a writer would have sealed it. Every part but the
//! last holds the same number of whole chunks; the first begins with the header, or with the payload's first 56 bytes,
//! and is longer by them. For stores that demand parts of equal length, [`EqualParts`] cuts them again.

mod equal;
mod running;

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

/// Gives out the parts of one object, each once, to any thread.
///
/// Parts are numbered from 0. A part that was given out and then dropped unsealed is lost, and the object with it: to
/// seal its chunks again, perhaps with other bytes, would repeat nonces.
#[derive(Debug)]
#[must_use = "the object is incomplete until `finish`"]
pub struct PartSealer {
    header: Header,
    shared: Arc<Shared>,
}

/// What all writers of parts use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) claims: PartClaims,
    pub(crate) sealer: Sealer,
    /// What stands before the first chunk.
    pub(crate) start: Bytes,
    pub(crate) progress: Progress,
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

    /// Fixes the plaintext's length, before any part is given out: the last part is then known by its number.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge); [`PartError::Duplicate`] of part 0 if a part was given out.
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

    /// Bytes of plaintext in every part but the last, which may have fewer.
    #[must_use]
    pub fn part_len(&self) -> u64 {
        self.shared.claims.part_len()
    }

    /// Bytes of every sealed part but the first, which is longer by what stands before the first chunk, and the last.
    #[must_use]
    pub fn sealed_part_len(&self) -> u64 {
        let layout = self.shared.sealer.layout();
        self.part_len() / layout.chunk_len() as u64 * layout.sealed_chunk_len() as u64
    }

    /// Gives out part `number`, for the first and last time.
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
    /// The part so far.
    sealed: Vec<u8>,
    offset: u64,
    buffers: BufferPool,
    sticky: Sticky,
}

impl PartWriter {
    pub(crate) fn new(shared: Arc<Shared>, number: u64) -> Result<Self> {
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

    /// Seals all of a part that is not the last, or that a known length makes the last.
    ///
    /// # Errors
    /// As [`PartWriter::finish`].
    pub fn seal(mut self, plaintext: &[u8]) -> Result<SealedPart> {
        self.take(plaintext)?;
        self.finish()
    }

    /// Seals all of the last part.
    ///
    /// # Errors
    /// As [`PartWriter::finish_last`].
    pub fn seal_last(mut self, plaintext: &[u8]) -> Result<SealedPart> {
        self.take(plaintext)?;
        self.finish_last()
    }

    /// Seals what is left of a part that is not the last, or that a known length makes the last.
    ///
    /// # Errors
    /// [`PartError::Length`] unless the part's place is filled; [`Error::Cancelled`](crate::Error::Cancelled); or the
    /// error that an earlier call gave. The part is lost.
    pub fn finish(self) -> Result<SealedPart> {
        if self.shared.claims.is_known_last(self.number()) {
            return self.finish_last();
        }
        self.complete(false)
    }

    /// Seals what is left of the last part, and the final chunk. The part may hold less than others, or nothing.
    ///
    /// # Errors
    /// [`PartError::AfterLast`] if a part after this one was handed out or another was
    /// the last; as [`PartWriter::finish`].
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

/// Seals a batch after the bytes of `out`.
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

/// The sealed bytes of one part. They may be sent as often as it takes: a clone shares them.
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

    /// The sealed bytes alone.
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
