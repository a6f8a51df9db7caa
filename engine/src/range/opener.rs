//! One range as a stream, from bytes that the caller fetches.
//!
//! ```text
//! Unlocked --range(object_len, 1000..2000)--> RangeOpener
//!     ciphertext_range() -> what to fetch     the caller's client -> open, reader, open_stream -> plaintext 1000..2000
//! ```

use std::io::{BufRead, Read};
use std::ops::{Range, RangeBounds};

use bytes::Bytes;
use zeroize::Zeroize;

use super::bounds;
use crate::buffer::{buffer_len, new_buffer};
use crate::decrypt::DecryptReader;
use crate::decrypt::machine::OpenMachine;
use crate::decrypt::plan::RangePlan;
use crate::error::{Error, Result};
use crate::unlocked::Unlocked;

/// Opens one range of an object's plaintext as a stream, from ciphertext that the caller fetches. No method calls a key
/// provider or fetches anything.
///
/// Every byte returned has been verified. The object's length is only what storage claims: a range that reaches the end
/// opens the final chunk, and fails if the object is longer or shorter; a range before the end does not verify the
/// length.
#[derive(Debug, Clone)]
pub struct RangeOpener {
    unlocked: Unlocked,
    plan: RangePlan,
    plaintext: Range<u64>,
}

impl Unlocked {
    /// Prepares to open the plaintext bytes `range` of the object, which storage claims to be `object_len` bytes long.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`](crate::Error::RangeOutOfBounds) if the range is reversed or reaches past the end that
    /// `object_len` claims; [`Error::Truncated`](crate::Error::Truncated) or
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge) if no object has that length;
    /// [`CompositeError::ManifestNotLoaded`](crate::error::CompositeError::ManifestNotLoaded).
    pub fn range(&self, object_len: u64, range: impl RangeBounds<u64>) -> Result<RangeOpener> {
        let claimed_len = self.plaintext_len(object_len)?;
        let plaintext = bounds(&range, || Ok(claimed_len))?;
        Ok(RangeOpener {
            unlocked: self.clone(),
            plan: RangePlan::new(self, &plaintext, claimed_len)?,
            plaintext,
        })
    }
}

impl RangeOpener {
    /// The object being read.
    pub const fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The range of plaintext bytes to open.
    #[must_use]
    pub const fn plaintext_range(&self) -> &Range<u64> {
        &self.plaintext
    }

    /// The bytes of the object to fetch: the chunks that hold the plaintext, and what lies between them where the range passes
    /// from one component to the next. Empty only for an empty range before the end, or in a composite object.
    #[must_use]
    pub const fn ciphertext_range(&self) -> &Range<u64> {
        &self.plan.ciphertext
    }

    /// Returns a reader of the plaintext. `ciphertext` yields the bytes of [`RangeOpener::ciphertext_range`]; bytes
    /// after them are not read. The reader's errors are those of [`DecryptReader`].
    pub fn reader<R: Read>(&self, ciphertext: R) -> impl BufRead + use<R> {
        DecryptReader::driving(self.machine(), ciphertext, self.unlocked.clone())
    }

    /// Opens the range from `ciphertext`, the bytes of [`RangeOpener::ciphertext_range`]; returns the plaintext. Works on
    /// the executor's threads.
    ///
    /// # Errors
    /// [`Error::NotFetched`](crate::Error::NotFetched) if bytes are missing;
    /// [`Error::ChunkAltered`](crate::Error::ChunkAltered), [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn open(&self, ciphertext: &[u8]) -> Result<Bytes> {
        let Range { start, end } = self.plan.ciphertext;
        let have = start.saturating_add(ciphertext.len() as u64);
        // Checked before a buffer is allocated: the range may be hostile.
        if have < end {
            return Err(Error::NotFetched { start: have, end });
        }
        let layout = self.unlocked.header().layout();
        let mut chunks_len = 0;
        for run in self.plan.runs.clone() {
            chunks_len += run.chunks_len(layout)?;
        }
        let mut chunks = new_buffer(chunks_len)?;
        let opened = self
            .unlocked
            .open_runs(self.plan.runs.clone(), ciphertext, start, &mut chunks);
        opened.inspect_err(|_| chunks.zeroize())?;
        let len = buffer_len(self.plan.plain)?;
        if len == 0 {
            // Before the end, an empty range has no chunk to skip in.
            return Ok(Bytes::new());
        }
        let range = self.plan.skip..self.plan.skip + len;
        if chunks.len() / 2 > len {
            // A small range must not keep a long chunk in memory.
            let plaintext = Bytes::copy_from_slice(&chunks[range]);
            chunks.zeroize();
            return Ok(plaintext);
        }
        Ok(Bytes::from(chunks).slice(range))
    }

    pub(crate) fn machine(&self) -> OpenMachine {
        OpenMachine::of_range(&self.unlocked, &self.plan)
    }
}
