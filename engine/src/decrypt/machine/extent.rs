//! What remains of a range while it is read: chunks of one run after another.
//!
//! ```text
//! chunks of a component | the next one's first 56 bytes | its chunks | ...
//!                         read, and compared if the whole object is read
//! ```

use crate::error::Result;
use crate::layout::PREFIX_LEN;
use crate::unlocked::Unlocked;
use crate::unlocked::runs::{ComponentPrefix, Runs};

/// What remains of a range.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) unlocked: Unlocked,
    /// The runs after the current one.
    pub(super) runs: Runs,
    /// Where the plaintext of the current run's payload or component begins in the object's.
    pub(super) plain_start: u64,
    /// What is read before the current run's chunks: the first 56 bytes of a component that follows another.
    pub(super) lead: Option<Lead>,
    /// Sealed bytes of the current run that have not been read.
    pub(super) sealed: u64,
    /// Plaintext bytes that have not been made available.
    pub(super) plain: u64,
}

/// A component's first 56 bytes, as far as they have been read.
#[derive(Debug)]
pub(super) struct Lead {
    /// What they are compared with; `None` if only a range is read.
    expected: Option<ComponentPrefix>,
    pub(super) found: [u8; PREFIX_LEN],
    pub(super) have: usize,
}

impl Extent {
    /// Accepts `count` more of a component's first 56 bytes.
    ///
    /// # Errors
    /// [`CompositeError::ComponentExchanged`](crate::error::CompositeError::ComponentExchanged).
    pub(super) fn lead_filled(&mut self, count: usize) -> Result<()> {
        let Some(lead) = &mut self.lead else { return Ok(()) };
        lead.have += count;
        if lead.have == PREFIX_LEN {
            if let Some(expected) = &lead.expected {
                expected.check(&lead.found)?;
            }
            self.lead = None;
        }
        Ok(())
    }
}

impl Lead {
    pub(super) const fn new(expected: Option<ComponentPrefix>) -> Self {
        Self {
            expected,
            found: [0; PREFIX_LEN],
            have: 0,
        }
    }
}
