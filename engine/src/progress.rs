//! The progress of a long operation, and the way to cancel it from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// A counter of processed plaintext bytes and a cancel flag. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// A counter at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plaintext bytes sealed or opened so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Asks the operation to stop: before its next batch it returns [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Counts a batch.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the operation was cancelled.
    pub(crate) fn advance(&self, bytes: usize) -> Result<()> {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}
