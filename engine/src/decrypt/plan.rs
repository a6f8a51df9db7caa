//! What a reader of one run of plaintext reads and returns.

use std::ops::Range;

use crate::buffer::buffer_len;
use crate::error::Result;
use crate::unlocked::Unlocked;
use crate::unlocked::runs::Runs;

/// A range of the plaintext, and the runs of chunks that hold it.
#[derive(Debug, Clone)]
pub(crate) struct RangePlan {
    pub(crate) runs: Runs,
    /// Plaintext bytes of the first chunk before the range.
    pub(crate) skip: usize,
    /// Where the range begins in the plaintext, in bytes.
    pub(crate) position: u64,
    /// Bytes of the range.
    pub(crate) plain: u64,
    /// What is read, in bytes of the object.
    pub(crate) ciphertext: Range<u64>,
}

impl RangePlan {
    /// The plaintext bytes `range` of a plaintext that is claimed to be `claimed_len` bytes long.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`](crate::Error::RangeOutOfBounds) if `range` is reversed or reaches past the claimed
    /// end.
    pub(crate) fn new(unlocked: &Unlocked, range: &Range<u64>, claimed_len: u64) -> Result<Self> {
        Self::of_runs(unlocked, unlocked.runs(range.clone(), claimed_len)?, range)
    }

    /// All of a composite object, whose manifest was read: every component with its first 56 bytes.
    pub(crate) fn whole(unlocked: &Unlocked, plaintext_len: u64) -> Result<Self> {
        Self::of_runs(unlocked, unlocked.all_runs(plaintext_len)?, &(0..plaintext_len))
    }

    fn of_runs(unlocked: &Unlocked, runs: Runs, range: &Range<u64>) -> Result<Self> {
        let layout = unlocked.header().layout();
        let (first, last) = (runs.clone().next(), runs.clone().last());
        let (mut skip, mut ciphertext) = (0, 0..0);
        if let (Some(first), Some(last)) = (first, last) {
            let inside = first.range().start;
            skip = buffer_len(inside - layout.plaintext_offset(layout.chunk_at(inside)?))?;
            ciphertext = first.read_from(layout)?..last.ciphertext(layout)?.end;
        }
        Ok(Self {
            runs,
            skip,
            position: range.start,
            plain: range.end - range.start,
            ciphertext,
        })
    }
}
