//! Parts whose boundaries are chosen while the object is being sealed.
//!
//! ```text
//! NewObject --running_parts--> RunningParts --next_part(chunks)----> RunningPart --seal, on any thread--> SealedPart
//!                                           --last_part(plain_len)->
//! ```

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::SealedPart;
use super::scattered::Scattered;
use crate::batch::chunks_per_batch;
use crate::buffer::new_buffer;
use crate::chunker::{RunningChunks, Span};
use crate::encrypt::NewObject;
use crate::error::{PartError, Result};
use crate::executor::Executor;
use crate::header::Header;
use crate::layout::{ChunkIndex, PREFIX_LEN};
use crate::progress::Progress;
use crate::sealer::Sealer;

impl NewObject {
    /// Seals the object in parts that are handed out in order, each with as many chunks as the caller asks for. Parts
    /// can be sealed on any thread and in any order.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge).
    pub fn running_parts(self) -> Result<RunningParts> {
        let start = Bytes::from(self.start()?);
        Ok(RunningParts {
            number: 0,
            chunks: RunningChunks::new(self.sealer.layout()),
            header: self.header,
            shared: Arc::new(Shared {
                sealer: self.sealer,
                start,
                executor: self.executor,
                progress: self.progress,
            }),
        })
    }
}

/// Hands out the parts of one object in order. The concatenated parts are the object, byte for byte as a writer would
/// have sealed it.
///
/// The object is complete once [`RunningParts::last_part`] was called and every part was sealed. A part that was handed
/// out and dropped unsealed is lost, and the object with it: sealing its chunks again, perhaps with other bytes, would
/// repeat nonces.
#[derive(Debug)]
#[must_use = "the object is incomplete until the last part is sealed"]
pub struct RunningParts {
    number: u64,
    chunks: RunningChunks,
    header: Header,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sealer: Sealer,
    /// The bytes before the first chunk.
    start: Bytes,
    executor: Executor,
    progress: Progress,
}

impl RunningParts {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Hands out the next part, which has `chunks` full chunks.
    ///
    /// # Errors
    /// [`PartError::Size`] if `chunks` is 0 or more than memory can hold;
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge).
    pub fn next_part(&mut self, chunks: u64) -> Result<RunningPart> {
        let span = self.chunks.claim(chunks)?;
        let number = self.number;
        self.number += 1;
        Ok(RunningPart {
            number,
            span,
            shared: self.shared.clone(),
        })
    }

    /// Hands out the last part: the last `plaintext_len` bytes of the plaintext, possibly none, and the final chunk.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge).
    pub fn last_part(self, plaintext_len: usize) -> Result<RunningPart> {
        Ok(RunningPart {
            number: self.number,
            span: self.chunks.claim_last(plaintext_len)?,
            shared: self.shared,
        })
    }
}

/// A part that was handed out. It can be sealed once, on any thread.
#[must_use = "a part that is not sealed is lost, and the object with it"]
pub struct RunningPart {
    number: u64,
    span: Span,
    shared: Arc<Shared>,
}

impl RunningPart {
    /// The part's number, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Where the part's plaintext begins, in bytes.
    #[must_use]
    pub const fn plaintext_offset(&self) -> u64 {
        self.span.plain_offset
    }

    /// The length of the part's plaintext, in bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> usize {
        self.span.plain_len
    }

    /// Seals the part, on the caller's thread.
    ///
    /// # Errors
    /// [`PartError::Length`] unless `plaintext` has the part's length; [`Error::Cancelled`](crate::Error::Cancelled),
    /// [`Error::Forked`](crate::Error::Forked), [`Error::SealedWrongly`](crate::Error::SealedWrongly). The part is then
    /// lost.
    pub fn seal(self, plaintext: &[u8]) -> Result<SealedPart> {
        self.seal_on(&Executor::serial(), &Scattered::of_slice(plaintext))
    }

    /// [`RunningPart::seal`] for plaintext in several buffers, which are not joined first. Works on the executor's
    /// threads.
    ///
    /// # Errors
    /// As [`RunningPart::seal`].
    pub fn seal_scattered(self, plaintext: &[Bytes]) -> Result<SealedPart> {
        let executor = self.shared.executor.clone();
        self.seal_on(&executor, &Scattered::new(plaintext))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn executor(&self) -> &Executor {
        &self.shared.executor
    }

    fn seal_on(self, executor: &Executor, plaintext: &Scattered<'_>) -> Result<SealedPart> {
        let Span { first, ends, .. } = self.span;
        if plaintext.len() != self.span.plain_len {
            return Err(PartError::Length {
                part: self.number,
                need: self.span.plain_len as u64,
                have: plaintext.len() as u64,
            }
            .into());
        }
        let Shared { start, .. } = &*self.shared;
        let before = (start.len() - PREFIX_LEN) as u64;
        let (offset, start) = match self.number {
            0 => (0, start.as_ref()),
            _ => (before + self.span.sealed_offset, &[][..]),
        };
        let mut sealed = new_buffer((start.len() + self.span.sealed_len) as u64)?;
        let (head, chunks) = sealed.split_at_mut(start.len());
        head.copy_from_slice(start);
        let batches = self.batches(first, chunks)?;
        executor.try_for_each(batches, |batch| self.seal_batch(plaintext, batch))?;
        Ok(SealedPart {
            number: self.number,
            offset,
            bytes: sealed.into(),
            ends,
        })
    }

    /// Divides the part among threads.
    fn batches<'a>(&self, first: ChunkIndex, mut sealed: &'a mut [u8]) -> Result<Vec<Batch<'a>>> {
        let sealer = &self.shared.sealer;
        let chunk_len = sealer.layout().chunk_len();
        let batch_len = chunks_per_batch(sealer.layout()) * chunk_len;
        let plain_len = self.span.plain_len;
        let mut batches = Vec::with_capacity(plain_len / batch_len + 1);
        let mut from = 0;
        loop {
            let len = batch_len.min(plain_len - from);
            let is_last = from + len == plain_len;
            let ends = self.span.ends && is_last;
            let (out, rest) = sealed.split_at_mut(sealer.sealed_len(len, ends));
            batches.push(Batch {
                first: first.advance((from / chunk_len) as u64)?,
                plaintext: from..from + len,
                ends,
                out,
            });
            if is_last {
                return Ok(batches);
            }
            (sealed, from) = (rest, from + len);
        }
    }

    fn seal_batch(&self, plaintext: &Scattered<'_>, batch: Batch<'_>) -> Result<()> {
        let len = batch.plaintext.len();
        plaintext.with(batch.plaintext, |plain| {
            self.shared.sealer.seal(batch.first, plain, batch.ends, batch.out)
        })?;
        self.shared.progress.advance(len)
    }
}

/// Consecutive chunks that one thread seals.
struct Batch<'a> {
    first: ChunkIndex,
    /// In the part's plaintext.
    plaintext: Range<usize>,
    /// Whether its last chunk is the final one.
    ends: bool,
    out: &'a mut [u8],
}

impl fmt::Debug for RunningPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningPart {} ({} bytes)", self.number, self.span.plain_len)
    }
}
