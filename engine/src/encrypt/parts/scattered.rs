//! Plaintext in several buffers, read as one.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use zeroize::Zeroize;

/// Plaintext in several buffers. Only what spans two of them is copied.
#[derive(Debug)]
pub(super) struct Scattered<'a> {
    /// Each buffer, and where it ends in the whole.
    buffers: Vec<(&'a [u8], usize)>,
}

impl<'a> Scattered<'a> {
    pub(super) fn new(buffers: &'a [Bytes]) -> Self {
        let mut end = 0;
        let filled = buffers.iter().filter(|buffer| !buffer.is_empty());
        let buffers = filled.map(|buffer| {
            end += buffer.len();
            (buffer.as_ref(), end)
        });
        Self {
            buffers: buffers.collect(),
        }
    }

    pub(super) fn of_slice(plaintext: &'a [u8]) -> Self {
        Self {
            buffers: vec![(plaintext, plaintext.len())],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buffers.last().map_or(0, |(_, end)| *end)
    }

    /// Passes the bytes of `range`, which is within the length, to `work`.
    pub(super) fn with<T>(&self, range: Range<usize>, work: impl FnOnce(&[u8]) -> T) -> T {
        match self.get(range) {
            Cow::Borrowed(bytes) => work(bytes),
            Cow::Owned(mut joined) => {
                let done = work(&joined);
                joined.zeroize();
                done
            }
        }
    }

    fn get(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        let first = self.buffers.partition_point(|(_, end)| *end <= range.start);
        let mut joined = Vec::new();
        for (buffer, end) in &self.buffers[first..] {
            let start = end - buffer.len();
            let part = &buffer[range.start.saturating_sub(start)..buffer.len().min(range.end - start)];
            if part.len() == range.len() {
                return Cow::Borrowed(part);
            }
            joined.reserve_exact(range.len() - joined.len());
            joined.extend_from_slice(part);
            if joined.len() == range.len() {
                break;
            }
        }
        Cow::Owned(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_that_of_the_joined_buffers() {
        let whole: Vec<u8> = (0..20).collect();
        let buffers = [0..3, 3..3, 3..4, 4..11, 11..20].map(|range| Bytes::copy_from_slice(&whole[range]));
        let scattered = Scattered::new(&buffers);
        assert_eq!(scattered.len(), whole.len());
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                scattered.with(start..end, |found| {
                    assert_eq!(found, &whole[start..end], "{start}..{end}");
                });
            }
        }
        assert!(matches!(scattered.get(4..11), Cow::Borrowed(_)));
        assert_eq!(Scattered::new(&[]).len(), 0);
        Scattered::new(&[]).with(0..0, |found| assert!(found.is_empty()));
    }
}
