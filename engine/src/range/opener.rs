//! One range as a stream, from bytes that the caller fetches.
//!
//! ```text
//! Unlocked --range(object_len, 1000..2000)--> RangeOpener
//!     ciphertext_range() -> what to fetch     the caller's client -> reader, open_stream -> plaintext 1000..2000
//! ```

use std::io::{BufRead, Read};
use std::ops::{Range, RangeBounds};

use super::bounds;
use crate::decrypt::DecryptReader;
use crate::decrypt::machine::OpenMachine;
use crate::decrypt::plan::RangePlan;
use crate::error::Result;
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

    pub(crate) fn machine(&self) -> OpenMachine {
        OpenMachine::of_range(&self.unlocked, &self.plan)
    }
}
