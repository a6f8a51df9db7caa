//! Lengths and ranges: what of a stored object holds a range of its plaintext, before its length is known.
//!
//! ```text
//! stored     | header, if attached | salt, commitment | chunk 0 | chunk 1 | ... | final chunk |
//! plaintext                                           | C bytes | C bytes | ... | < C bytes   |
//! ```

use std::ops::Range;

use sealstone::ChunkSize;
use sealstone::format::{ChunkIndex, Layout, MAX_PLAINTEXT_LEN, TAG_LEN};

/// The lengths of a store's objects, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    layout: Layout,
    /// Bytes before the payload.
    before: u64,
}

impl Sizes {
    /// Of objects whose payload follows `before` bytes.
    pub(crate) const fn new(chunk_size: ChunkSize, before: u64) -> Self {
        Self {
            layout: Layout::new(chunk_size),
            before,
        }
    }

    pub(crate) const fn chunk_len(self) -> u64 {
        self.layout.chunk_len() as u64
    }

    /// The plaintext's length, if an object can be `stored_len` bytes long.
    pub(crate) fn plaintext_len(self, stored_len: u64) -> Option<u64> {
        self.layout.plaintext_len(stored_len.checked_sub(self.before)?).ok()
    }

    /// What to fetch for the plaintext from `start` on: the chunk that holds it, and everything after it.
    pub(crate) fn fetch_from(self, start: u64) -> u64 {
        let chunk = self.layout.chunk_at(start.min(MAX_PLAINTEXT_LEN));
        self.before + self.layout.sealed_offset(chunk.unwrap_or(ChunkIndex::ZERO))
    }

    /// What to fetch for a range of the plaintext that is not empty: its chunks. If the last of them is a full one, it
    /// may be followed by an empty final chunk, which shows that the object ends there: 16 bytes more.
    pub(crate) fn fetch(self, range: &Range<u64>) -> Range<u64> {
        let last_chunk = self.fetch_from(range.end - 1);
        let end = last_chunk + self.layout.sealed_chunk_len() as u64 + TAG_LEN as u64;
        self.fetch_from(range.start)..end
    }

    /// How much of an object's end to fetch for the last `len` bytes of the plaintext, wherever its chunks begin.
    pub(crate) const fn fetch_last(self, len: u64) -> u64 {
        // At worst, the first chunk ends with the first byte.
        let chunks_len = len.saturating_add(self.chunk_len() - 1);
        let chunk_count = chunks_len / self.chunk_len() + 1;
        chunks_len.saturating_add(chunk_count.saturating_mul(TAG_LEN as u64))
    }
}

#[cfg(test)]
mod tests {
    use sealstone::format::ATTACHED_LEN;

    use super::*;

    /// Of every object, each range's fetch holds the chunks of that range.
    #[test]
    fn a_fetch_that_knows_no_length_holds_all_chunks_of_its_range() {
        for before in [0, ATTACHED_LEN as u64] {
            let sizes = Sizes::new(ChunkSize::KiB16, before);
            let chunk = sizes.chunk_len();
            let places = [
                0,
                1,
                100,
                chunk - 1,
                chunk,
                chunk + 1,
                2 * chunk - 1,
                2 * chunk,
                3 * chunk + 7,
            ];
            for len in places {
                let stored_len = sizes.before + sizes.layout.payload_len(len).unwrap();
                assert_eq!(sizes.plaintext_len(stored_len), Some(len));
                for start in places.into_iter().filter(|start| *start <= len) {
                    let needed = |range: Range<u64>| {
                        let range = sizes.layout.ciphertext_range(range, len).unwrap();
                        range.start + sizes.before..range.end + sizes.before
                    };
                    let to_end = needed(start..len);
                    assert!(sizes.fetch_from(start) <= to_end.start);
                    assert!(
                        sizes.fetch_last(len - start) >= stored_len - to_end.start,
                        "{start} of {len}"
                    );
                    for end in places.into_iter().filter(|end| *end > start) {
                        let needed = needed(start..end.min(len).max(start));
                        let fetch = sizes.fetch(&(start..end));
                        assert!(fetch.start == needed.start || needed.is_empty());
                        assert!(fetch.end.min(stored_len) >= needed.end, "{start}..{end} of {len}");
                        // At most one chunk and a tag more than needed.
                        assert!(fetch.end - fetch.start <= (end - start) + 2 * chunk + 6 * TAG_LEN as u64);
                    }
                }
            }
        }
    }

    #[test]
    fn no_range_of_a_caller_overflows() {
        let sizes = Sizes::new(ChunkSize::MiB1, ATTACHED_LEN as u64);
        for value in [0, 1, MAX_PLAINTEXT_LEN, u64::MAX - 1, u64::MAX] {
            let _ = (
                sizes.fetch_from(value),
                sizes.fetch_last(value),
                sizes.plaintext_len(value),
            );
            let _ = sizes.fetch(&(0..value.max(1)));
        }
        assert_eq!(sizes.plaintext_len(100), None);
    }
}
