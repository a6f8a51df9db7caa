//! All keys, aliases and grants, and the file that can keep them.
//!
//! ```text
//! view:    the current state; readers do not wait for a change that is being written
//! change:  prepared beside the state -> written to the file as a line -> applied to the state
//! ```
//!
//! A change that fails, or cannot be written, has no effect. Its cost depends on what it touches, not on the number of
//! keys. Rotation and deletion are done at the first access after they are due.

mod change;
mod grant;
mod key;
mod material;
mod name;
mod persist;
mod seed;
mod state;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

pub(crate) use self::change::Transaction;
pub(crate) use self::grant::{Constraints, Grant};
pub(crate) use self::key::{Key, KeyManager, KeyStatus, MultiRegion, Rotation};
pub(crate) use self::material::{Material, MaterialId, RotationType};
pub(crate) use self::name::{KeyId, Place, Region};
pub(crate) use self::persist::{StateFile, StateFileError};
pub(crate) use self::seed::Seed;
pub(crate) use self::state::{Alias, AliasPlace, GrantPlace, State};
use crate::error::KmsError;

/// The current state, and where it is kept.
#[derive(Debug)]
pub(crate) struct Store {
    current: RwLock<State>,
    /// Locked during a change: there is one at a time.
    file: Mutex<Option<StateFile>>,
}

/// A view of the state. Drop it before taking another one and before a change.
pub(crate) type View<'s> = RwLockReadGuard<'s, State>;

impl Store {
    /// An empty store in memory.
    pub(crate) fn new() -> Self {
        Self {
            current: RwLock::default(),
            file: Mutex::default(),
        }
    }

    /// Opens the store that a file keeps. Also returns the time of its last change.
    ///
    /// # Errors
    /// Any [`StateFileError`].
    pub(crate) fn open(path: PathBuf, account: &str) -> Result<(Self, Duration), StateFileError> {
        let (file, state, time) = StateFile::open(path, account)?;
        let store = Self {
            current: RwLock::new(state),
            file: Mutex::new(Some(file)),
        };
        Ok((store, time))
    }

    /// The state at `now`.
    ///
    /// # Errors
    /// `KMSInternalException` if a due change cannot be written.
    pub(crate) fn view(&self, now: Duration) -> Result<View<'_>, KmsError> {
        let state = self.read();
        if !state.is_due(now) {
            return Ok(state);
        }
        drop(state);
        self.change(now, |_| Ok(()))?;
        Ok(self.read())
    }

    /// Changes the state, atomically.
    ///
    /// # Errors
    /// The error of `change`; `KMSInternalException` if the state cannot be written.
    pub(crate) fn change<T>(
        &self,
        now: Duration,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.read();
        let mut transaction = Transaction::new(&state);
        transaction.settle(now)?;
        let made = change(&mut transaction)?;
        let changes = transaction.into_changes();
        if let Some(file) = &mut *file {
            file.append(&state, &changes, now).map_err(|error| {
                KmsError::internal(format!(
                    "The state was not changed, because it cannot be written: {error}"
                ))
            })?;
        }
        // Only the holder of the file's lock changes the state: it stays the same between the two locks.
        drop(state);
        let mut state = self.current.write().unwrap_or_else(PoisonError::into_inner);
        state.apply(changes);
        drop(state);
        if let Some(file) = &mut *file {
            file.compact_if_long(&self.read(), now);
        }
        Ok(made)
    }

    fn read(&self) -> View<'_> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}
