//! An object's file while its header is rewritten.
//!
//! ```text
//! lock -> sync, read both copies -> the caller inspects the header and chooses changes -> written -> unlocked
//! ```

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Rewrap, Rewrapped, in_place, plan};
use crate::cipher::Backend;
use crate::composite::{CompositeKeys, read_manifest};
use crate::data_key::DataKey;
use crate::error::{Error, Result};
use crate::header::{ATTACHED_LEN, Header, ObjectHeader};
use crate::positioned::PinnedVersion;
use crate::sys;

/// An object's file, locked against other rewraps, and the header that was read under the lock.
///
/// If changes depend on the header, take it from here: a header that was read before the lock may have been rewritten
/// since. Dropping this releases the lock.
#[derive(Debug)]
#[must_use = "dropping it releases the lock"]
pub struct LockedObject<'a> {
    file: &'a File,
    found: ObjectHeader,
    /// Released after the lock.
    _turn: Turn,
}

impl<'a> LockedObject<'a> {
    /// How long [`Rewrap::file`] waits for the lock.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);

    /// Locks the object in `file`, which must be open for reading and writing, and reads its attached header. Any
    /// process that may open the file can hold a lock on it, so this waits at most `wait`.
    ///
    /// # Errors
    /// [`Error::Locked`]; any error of a header; [`Error::Io`].
    pub fn lock(file: &'a File, wait: Duration) -> Result<Self> {
        let turn = acquire(file, wait)?;
        match in_place::begin(file) {
            Ok(found) => Ok(Self {
                file,
                found,
                _turn: turn,
            }),
            Err(error) => {
                // Closing the file would unlock it too, but the file is the caller's.
                let _ = file.unlock();
                Err(error)
            }
        }
    }

    /// The header, with the faults of its copies.
    #[must_use]
    pub const fn header(&self) -> &ObjectHeader {
        &self.found
    }

    /// Rewrites the header as `rewrap` specifies, and releases the lock. See [`Rewrap::file`].
    ///
    /// # Errors
    /// As [`Rewrap::file`].
    pub fn rewrap(self, rewrap: &Rewrap) -> Result<Rewrapped> {
        let rewrapped = in_place::rewrite(self.file, &self.found, |header, repairs| {
            let check = |data_key: &DataKey| check_manifest(self.file, header, data_key);
            pollster::block_on(plan::plan(rewrap, header, repairs, Some(&check)))
        })?;
        sys::uninterrupted(|| self.file.unlock()).map_err(Error::io("unlocking the object"))?;
        Ok(rewrapped)
    }
}

/// Checks that the payload in `file` is the one that was sealed under this data key. A plain payload begins with what its
/// header repeats, and was compared when the header was read; of a composite one the manifest must open.
fn check_manifest(file: &File, header: &Header, data_key: &DataKey) -> Result<()> {
    if !header.payload_kind().is_composite() {
        return Ok(());
    }
    let data_key = DataKey::init_with(|copy| copy.copy_from_slice(data_key.expose()));
    let keys = CompositeKeys::new(data_key, header.core(), Backend::default());
    read_manifest(&keys, ATTACHED_LEN as u64, file, &PinnedVersion::default()).map(drop)
}

impl Drop for LockedObject<'_> {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Waits for an exclusive lock. The system's blocking call has no timeout, and any reader of the file could hold the
/// lock forever.
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

/// A file's turn among the rewraps of this process. The system's lock belongs to the open file, so it does not exclude
/// threads that share one [`File`] or have clones of it.
#[derive(Debug)]
struct Turn(Option<sys::FileId>);

impl Turn {
    /// `None` while another rewrap has it.
    fn take(id: Option<sys::FileId>) -> Option<Self> {
        let is_free = id.is_none_or(|id| taken().insert(id));
        // Created only then, because dropping one ends the turn.
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
