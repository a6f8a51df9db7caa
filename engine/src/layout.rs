//! Sizes and offsets of a payload: pure, checked arithmetic, in bytes.
//!
//! ```text
//! payload    salt[24] commitment[32] | chunk 0        | chunk 1        | ... | final chunk
//! plaintext                          | C bytes        | C bytes        | ... | 0 ..= C-1 bytes
//! sealed     56                      | C + 16         | C + 16         | ... | 16 ..= C+15
//! ```
//!
//! The final chunk is always shorter than C, so each plaintext length has exactly one payload length.

use std::ops::Range;

use crate::error::{Error, Result};

/// Bytes of the payload's salt.
pub const SALT_LEN: usize = 24;
/// Bytes of the key commitment.
pub const COMMITMENT_LEN: usize = 32;
/// Bytes of a payload before its first chunk: salt and commitment.
pub const PREFIX_LEN: usize = SALT_LEN + COMMITMENT_LEN;
/// Bytes of the authentication tag after each chunk.
pub const TAG_LEN: usize = 16;
/// The largest number of chunks in a payload.
pub const MAX_CHUNKS: u64 = 1 << 38;
/// The largest plaintext, in bytes: 4 PiB - 1.
pub const MAX_PLAINTEXT_LEN: u64 = (1 << 52) - 1;

/// The chunk size: plaintext bytes in every chunk except the final one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChunkSize {
    /// 16 KiB, the default: byte-exact C2SP chunked encryption, and the finest ranges.
    #[default]
    KiB16,
    /// 64 KiB.
    KiB64,
    /// 256 KiB.
    KiB256,
    /// 1 MiB.
    MiB1,
}

impl ChunkSize {
    /// All sizes, smallest first.
    pub const ALL: [Self; 4] = [Self::KiB16, Self::KiB64, Self::KiB256, Self::MiB1];

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.log2()
    }

    /// The base-2 logarithm of the size, as the header stores it.
    #[must_use]
    pub const fn log2(self) -> u8 {
        match self {
            Self::KiB16 => 14,
            Self::KiB64 => 16,
            Self::KiB256 => 18,
            Self::MiB1 => 20,
        }
    }

    /// The size with this logarithm, if it is one of [`ChunkSize::ALL`].
    #[must_use]
    pub fn from_log2(log2: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.log2() == log2)
    }
}

/// A chunk's number in its payload, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(u64);

impl ChunkIndex {
    /// The first chunk.
    pub const ZERO: Self = Self(0);

    /// The index `value`.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`] at 2^38 and beyond.
    pub const fn new(value: u64) -> Result<Self> {
        if value < MAX_CHUNKS {
            Ok(Self(value))
        } else {
            Err(Error::ObjectTooLarge)
        }
    }

    /// The index as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The index `count` chunks later.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`] at 2^38 and beyond.
    pub fn advance(self, count: u64) -> Result<Self> {
        Self::new(self.0.checked_add(count).ok_or(Error::ObjectTooLarge)?)
    }
}

/// Sizes and offsets for one chunk size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    log2: u8,
}

impl Layout {
    /// The layout of payloads with chunks of this size.
    #[must_use]
    pub const fn new(size: ChunkSize) -> Self {
        Self { log2: size.log2() }
    }

    /// Plaintext bytes of a full chunk.
    #[must_use]
    pub const fn chunk_len(self) -> usize {
        1 << self.log2
    }

    /// Sealed bytes of a full chunk: plaintext and tag.
    #[must_use]
    pub const fn sealed_chunk_len(self) -> usize {
        self.chunk_len() + TAG_LEN
    }

    /// The sealed length of `plain_len` bytes of consecutive chunks, in bytes. If `ends`, the last chunk is the final
    /// one; otherwise all chunks are full.
    pub(crate) const fn sealed_len(self, plain_len: usize, ends: bool) -> usize {
        plain_len + (plain_len / self.chunk_len() + ends as usize) * TAG_LEN
    }

    const fn chunk_len64(self) -> u64 {
        1 << self.log2
    }

    const fn sealed_chunk_len64(self) -> u64 {
        self.chunk_len64() + TAG_LEN as u64
    }

    /// The number of chunks of a plaintext of `plaintext_len` bytes, the final one included.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`] over 2^38 chunks or 4 PiB - 1 byte.
    pub fn chunk_count(self, plaintext_len: u64) -> Result<u64> {
        let count = plaintext_len / self.chunk_len64() + 1;
        if plaintext_len > MAX_PLAINTEXT_LEN || count > MAX_CHUNKS {
            return Err(Error::ObjectTooLarge);
        }
        Ok(count)
    }

    /// The payload's length for a plaintext of `plaintext_len` bytes. Inverse of [`Layout::plaintext_len`].
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`] over 2^38 chunks or 4 PiB - 1 byte.
    pub fn payload_len(self, plaintext_len: u64) -> Result<u64> {
        let count = self.chunk_count(plaintext_len)?;
        Ok(PREFIX_LEN as u64 + plaintext_len + count * TAG_LEN as u64)
    }

    /// The plaintext's length for a payload of `payload_len` bytes. Inverse of [`Layout::payload_len`].
    ///
    /// The result is only as trustworthy as `payload_len`: opening the final chunk proves it.
    ///
    /// # Errors
    /// [`Error::Truncated`] for a length that no plaintext has, [`Error::ObjectTooLarge`] for one over the limits.
    pub fn plaintext_len(self, payload_len: u64) -> Result<u64> {
        let body = payload_len
            .checked_sub(PREFIX_LEN as u64)
            .ok_or(Error::Truncated { after: 0 })?;
        let full = body / self.sealed_chunk_len64();
        let rest = body % self.sealed_chunk_len64();
        let whole = full.checked_mul(self.chunk_len64()).ok_or(Error::ObjectTooLarge)?;
        let last = rest
            .checked_sub(TAG_LEN as u64)
            .ok_or(Error::Truncated { after: whole })?;
        let plaintext_len = whole.checked_add(last).ok_or(Error::ObjectTooLarge)?;
        self.chunk_count(plaintext_len)?;
        Ok(plaintext_len)
    }

    /// The chunk that holds the plaintext byte at `offset`.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`] for an offset in chunk 2^38 or beyond.
    pub fn chunk_at(self, offset: u64) -> Result<ChunkIndex> {
        ChunkIndex::new(offset / self.chunk_len64())
    }

    /// The plaintext offset of a chunk's first byte.
    #[must_use]
    pub const fn plaintext_offset(self, index: ChunkIndex) -> u64 {
        index.get() * self.chunk_len64()
    }

    /// The payload offset of a chunk's first sealed byte.
    #[must_use]
    pub const fn sealed_offset(self, index: ChunkIndex) -> u64 {
        PREFIX_LEN as u64 + index.get() * self.sealed_chunk_len64()
    }

    /// The indices of the chunks to open for the plaintext bytes `range`: those that hold it, and the final chunk if
    /// the range reaches the end, because `plaintext_len` is only a claim until that chunk has verified. The final
    /// chunk may be empty, and an empty range at the end needs it too; an empty range before the end needs none.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`] if the range is reversed or reaches past the end; [`Error::ObjectTooLarge`].
    pub(crate) fn chunks_for(self, range: Range<u64>, plaintext_len: u64) -> Result<Range<u64>> {
        if range.start > range.end || range.end > plaintext_len {
            return Err(Error::RangeOutOfBounds {
                start: range.start,
                end: range.end,
                len: plaintext_len,
            });
        }
        let first = self.chunk_at(range.start)?.get();
        let end = if range.end == plaintext_len {
            self.chunk_count(plaintext_len)?
        } else if range.is_empty() {
            first
        } else {
            self.chunk_at(range.end - 1)?.get() + 1
        };
        Ok(first..end)
    }

    /// The payload bytes to fetch for the plaintext bytes `range` of a plaintext of `plaintext_len` bytes: whole
    /// chunks, so that they can be verified. A range that reaches the end includes the final chunk, which may be empty:
    /// without it a truncated object would pass for a whole one. Empty for an empty range before the end.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`] if the range is reversed or reaches past the end.
    pub fn ciphertext_range(self, range: Range<u64>, plaintext_len: u64) -> Result<Range<u64>> {
        let chunks = self.chunks_for(range, plaintext_len)?;
        let offset = |chunk: u64| PREFIX_LEN as u64 + chunk * self.sealed_chunk_len64();
        let end = offset(chunks.end).min(self.payload_len(plaintext_len)?);
        Ok(offset(chunks.start)..end)
    }

    /// The payload bytes to fetch for several plaintext ranges, ascending and disjoint. Two that are at most `max_gap`
    /// bytes apart become one: fetching a gap can cost less than another request. Empty ranges before the end need no
    /// bytes.
    ///
    /// # Errors
    /// As [`Layout::ciphertext_range`].
    pub fn ciphertext_ranges(
        self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        plaintext_len: u64,
        max_gap: u64,
    ) -> Result<Vec<Range<u64>>> {
        let covering = ranges
            .into_iter()
            .map(|range| self.ciphertext_range(range, plaintext_len));
        Ok(merge_ranges(covering.collect::<Result<Vec<_>>>()?, max_gap))
    }
}

/// The ranges in ascending order, without empty ones, those that are at most `max_gap` apart as one.
pub(crate) fn merge_ranges(mut ranges: Vec<Range<u64>>, max_gap: u64) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let near = next.start <= last.end.saturating_add(max_gap);
        if near {
            last.end = last.end.max(next.end);
        }
        near
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A layout with chunks of 8 bytes: small enough to try every length.
    const TOY: Layout = Layout { log2: 3 };

    #[test]
    fn chunk_sizes_are_those_of_the_format() {
        let sizes = ChunkSize::ALL.map(|size| (size.log2(), size.bytes()));
        assert_eq!(sizes, [(14, 16_384), (16, 65_536), (18, 262_144), (20, 1_048_576)]);
    }

    #[test]
    fn lengths_are_inverse_for_every_small_length_of_a_toy_chunk() {
        let mut expected = PREFIX_LEN as u64;
        for plaintext_len in 0..200 {
            let chunks = plaintext_len / 8 + 1;
            expected = expected.max(56 + plaintext_len + 16 * chunks);
            let payload_len = TOY.payload_len(plaintext_len).unwrap();
            assert_eq!(payload_len, 56 + plaintext_len + 16 * chunks);
            assert_eq!(TOY.plaintext_len(payload_len).unwrap(), plaintext_len);
        }
    }

    #[test]
    fn each_length_that_no_plaintext_has_is_truncated() {
        let valid: Vec<u64> = (0..200).map(|len| TOY.payload_len(len).unwrap()).collect();
        for payload_len in 0..*valid.last().unwrap() {
            match TOY.plaintext_len(payload_len) {
                Ok(len) => assert_eq!(TOY.payload_len(len).unwrap(), payload_len),
                Err(Error::Truncated { .. }) => assert!(!valid.contains(&payload_len)),
                Err(other) => panic!("{payload_len}: {other}"),
            }
        }
    }

    #[test]
    fn limits_hold_at_the_last_chunk_and_the_last_byte() {
        for size in ChunkSize::ALL {
            let layout = Layout::new(size);
            assert!(layout.payload_len(MAX_PLAINTEXT_LEN).is_ok());
            assert!(matches!(
                layout.payload_len(MAX_PLAINTEXT_LEN + 1),
                Err(Error::ObjectTooLarge)
            ));
            let longest = layout.payload_len(MAX_PLAINTEXT_LEN).unwrap();
            assert_eq!(layout.plaintext_len(longest).unwrap(), MAX_PLAINTEXT_LEN);
            assert!(matches!(layout.payload_len(u64::MAX), Err(Error::ObjectTooLarge)));
            assert!(layout.plaintext_len(u64::MAX).is_err());
        }
        // A toy chunk meets the limit on chunks before the one on bytes.
        assert!(TOY.payload_len(8 * MAX_CHUNKS - 1).is_ok());
        assert!(matches!(TOY.payload_len(8 * MAX_CHUNKS), Err(Error::ObjectTooLarge)));
        assert!(ChunkIndex::new(MAX_CHUNKS - 1).is_ok());
        assert!(ChunkIndex::new(MAX_CHUNKS).is_err());
        assert!(ChunkIndex::ZERO.advance(u64::MAX).is_err());
    }

    #[test]
    fn a_ciphertext_range_covers_just_the_chunks_of_every_toy_range() {
        for len in 0..30u64 {
            for start in 0..=len {
                for end in start..=len {
                    let got = TOY.ciphertext_range(start..end, len).unwrap();
                    if start == end && end < len {
                        assert!(got.is_empty());
                        continue;
                    }
                    assert_eq!(got.start, 56 + start / 8 * 24);
                    // A range that reaches the end includes the final chunk, even if that is empty.
                    let last = if end == len { len / 8 } else { (end - 1) / 8 };
                    let last_len = (len - last * 8).min(8);
                    assert_eq!(got.end, 56 + last * 24 + last_len + 16);
                }
                assert!(TOY.ciphertext_range(start..len + 1, len).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn lengths_are_inverse(size in 0usize..4, len in 0..=MAX_PLAINTEXT_LEN) {
            let layout = Layout::new(ChunkSize::ALL[size]);
            prop_assert_eq!(layout.plaintext_len(layout.payload_len(len).unwrap()).unwrap(), len);
        }

        #[test]
        fn no_payload_length_panics(size in 0usize..4, len in any::<u64>()) {
            let layout = Layout::new(ChunkSize::ALL[size]);
            if let Ok(plaintext_len) = layout.plaintext_len(len) {
                prop_assert_eq!(layout.payload_len(plaintext_len).unwrap(), len);
            }
        }
    }
}
