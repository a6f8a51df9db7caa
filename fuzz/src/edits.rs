//! What can happen to an object's bytes in storage.

use std::io;

use arbitrary::Arbitrary;
use sealstone::positioned::ReadAt;

/// An offset in an object, near the start of a chunk, where most faults occur.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Place {
    chunk: u8,
    offset: i16,
}

/// A change of an object's bytes.
#[derive(Debug, Arbitrary)]
pub enum Edit {
    Flip(Place, u8),
    Overwrite(Place, Vec<u8>),
    Insert(Place, Vec<u8>),
    Remove(Place, u16),
    /// Repeats bytes of the object: a whole chunk if no length is given.
    Repeat(Place, Place, Option<u16>),
    /// Overwrites bytes with others.
    Copy(Place, Place, Option<u16>),
    /// Overwrites bytes with those of an object with the same key.
    Splice(Place, Option<u16>),
    Truncate(Place),
}

/// The positions of an object's chunks: where the first begins, and how long they are.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    pub start: usize,
    pub step: usize,
}

impl Place {
    fn in_bytes(self, grid: Grid, len: usize) -> usize {
        let near = grid.start + usize::from(self.chunk % 5) * grid.step;
        near.saturating_add_signed(self.offset.into()).min(len)
    }
}

impl Edit {
    /// Applies the edit to `bytes`; `other` is as long as `bytes` was at first.
    pub fn apply(&self, bytes: &mut Vec<u8>, other: &[u8], grid: Grid) {
        let len = bytes.len();
        let at = |place: Place| place.in_bytes(grid, len);
        let run = |from: usize, run: Option<u16>, len: usize| from..len.min(from + run.map_or(grid.step, usize::from));
        match self {
            Self::Flip(place, mask) => {
                if let Some(byte) = bytes.get_mut(at(*place)) {
                    *byte ^= mask;
                }
            }
            Self::Overwrite(place, new) => overwrite(bytes, at(*place), new),
            Self::Insert(place, new) => drop(bytes.splice(at(*place)..at(*place), new.iter().copied())),
            Self::Remove(place, count) => drop(bytes.drain(run(at(*place), Some(*count), len))),
            Self::Repeat(from, to, count) => {
                let copy = bytes[run(at(*from), *count, len)].to_vec();
                drop(bytes.splice(at(*to)..at(*to), copy));
            }
            Self::Copy(from, to, count) => {
                let copy = bytes[run(at(*from), *count, len)].to_vec();
                overwrite(bytes, at(*to), &copy);
            }
            Self::Splice(place, count) => {
                let from = at(*place).min(other.len());
                overwrite(bytes, from, &other[run(from, *count, other.len())]);
            }
            Self::Truncate(place) => bytes.truncate(at(*place)),
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    let len = new.len().min(bytes.len() - at);
    bytes[at..at + len].copy_from_slice(&new[..len]);
}

/// An object that is read with flipped bits and another length, without a copy.
#[derive(Debug)]
pub struct Altered<'a> {
    pub bytes: &'a [u8],
    pub flips: Vec<(u64, u8)>,
    /// The length that the object appears to have: shorter, or with zeros after it.
    pub len: u64,
    /// The most bytes that a read returns.
    pub piece: usize,
}

impl ReadAt for Altered<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let buffer_len = buffer.len().min(self.piece).min(left);
        let buffer = &mut buffer[..buffer_len];
        let have = self.bytes.read_at(buffer, offset)?;
        buffer[have..].fill(0);
        for &(at, mask) in &self.flips {
            if let Some(byte) = at
                .checked_sub(offset)
                .and_then(|at| buffer.get_mut(usize::try_from(at).ok()?))
            {
                *byte ^= mask;
            }
        }
        Ok(buffer_len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}
