//! A file of named keys on this machine.
//!
//! ```text
//! key id = name "#" id      id: 32 hex digits, random, of one version of the key
//! ```
//!
//! The id alone identifies the secret; the name is for people. The newest version of a name wraps, and every version of
//! every name unwraps.

mod file;
mod manage;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use self::file::IfMissing;
use self::stored::{Ring, Version, is_name};
use super::{BoxFuture, KeyMatch, KeyProvider, wrap};
use crate::context::EncryptionContext;
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::registry;

const ID: &str = KeyRing::ID;

/// Named keys in a file that only its owner can read.
///
/// Keep the file safe: without it, everything sealed with its keys is lost. Changes are safe against other threads and
/// processes and against being killed: the file is either the old one or the new one.
pub struct KeyRing {
    place: Place,
    ring: Ring,
    sealing: String,
}

impl KeyRing {
    /// The provider id of key rings.
    pub const ID: &'static str = registry::LOCAL;
    /// The name of the key that seals by default.
    pub const DEFAULT_NAME: &str = "default";

    /// Reads a key ring file. Never creates one.
    ///
    /// # Errors
    /// Class `NotFound` if it is missing; `Configuration` if it cannot be read, is corrupted, or is accessible to anyone but
    /// its owner.
    pub fn open(path: &Path) -> Result<Self, ProviderError> {
        let ring = file::read(path)?.ok_or_else(|| file::missing(path))?;
        Ok(Self::at(path, ring, Self::DEFAULT_NAME))
    }

    /// Opens a key ring file with `name` as its sealing key. Creates the file, its directory and the key if they do not
    /// exist, and returns whether it created the key. Concurrent callers create one key between them, and all use it.
    ///
    /// # Errors
    /// As [`open`](Self::open), except for a missing file; also `Configuration` if `name` is not a key name or the file
    /// cannot be written.
    pub fn create_or_open(path: &Path, name: &str) -> Result<(Self, bool), ProviderError> {
        if let Some(ring) = file::read(path)?.filter(|ring| ring.newest(name).is_some()) {
            return Ok((Self::at(path, ring, name), false));
        }
        check_name(name)?;
        let mut created = false;
        let ring = file::change(path, IfMissing::Create, |ring| {
            created = ring.newest(name).is_none();
            if created {
                ring.add_version(name)?;
            }
            Ok(created)
        })?;
        Ok((Self::at(path, ring, name), created))
    }

    /// Adds a key named `name` and makes it the sealing key of the returned ring. Creates the file if it is missing.
    ///
    /// # Errors
    /// Class `Configuration` if the name is already in use, and as [`create_or_open`](Self::create_or_open).
    pub fn add(path: &Path, name: &str) -> Result<Self, ProviderError> {
        match Self::create_or_open(path, name)? {
            (ring, true) => Ok(ring),
            (ring, false) => {
                Err(configuration(format!("{} already has a key named {name}", ring.place)).with_key_id(name))
            }
        }
    }

    /// Adds a version to the key `name`. The new version seals from now on; older ones still unwrap.
    ///
    /// # Errors
    /// Class `NotFound` if the file or the key does not exist, and as [`open`](Self::open).
    pub fn rotate(path: &Path, name: &str) -> Result<Self, ProviderError> {
        let ring = file::change(path, IfMissing::Fail, |ring| match ring.newest(name) {
            Some(_) => ring.add_version(name).map(|()| true),
            None => Err(no_such_key(&Place::File(path.to_owned()), ring, name)),
        })?;
        Ok(Self::at(path, ring, name))
    }

    /// Creates a key ring with one key, in memory only: objects sealed with it cannot be opened after the ring is
    /// dropped.
    ///
    /// # Errors
    /// Class `Configuration` if `name` is not a key name; `Unavailable` if the random generator fails.
    pub fn in_memory(name: &str) -> Result<Self, ProviderError> {
        check_name(name)?;
        let mut ring = Ring::empty();
        ring.add_version(name)?;
        Ok(Self {
            place: Place::Memory,
            ring,
            sealing: name.to_owned(),
        })
    }

    /// Chooses the key that seals.
    ///
    /// # Errors
    /// Class `NotFound` if the ring has no key of that name.
    pub fn with_sealing_key(mut self, name: &str) -> Result<Self, ProviderError> {
        if self.ring.newest(name).is_none() {
            return Err(no_such_key(&self.place, &self.ring, name));
        }
        name.clone_into(&mut self.sealing);
        Ok(self)
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn sealing_key(&self) -> &str {
        &self.sealing
    }

    /// The path that the ring was opened from; `None` for a ring in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory => None,
        }
    }

    /// The keys by name, without their secrets.
    pub fn entries(&self) -> impl Iterator<Item = KeyRingEntry> {
        self.ring.keys.iter().map(|key| KeyRingEntry {
            name: key.name.clone(),
            versions: key.versions.iter().map(Version::describe).collect(),
        })
    }

    fn at(path: &Path, ring: Ring, sealing: &str) -> Self {
        Self {
            place: Place::File(path.to_owned()),
            ring,
            sealing: sealing.to_owned(),
        }
    }

    /// The version that a slot names, or a human-readable reason why there is none.
    fn version_of(&self, slot: &WrappedKey) -> Result<&Version, String> {
        let (name, id) = slot
            .key_id
            .rsplit_once('#')
            .ok_or_else(|| format!("{} is not the key id of a key ring", slot.key_id))?;
        self.ring.version(id).ok_or_else(|| {
            if self.ring.newest(name).is_some() {
                format!(
                    "{} has a different key named {name}: the object's key was created on another machine, or is lost",
                    self.place
                )
            } else {
                format!("{} has no key named {name}", self.place)
            }
        })
    }

    fn wrap_now(
        &self,
        name: &str,
        data_key: &DataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedKey, ProviderError> {
        let version = self
            .ring
            .newest(name)
            .ok_or_else(|| no_such_key(&self.place, &self.ring, name))?;
        let key_id = format!("{name}#{}", version.id);
        wrap::wrap_data_key(&version.secret, ID, &key_id, context, data_key)
    }

    fn unwrap_now(&self, wrapped: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let version = self.version_of(wrapped).map_err(|reason| {
            ProviderError::new(ProviderErrorClass::NotFound, ID, reason).with_key_id(&wrapped.key_id)
        })?;
        wrap::unwrap_data_key(&version.secret, wrapped, context, wrap::ALTERED_OR_OTHER_CONTEXT)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("place", &self.place)
            .field("sealing", &self.sealing)
            .field("entries", &self.entries().collect::<Vec<_>>())
            .finish()
    }
}

impl KeyProvider for KeyRing {
    fn id(&self) -> &str {
        ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match self.version_of(slot) {
            Ok(_) => KeyMatch::Yes,
            Err(reason) => KeyMatch::No(Some(reason)),
        }
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move { self.wrap_now(&self.sealing, data_key, context) })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move { self.unwrap_now(wrapped, context) })
    }

    fn rebind_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_now(wrapped, from)?;
            // The name in a slot is informative only; the id identifies the key.
            let id = wrapped.key_id.rsplit_once('#').map_or("", |(_, id)| id);
            let holder = self
                .ring
                .keys
                .iter()
                .find(|key| key.versions.iter().any(|version| version.id == id));
            let name = holder.map_or(self.sealing.as_str(), |key| key.name.as_str());
            self.wrap_now(name, &data_key, to)
        })
    }
}

/// A named key of a ring, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRingEntry {
    /// The name: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// Its versions, oldest first; the last one seals.
    pub versions: Vec<KeyVersion>,
}

/// One version of a key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyVersion {
    /// Its id in slots: 32 random hex digits.
    pub id: String,
    /// When it was created, in seconds since 1970.
    pub created: u64,
}

/// Where a ring is stored, for messages.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    Memory,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key ring {}", path.display()),
            Self::Memory => f.write_str("the key ring in memory"),
        }
    }
}

fn no_such_key(place: &Place, ring: &Ring, name: &str) -> ProviderError {
    let names: Vec<_> = ring.keys.iter().map(|key| key.name.as_str()).collect();
    let message = format!("{place} has no key named {name}; it has {}", names.join(", "));
    ProviderError::new(ProviderErrorClass::NotFound, ID, message).with_key_id(name)
}

fn check_name(name: &str) -> Result<(), ProviderError> {
    if is_name(name) {
        return Ok(());
    }
    let message = format!("{name:?} is not a key name: use 1 to 64 letters, digits, '.', '_' and '-'");
    Err(configuration(message))
}

fn configuration(message: String) -> ProviderError {
    ProviderError::new(ProviderErrorClass::Configuration, ID, message)
}
