//! Parts whose boundaries are chosen while the object is being sealed.
//!
//! ```text
//! NewObject --running_parts--> RunningParts --next_part(chunks)----> RunningPart --seal, on any thread--> SealedPart
//!                                           --last_part(plain_len)->
//! ```

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::SealedPart;
use crate::chunker::{RunningChunks, Span};
use crate::encrypt::NewObject;
use crate::error::{PartError, Result};
use crate::header::Header;
use crate::layout::PREFIX_LEN;
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

    /// Seals the part.
    ///
    /// # Errors
    /// [`PartError::Length`] unless `plaintext` has the part's length; [`Error::Cancelled`](crate::Error::Cancelled),
    /// [`Error::Forked`](crate::Error::Forked), [`Error::SealedWrongly`](crate::Error::SealedWrongly). The part is then
    /// lost.
    pub fn seal(self, plaintext: &[u8]) -> Result<SealedPart> {
        let Span { first, ends, .. } = self.span;
        if plaintext.len() != self.span.plain_len {
            return Err(PartError::Length {
                part: self.number,
                need: self.span.plain_len as u64,
                have: plaintext.len() as u64,
            }
            .into());
        }
        let Shared {
            sealer,
            start,
            progress,
        } = &*self.shared;
        let before = (start.len() - PREFIX_LEN) as u64;
        let (offset, start) = match self.number {
            0 => (0, start.as_ref()),
            _ => (before + self.span.sealed_offset, &[][..]),
        };
        let mut sealed = Vec::with_capacity(start.len() + self.span.sealed_len);
        sealed.extend_from_slice(start);
        sealed.resize(start.len() + self.span.sealed_len, 0);
        sealer.seal(first, plaintext, ends, &mut sealed[start.len()..])?;
        progress.advance(plaintext.len())?;
        Ok(SealedPart {
            number: self.number,
            offset,
            bytes: sealed.into(),
            ends,
        })
    }
}

impl fmt::Debug for RunningPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningPart {} ({} bytes)", self.number, self.span.plain_len)
    }
}
