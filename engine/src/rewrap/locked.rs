//! An object's file while its header is rewritten.
//!
//! ```text
//! lock -> sync, read both copies -> the caller looks at the header and says what to change -> written -> unlocked
//! ```

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Rewrap, Rewrapped, in_place, plan};
use crate::error::{Error, Result};
use crate::header::ObjectHeader;
use crate::sys;

/// An object's file, locked against other rewraps, and the header that was read under the lock.
///
/// Whoever chooses what to change by what the header says chooses it from here: a header that was read before the lock
/// may be another rewrap's past. The lock is given up when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives up the lock"]
pub struct LockedObject<'a> {
    file: &'a File,
    found: ObjectHeader,
    /// Given up after the lock.
    _turn: Turn,
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
        let turn = acquire(file, wait)?;
        match in_place::begin(file) {
            Ok(found) => Ok(Self {
                file,
                found,
                _turn: turn,
            }),
            Err(error) => {
                // Closing the file would do it too, but the file is the caller's.
                let _ = file.unlock();
                Err(error)
            }
        }
    }

    /// The header, and what is wrong with its copies.
    #[must_use]
    pub const fn header(&self) -> &ObjectHeader {
        &self.found
    }

    /// Rewrites the header as `rewrap` says, and releases the lock. See [`Rewrap::file`].
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

/// Waits for an exclusive lock. The system's own wait has no end, and a reader could hold it up forever.
fn acquire(file: &File, wait: Duration) -> Result<Turn> {
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);
    let id = sys::file_id(file).map_err(Error::io("locking the object"))?;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(turn) = Turn::take(id) {
            match file.try_lock() {
                Ok(()) => return Ok(turn),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(Error::from_io("locking the object", error)),
            }
        }
        let waited = begun.elapsed();
        if waited >= wait {
            return Err(Error::Locked { waited });
        }
        thread::sleep(pause.min(wait - waited));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A file's turn among the rewraps of this process. The system's lock belongs to the open file, and does not keep apart
/// those who share that: threads with one [`File`], or with clones of it.
#[derive(Debug)]
struct Turn(Option<sys::FileId>);

impl Turn {
    /// `None` while somebody else has it.
    fn take(id: Option<sys::FileId>) -> Option<Self> {
        let is_free = id.is_none_or(|id| taken().insert(id));
        // Made only then: one that is dropped gives the turn up.
        is_free.then(|| Self(id))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(id) = &self.0 {
            taken().remove(id);
        }
    }
}

/// The files whose turn is taken.
fn taken() -> MutexGuard<'static, BTreeSet<sys::FileId>> {
    static TAKEN: Mutex<BTreeSet<sys::FileId>> = Mutex::new(BTreeSet::new());
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}
