//! An object's file while its header is rewritten.
//!
//! ```text
//! lock -> sync, read both copies -> the caller looks at the header and says what to change -> written -> unlocked
//! ```

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Rewrap, Rewrapped, in_place, plan};
use crate::error::{Error, Result};
use crate::header::AttachedHeader;
use crate::sys;

/// An object's file, locked against other rewraps, and the header that was read under the lock.
///
/// Whoever chooses what to change by what the header says chooses it from here: a header that was read before the lock
/// may be another rewrap's past. The lock is given up when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives up the lock"]
pub struct LockedObject<'a> {
    file: &'a File,
    found: AttachedHeader,
}

impl<'a> LockedObject<'a> {
    /// How long [`Rewrap::file`] waits for the lock.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);

    /// Locks the object in `file`, which is open for reading and writing, and reads its attached header. Any process
    /// that may open the file can hold a lock on it, so this waits for at most `wait`.
    ///
    /// # Errors
    /// [`Error::Locked`]; every error of a header; [`Error::Io`].
    pub fn lock(file: &'a File, wait: Duration) -> Result<Self> {
        acquire(file, wait)?;
        match in_place::begin(file) {
            Ok(found) => Ok(Self { file, found }),
            Err(error) => {
                // Closing the file would do it too, but the file is the caller's.
                let _ = file.unlock();
                Err(error)
            }
        }
    }

    /// The header, and what is wrong with its copies.
    #[must_use]
    pub const fn header(&self) -> &AttachedHeader {
        &self.found
    }

    /// Rewrites the header as `rewrap` says, and gives up the lock. See [`Rewrap::file`].
    ///
    /// # Errors
    /// As [`Rewrap::file`].
    pub fn rewrap(self, rewrap: &Rewrap) -> Result<Rewrapped> {
        let rewrapped = in_place::rewrite(self.file, &self.found, |header, repairs| {
            pollster::block_on(plan::plan(rewrap, header, repairs))
        })?;
        sys::uninterrupted(|| self.file.unlock()).map_err(Error::io("unlocking the object"))?;
        Ok(rewrapped)
    }
}

impl Drop for LockedObject<'_> {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Waits for an exclusive lock. The system's own wait has no end, and a reader could hold it up for ever.
fn acquire(file: &File, wait: Duration) -> Result<()> {
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(Error::from_io("locking the object", error)),
        }
        let waited = begun.elapsed();
        if waited >= wait {
            return Err(Error::Locked { waited });
        }
        thread::sleep(pause.min(wait - waited));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
