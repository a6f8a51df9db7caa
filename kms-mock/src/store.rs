//! All keys, aliases and grants, and the file that they may be kept in.
//!
//! ```text
//! view:    the state as it is, an Arc: nobody waits, however long a change takes
//! change:  a copy (of pointers) -> changed -> written to the file -> put in the place of the old one
//! ```
//!
//! A change that fails, or cannot be written, leaves no trace. What time brings about (rotation, deletion) happens at
//! the first access after its time.

mod grant;
mod key;
mod material;
mod persist;
mod seed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::grant::{Constraints, Grant};
pub(crate) use self::key::{Key, KeyManager, KeyStatus};
pub(crate) use self::material::{Material, MaterialId, RotationType};
pub(crate) use self::persist::{StateFile, StateFileError};
pub(crate) use self::seed::Seed;
use crate::error::KmsError;

/// All there is, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) keys: BTreeMap<Uuid, Arc<Key>>,
    pub(crate) aliases: BTreeMap<String, Alias>,
    /// When time alone changes something; `None`: never.
    next_due: Option<Duration>,
}

/// A name of a key: `alias/...` in the map of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    #[serde(with = "persist::text")]
    pub(crate) target: Uuid,
    #[serde(with = "persist::millis")]
    pub(crate) created: Duration,
    #[serde(with = "persist::millis")]
    pub(crate) updated: Duration,
}

impl State {
    /// The key of an alias.
    pub(crate) fn aliased(&self, alias: &str) -> Option<&Arc<Key>> {
        self.aliases.get(alias).and_then(|alias| self.keys.get(&alias.target))
    }

    /// The grant that a token was given for.
    pub(crate) fn granted(&self, token: &str) -> Option<(&Arc<Key>, &Arc<Grant>)> {
        let (key, grant) = grant::places_of_token(token)?;
        let key = self.keys.get(&key)?;
        let grant = key.grants.get(grant)?;
        (grant.token == token).then_some((key, grant))
    }

    /// A key to be changed.
    pub(crate) fn key_mut(&mut self, id: Uuid) -> Option<&mut Key> {
        self.keys.get_mut(&id).map(Arc::make_mut)
    }

    /// Rotates and deletes what is due.
    fn settle(&mut self, now: Duration) -> Result<(), KmsError> {
        if self.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.keys.retain(|_, key| !key.is_gone(now));
        self.aliases.retain(|_, alias| self.keys.contains_key(&alias.target));
        for key in self.keys.values_mut().filter(|key| key.rotation_is_due(now)) {
            Arc::make_mut(key).rotate_automatically(now)?;
        }
        Ok(())
    }

    fn find_next_due(&mut self) {
        self.next_due = self.keys.values().filter_map(|key| key.next_due()).min();
    }
}

/// The current state, and where it is kept.
#[derive(Debug)]
pub(crate) struct Store {
    current: RwLock<Arc<State>>,
    /// Held while a change is made: one at a time.
    file: Mutex<Option<StateFile>>,
}

impl Store {
    pub(crate) fn new(mut state: State, file: Option<StateFile>) -> Self {
        state.find_next_due();
        Self {
            current: RwLock::new(Arc::new(state)),
            file: Mutex::new(file),
        }
    }

    /// The state at `now`.
    ///
    /// # Errors
    /// `KMSInternalException` if time changed something that cannot be written.
    pub(crate) fn view(&self, now: Duration) -> Result<Arc<State>, KmsError> {
        let state = self.snapshot();
        if state.next_due.is_none_or(|due| due > now) {
            return Ok(state);
        }
        self.change(now, |_| Ok(()))?;
        Ok(self.snapshot())
    }

    /// Changes the state as a whole, or not at all.
    ///
    /// # Errors
    /// That of `change`; `KMSInternalException` if the state cannot be written.
    pub(crate) fn change<T>(
        &self,
        now: Duration,
        change: impl FnOnce(&mut State) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.snapshot());
        state.settle(now)?;
        let made = change(&mut state)?;
        state.find_next_due();
        if let Some(file) = &*file {
            file.write(&state, now).map_err(|error| {
                KmsError::internal(format!(
                    "The state was not changed, because it cannot be written: {error}"
                ))
            })?;
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(made)
    }

    fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
