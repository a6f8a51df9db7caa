//! Parts: equal runs of chunks, sealed separately and in any order. Each part is handed out once, and so is each index.
//!
//! ```text
//! part 0                part 1                      the last part
//! chunk 0 .. n - 1      chunk n .. 2n - 1    ...    chunk kn .. and the final chunk, at most n + 1 chunks
//! ```
//!
//! A full last part ends with an empty final chunk, whose index would be the first one of the next part. So a part can
//! end the object only if no later part was handed out, and none is handed out afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Chunker;
use crate::batch::{PlainBatch, Slab};
use crate::error::{Error, PartError, Result};
use crate::layout::{ChunkIndex, Layout, MAX_PLAINTEXT_LEN};

/// Which parts of one object were handed out, and which were sealed.
#[derive(Debug)]
pub(crate) struct PartClaims {
    layout: Layout,
    part_len: u64,
    plaintext_len: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The parts handed out, with the plaintext's length of those that are sealed.
    parts: BTreeMap<u64, Option<u64>>,
    last: Option<u64>,
}

impl PartClaims {
    /// Parts of `part_len` bytes of plaintext; the last one holds at most as many.
    ///
    /// # Errors
    /// [`PartError::Size`].
    pub(crate) fn new(layout: Layout, part_len: u64) -> Result<Self> {
        let chunk_len = layout.chunk_len();
        if part_len == 0 || !part_len.is_multiple_of(chunk_len as u64) || part_len > MAX_PLAINTEXT_LEN {
            return Err(PartError::Size { part_len, chunk_len }.into());
        }
        Ok(Self {
            layout,
            part_len,
            plaintext_len: None,
            state: Mutex::default(),
        })
    }

    /// Sets the length of the whole plaintext, and with it which part is the last.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn with_plaintext_len(self, len: u64) -> Result<Self> {
        self.layout.chunk_count(len)?;
        let last = len.div_ceil(self.part_len).saturating_sub(1);
        self.state().last = Some(last);
        Ok(Self {
            plaintext_len: Some(len),
            ..self
        })
    }

    /// Whether no part was handed out.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state().parts.is_empty()
    }

    pub(crate) const fn part_len(&self) -> u64 {
        self.part_len
    }

    /// Hands out `part`, which is possible only once.
    ///
    /// # Errors
    /// [`PartError::Duplicate`], [`PartError::AfterLast`], [`Error::ObjectTooLarge`].
    pub(crate) fn claim(&self, part: u64) -> Result<PartChunker> {
        let chunks = self.part_len / self.layout.chunk_len() as u64;
        let first = ChunkIndex::new(part.checked_mul(chunks).ok_or(Error::ObjectTooLarge)?)?;
        let mut state = self.state();
        if state.parts.contains_key(&part) {
            return Err(PartError::Duplicate { part }.into());
        }
        if let Some(last) = state.last.filter(|&last| part > last) {
            return Err(PartError::AfterLast { part, last }.into());
        }
        state.parts.insert(part, None);
        Ok(PartChunker {
            part,
            first,
            chunker: Chunker::starting_at(self.layout, first),
            room: self.place_len(part),
            taken: 0,
        })
    }

    /// Bytes of plaintext that a part must have; at most, if the plaintext's length is unknown and the part is the
    /// last.
    fn place_len(&self, part: u64) -> u64 {
        let rest = |len: u64| len.saturating_sub(part.saturating_mul(self.part_len));
        self.plaintext_len
            .map_or(self.part_len, |len| rest(len).min(self.part_len))
    }

    /// Whether the known length of the plaintext makes this part the last.
    pub(crate) fn is_known_last(&self, part: u64) -> bool {
        self.plaintext_len.is_some() && self.state().last == Some(part)
    }

    /// Makes `part` the last one, before its final chunk is sealed.
    fn end_at(&self, part: u64) -> Result<()> {
        let mut state = self.state();
        if let Some(last) = state.last.filter(|&last| part != last) {
            let (part, last) = (part.max(last), part.min(last));
            return Err(PartError::AfterLast { part, last }.into());
        }
        if let Some((&later, _)) = state.parts.last_key_value().filter(|&(&other, _)| other > part) {
            return Err(PartError::AfterLast {
                part: later,
                last: part,
            }
            .into());
        }
        state.last = Some(part);
        Ok(())
    }

    /// Records that a part is sealed.
    pub(crate) fn sealed(&self, part: u64, plain_len: u64) {
        self.state().parts.insert(part, Some(plain_len));
    }

    /// The plaintext's length, if every part up to the last is sealed.
    ///
    /// # Errors
    /// [`PartError::Missing`].
    pub(crate) fn finish(&self) -> Result<u64> {
        let state = self.state();
        let mut len = 0;
        // A part that was claimed and not sealed is missing, too.
        let sealed = state.parts.iter().filter_map(|(&part, len)| Some((part, (*len)?)));
        let mut next = 0;
        for (part, plain_len) in sealed {
            if part != next {
                break;
            }
            len += plain_len;
            next += 1;
        }
        match state.last {
            Some(last) if next == last + 1 => Ok(len),
            _ => Err(PartError::Missing { part: next }.into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion or one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts the plaintext of one part into numbered batches.
#[derive(Debug)]
pub(crate) struct PartChunker {
    part: u64,
    first: ChunkIndex,
    chunker: Chunker,
    /// Bytes of plaintext that the part must have.
    room: u64,
    taken: u64,
}

impl PartChunker {
    pub(crate) const fn part(&self) -> u64 {
        self.part
    }

    /// The part's first chunk.
    pub(crate) const fn first(&self) -> ChunkIndex {
        self.first
    }

    /// Bytes of plaintext taken.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    const fn wrong_length(&self, have: u64) -> Error {
        Error::Part(PartError::Length {
            part: self.part,
            need: self.room,
            have,
        })
    }

    /// Reserves room for `len` more bytes.
    ///
    /// # Errors
    /// [`PartError::Length`] if the part has no room for them.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<()> {
        let have = self.taken.saturating_add(len as u64);
        if have > self.room {
            return Err(self.wrong_length(have));
        }
        self.taken = have;
        Ok(())
    }

    /// As [`Chunker::push`], of bytes that were reserved.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn push(&mut self, input: &mut &[u8], spare: impl FnOnce() -> Slab) -> Result<Option<PlainBatch>> {
        self.chunker.push(input, spare)
    }

    /// The pending bytes of a full part that is not the last.
    ///
    /// # Errors
    /// [`PartError::Length`]; [`Error::ObjectTooLarge`].
    pub(crate) fn finish(mut self) -> Result<Option<PlainBatch>> {
        if self.taken != self.room {
            return Err(self.wrong_length(self.taken));
        }
        self.chunker.take_complete()
    }

    /// The pending bytes of the last part, with the final chunk.
    ///
    /// # Errors
    /// [`PartError::AfterLast`]; [`PartError::Length`] if the plaintext's length is known and the part's does not match
    /// it;
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn finish_last(self, claims: &PartClaims) -> Result<PlainBatch> {
        if claims.plaintext_len.is_some() && self.taken != self.room {
            return Err(self.wrong_length(self.taken));
        }
        claims.end_at(self.part)?;
        self.chunker.finish()
    }
}
