//! Ranged reads: fetch and open just the chunks that cover a range.
//!
//! ```text
//! ranges --ciphertext_ranges--> what to fetch --the caller's client--> bytes --open_fetched--> plaintext
//! range  --read_range---------> fetched from a `ReadAt` -----------------------------------> plaintext
//! range  --RangeOpener--------> what to fetch --the caller's client--> a stream -----------> a stream
//! ```

mod opener;

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::OnceLock;

use bytes::Bytes;

pub use self::opener::RangeOpener;

use crate::batch::BufferPool;
use crate::buffer::{buffer_len, new_buffer};
use crate::decrypt::Decryptor;
use crate::error::{Error, Result};
use crate::layout::merge_ranges;
use crate::positioned::{PinnedVersion, ReadAt, read_full_at};
use crate::unlocked::Unlocked;
use crate::unlocked::runs::Piece;

/// Reads any part of an object's plaintext, from any number of threads at once.
///
/// Every byte returned has been verified. Bytes outside the range have not, nor has the end of the object, unless the
/// result depends on it: [`RangeReader::verified_len`], suffixes, open-ended and out-of-bounds ranges, and ranges that
/// reach the claimed end open the final chunk.
pub struct RangeReader<S> {
    source: S,
    unlocked: Unlocked,
    /// The source's length, in bytes.
    size: u64,
    /// According to the source's length.
    claimed_len: u64,
    verified_len: OnceLock<u64>,
    version: PinnedVersion,
    buffers: BufferPool,
}

impl Decryptor {
    /// Returns a reader of ranges of the object in `source`, which must have an attached header.
    ///
    /// # Errors
    /// As [`Decryptor::read_header`] and [`Decryptor::unlock`]; [`Error::Truncated`] if no object has the source's
    /// length.
    pub fn range_reader<S: ReadAt>(&self, source: S) -> Result<RangeReader<S>> {
        let reader = self.unlock_source(&source)?.range_reader(source)?;
        reader.version.check(&reader.source)?;
        Ok(reader)
    }
}

impl Unlocked {
    /// Returns a reader of ranges of the object in `source`. The payload's first 56 bytes are not fetched, because the
    /// header repeats them.
    ///
    /// # Errors
    /// [`Error::Truncated`] if no object has the source's length; as [`Unlocked::load_manifest`]; [`Error::Io`].
    pub fn range_reader<S: ReadAt>(&self, source: S) -> Result<RangeReader<S>> {
        let version = PinnedVersion::default();
        let unlocked = self.load_pinned(&source, &version)?;
        let size = source.size().map_err(Error::io("asking for the input's length"))?;
        let claimed_len = unlocked.plaintext_len(size)?;
        let verified_len = OnceLock::new();
        if unlocked.is_composite() {
            // The manifest was opened, and fits.
            verified_len.get_or_init(|| claimed_len);
        }
        Ok(RangeReader {
            source,
            unlocked,
            size,
            claimed_len,
            verified_len,
            version,
            buffers: BufferPool::new(8),
        })
    }
}

impl<S: ReadAt> RangeReader<S> {
    /// The object being read.
    pub const fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The source.
    pub const fn get_ref(&self) -> &S {
        &self.source
    }

    /// Returns the source.
    pub fn into_inner(self) -> S {
        self.source
    }

    /// The plaintext's length as the source's length claims it: for planning, not for answers.
    #[must_use]
    pub const fn claimed_len(&self) -> u64 {
        self.claimed_len
    }

    /// The source's bytes to fetch for several plaintext ranges, ascending and disjoint. Two that are at most `max_gap`
    /// bytes apart become one.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`] if a range is reversed or reaches past the verified end; as
    /// [`RangeReader::verified_len`].
    pub fn ciphertext_ranges(
        &self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        max_gap: u64,
    ) -> Result<Vec<Range<u64>>> {
        let layout = self.unlocked.header().layout();
        let mut fetches = Vec::new();
        for range in ranges {
            let runs = match self.unlocked.runs(range, self.claimed_len) {
                // The object may be truncated: the end is verified before the range is reported as out of bounds.
                Err(Error::RangeOutOfBounds { start, end, .. }) => Err(self.out_of_bounds(start, end)?),
                planned => planned,
            }?;
            // One fetch for each range, with what lies between two components.
            let mut runs = runs.map(|run| run.ciphertext(layout));
            if let Some(first) = runs.next().transpose()? {
                let end = runs.last().transpose()?.map_or(first.end, |last| last.end);
                fetches.push(first.start..end);
            }
        }
        Ok(merge_ranges(fetches, max_gap))
    }

    /// Opens `range` of the plaintext from bytes that the caller fetched. They begin at offset `fetched_from` of the
    /// source and include at least what [`RangeReader::ciphertext_ranges`] returns. The source is read only to verify
    /// its end, before a range is reported as out of bounds and unless the end was verified already.
    ///
    /// # Errors
    /// [`Error::NotFetched`] if bytes are missing; [`Error::ChunkAltered`]; as [`RangeReader::resolve`].
    pub fn open_fetched(&self, range: Range<u64>, fetched_from: u64, fetched: &[u8]) -> Result<Bytes> {
        let range = self.within(range)?;
        // Checked before a buffer is allocated: the range may be hostile.
        for need in self.ciphertext_ranges([range.clone()], 0)? {
            let end = fetched_from.saturating_add(fetched.len() as u64);
            if need.start < fetched_from || need.end > end {
                return Err(Error::NotFetched {
                    start: need.start,
                    end: need.end,
                });
            }
        }
        let mut buffer = vec![0; buffer_len(range.end - range.start)?];
        self.fill_from(&mut buffer, range, |sealed, offset| {
            let from = buffer_len(offset - fetched_from)?;
            sealed.copy_from_slice(&fetched[from..from + sealed.len()]);
            Ok(())
        })?;
        Ok(buffer.into())
    }

    /// The plaintext's length, verified by opening the final chunk once.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], also if bytes follow the object's end; [`Error::SourceChanged`],
    /// [`Error::SourceVersionChanged`], [`Error::Io`].
    pub fn verified_len(&self) -> Result<u64> {
        if let Some(&len) = self.verified_len.get() {
            return Ok(len);
        }
        let end = self.claimed_len..self.claimed_len;
        for piece in self.unlocked.pieces(self.unlocked.runs(end, self.claimed_len)?) {
            self.with_plaintext(&piece?, |sealed, offset| self.fetch(sealed, offset), |_| ())?;
        }
        Ok(*self.verified_len.get_or_init(|| self.claimed_len))
    }

    /// Reads plaintext from `offset` on into `buffer`; returns the number of bytes, which is less than the buffer's
    /// length only at the verified end.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::SourceChanged`], [`Error::SourceVersionChanged`], [`Error::Io`]. `buffer` is
    /// then zeroed.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.read_some(buffer, offset).inspect_err(|_| buffer.fill(0))
    }

    fn read_some(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut end = offset.saturating_add(buffer.len() as u64);
        if end > self.claimed_len {
            end = end.min(self.verified_len()?);
        }
        if offset >= end {
            return Ok(0);
        }
        let len = buffer_len(end - offset)?;
        self.fill(&mut buffer[..len], offset..end).map(|()| len)
    }

    /// Reads a range of plaintext bytes. A range that is open-ended or reaches the end verifies the end.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`] if the range is reversed or reaches past the verified end; as
    /// [`RangeReader::read_at`].
    pub fn read_range(&self, range: impl RangeBounds<u64>) -> Result<Bytes> {
        let range = self.within(range)?;
        let mut buffer = new_buffer(range.end - range.start)?;
        self.fill(&mut buffer, range)?;
        Ok(buffer.into())
    }

    /// Reads the last `len` bytes, or all if there are fewer; the end is verified first.
    ///
    /// # Errors
    /// As [`RangeReader::read_at`].
    pub fn read_suffix(&self, len: u64) -> Result<Bytes> {
        let end = self.verified_len()?;
        self.read_range(end.saturating_sub(len)..end)
    }

    /// Resolves a range to start and end; the end is verified if the range reaches it.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`]; as [`RangeReader::verified_len`].
    pub fn resolve(&self, range: impl RangeBounds<u64>) -> Result<Range<u64>> {
        let range = self.within(range)?;
        if range.end == self.claimed_len {
            self.verified_len()?;
        }
        Ok(range)
    }

    /// [`RangeReader::resolve`] for a range that is opened next: if it reaches the end, that opens the final chunk.
    fn within(&self, range: impl RangeBounds<u64>) -> Result<Range<u64>> {
        let range = bounds(&range, || self.verified_len())?;
        if range.start > range.end || range.end > self.claimed_len {
            return Err(self.out_of_bounds(range.start, range.end)?);
        }
        Ok(range)
    }

    /// The error for a range that is not within the plaintext; the end is verified first.
    fn out_of_bounds(&self, start: u64, end: u64) -> Result<Error> {
        let len = self.verified_len()?;
        Ok(Error::RangeOutOfBounds { start, end, len })
    }

    /// Fills `buffer` with the plaintext of `range`, which is within the claimed length.
    fn fill(&self, buffer: &mut [u8], range: Range<u64>) -> Result<()> {
        self.fill_from(buffer, range, |sealed, offset| self.fetch(sealed, offset))
    }

    /// [`RangeReader::fill`], where `fetch` fills a buffer with the source's bytes from an offset on.
    fn fill_from(
        &self,
        buffer: &mut [u8],
        range: Range<u64>,
        fetch: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        let reaches_end = range.end == self.claimed_len;
        let mut rest = buffer;
        let runs = self.unlocked.runs(range.clone(), self.claimed_len)?;
        for piece in self.unlocked.pieces(runs) {
            let piece = piece?;
            let from = buffer_len(range.start.saturating_sub(piece.plain_offset))?;
            let len = rest.len().min(piece.span.plain_len - from);
            let (part, after) = rest.split_at_mut(len);
            self.with_plaintext(&piece, &fetch, |plain| part.copy_from_slice(&plain[from..from + len]))?;
            rest = after;
        }
        if reaches_end {
            // The final chunk was among them.
            self.verified_len.get_or_init(|| self.claimed_len);
        }
        Ok(())
    }

    /// Fills `sealed` with the source's bytes. Fails if the source has fewer or has changed.
    fn fetch(&self, sealed: &mut [u8], offset: u64) -> Result<()> {
        let have = read_full_at(&self.source, sealed, offset)?;
        self.version.check(&self.source)?;
        if have < sealed.len() {
            return Err(Error::SourceChanged { expected: self.size });
        }
        Ok(())
    }

    /// Fetches and opens a span and passes its plaintext to `use_it`.
    fn with_plaintext(
        &self,
        piece: &Piece,
        fetch: impl Fn(&mut [u8], u64) -> Result<()>,
        use_it: impl FnOnce(&[u8]),
    ) -> Result<()> {
        let mut sealed = self.buffers.take(piece.span.sealed_len);
        fetch(&mut sealed, piece.offset())?;
        let mut plain = self.buffers.take(piece.span.plain_len);
        piece.open(&sealed, &mut plain)?;
        use_it(&plain);
        self.buffers.give_back(sealed);
        self.buffers.give_back(plain);
        Ok(())
    }
}

/// Converts a range to start and end, which may be reversed; `len` returns the end of an open-ended one.
fn bounds(range: &impl RangeBounds<u64>, len: impl FnOnce() -> Result<u64>) -> Result<Range<u64>> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len()?,
    };
    Ok(start..end)
}

impl<S> fmt::Debug for RangeReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader")
            .field("claimed_len", &self.claimed_len)
            .finish_non_exhaustive()
    }
}
