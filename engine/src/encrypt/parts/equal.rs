//! Parts of equal length, cut from sealed parts as they arrive.
//!
//! ```text
//! sealed parts   | start, part 0     | part 1        | part 2        | last |
//! equal parts    | 0             | 1             | 2             | 3        |
//! ```
//!
//! Cutting happens after sealing and involves no chunks, keys or indices, so no order of calls can repeat a nonce. Most
//! equal parts hold bytes of two sealed parts, and wait for the second one.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use bytes::Bytes;

use super::SealedPart;
use crate::buffer::buffer_len;
use crate::error::{PartError, Result};

/// Cuts the sealed parts of one object into parts of equal length, for stores that require it. Only the last is
/// shorter.
///
/// Sealed parts may be added in any order; if added in order, at most one equal part is incomplete at a time. The
/// concatenated equal parts are the same bytes as the concatenated sealed parts.
#[derive(Debug)]
#[must_use = "the object is incomplete until `finish`"]
pub struct EqualParts {
    part_len: u64,
    /// The sealed parts that were added.
    added: BTreeSet<u64>,
    /// The equal parts that lack bytes.
    waiting: BTreeMap<u64, Waiting>,
    /// The equal parts that were returned.
    given: BTreeSet<u64>,
    object_len: Option<u64>,
}

/// The bytes of an equal part that have arrived, by offset in the object.
#[derive(Debug, Default)]
struct Waiting {
    have: u64,
    pieces: BTreeMap<u64, Bytes>,
}

impl EqualParts {
    /// Creates parts of `part_len` sealed bytes each.
    pub const fn new(part_len: NonZeroU64) -> Self {
        Self {
            part_len: part_len.get(),
            added: BTreeSet::new(),
            waiting: BTreeMap::new(),
            given: BTreeSet::new(),
            object_len: None,
        }
    }

    /// Adds a sealed part; returns the equal parts that it completes, in ascending order.
    ///
    /// # Errors
    /// [`PartError::Duplicate`] if this part was added before.
    pub fn add(&mut self, part: SealedPart) -> Result<Vec<SealedPart>> {
        if !self.added.insert(part.number) {
            return Err(PartError::Duplicate { part: part.number }.into());
        }
        if part.ends {
            self.object_len = Some(part.offset + part.bytes.len() as u64);
        }
        let (mut offset, mut bytes) = (part.offset, part.bytes);
        let mut complete = Vec::new();
        while !bytes.is_empty() {
            let number = offset / self.part_len;
            let room = (number + 1) * self.part_len - offset;
            let piece = bytes.split_to(usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len())));
            let next = offset + piece.len() as u64;
            complete.extend(self.insert(number, offset, piece)?);
            offset = next;
        }
        Ok(complete)
    }

    /// Checks that every equal part was returned; returns the object's length in bytes.
    ///
    /// # Errors
    /// [`PartError::Missing`], with the number of the first equal part that lacks bytes.
    pub fn finish(self) -> Result<u64> {
        let mut next = 0;
        while self.given.contains(&next) {
            next += 1;
        }
        match self.object_len {
            Some(len) if len.div_ceil(self.part_len) == next => Ok(len),
            _ => Err(PartError::Missing { part: next }.into()),
        }
    }

    fn insert(&mut self, number: u64, offset: u64, piece: Bytes) -> Result<Option<SealedPart>> {
        let start = number * self.part_len;
        let ends = self.object_len.is_some_and(|len| len <= start + self.part_len);
        let need = match self.object_len {
            // A part of another object can lie after the end of this one.
            Some(len) if ends => len.checked_sub(start).ok_or(PartError::AfterLast {
                part: number,
                last: len / self.part_len,
            })?,
            _ => self.part_len,
        };
        let waiting = self.waiting.entry(number).or_default();
        waiting.have += piece.len() as u64;
        waiting.pieces.insert(offset, piece);
        if waiting.have < need {
            return Ok(None);
        }
        let pieces = self.waiting.remove(&number).unwrap_or_default().pieces;
        self.given.insert(number);
        Ok(Some(SealedPart {
            number,
            offset: start,
            bytes: join(pieces, buffer_len(need)?),
            ends,
        }))
    }
}

/// Joins the pieces; a single one is not copied.
fn join(mut pieces: BTreeMap<u64, Bytes>, len: usize) -> Bytes {
    if pieces.len() == 1
        && let Some((_, piece)) = pieces.pop_first()
    {
        return piece;
    }
    let mut joined = Vec::with_capacity(len);
    for piece in pieces.values() {
        joined.extend_from_slice(piece);
    }
    joined.into()
}
