//! A file of named keys on this machine.
//!
//! ```text
//! key id = name "#" id      id: 32 hex digits, random, of one version of the key
//! ```
//!
//! The id alone says which secret it is; the name is for people. Of each name the newest version wraps, and
//! every version of every name unwraps.

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
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::keys::DataKey;

pub(crate) const ID: &str = "local";

/// Named keys in a file that only its owner can read.
///
/// The file must be kept: without it, what was sealed with its keys is lost. Changes to it are safe against other
/// threads and processes and against being killed: the file is either the old one or the new one.
pub struct KeyRing {
    place: Place,
    ring: Ring,
    sealing: String,
}

impl KeyRing {
    /// The name of the key that seals unless another is chosen.
    pub const DEFAULT_NAME: &str = "default";

    /// Reads a key ring file. It is never created here.
    ///
    /// # Errors
    /// Class `NotFound` if it is missing; `Configuration` if it cannot be read, is damaged, or is open to others
    /// than its owner.
    pub fn open(path: &Path) -> Result<Self, ProviderError> {
        let ring = file::read(path)?.ok_or_else(|| file::missing(path))?;
        Ok(Self::at(path, ring, Self::DEFAULT_NAME))
    }

    /// Reads a key ring file, whose key `name` seals. The file, its directory and the key are made on first use;
    /// whether a key was. However many do this at the same time, one key is made and all of them use it.
    ///
    /// # Errors
    /// As of [`open`](Self::open), but for a missing file; also `Configuration` if `name` is no key name or
    /// the file cannot be written.
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

    /// Adds a key named `name`, which seals in the ring returned; makes the file if it is missing.
    ///
    /// # Errors
    /// Class `Configuration` if there is a key of that name, and as of [`create_or_open`](Self::create_or_open).
    pub fn add(path: &Path, name: &str) -> Result<Self, ProviderError> {
        match Self::create_or_open(path, name)? {
            (ring, true) => Ok(ring),
            (ring, false) => {
                Err(configuration(format!("{} has a key named {name} already", ring.place)).with_key_id(name))
            }
        }
    }

    /// Adds a version to the key `name`, which seals from now on; the older ones stay for reading.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such file or key, and as of [`open`](Self::open).
    pub fn rotate(path: &Path, name: &str) -> Result<Self, ProviderError> {
        let ring = file::change(path, IfMissing::Fail, |ring| match ring.newest(name) {
            Some(_) => ring.add_version(name).map(|()| true),
            None => Err(no_such_key(&Place::File(path.to_owned()), ring, name)),
        })?;
        Ok(Self::at(path, ring, name))
    }

    /// A key ring with one key that is nowhere but in memory: what is sealed with it cannot be opened after it is
    /// dropped.
    ///
    /// # Errors
    /// Class `Configuration` if `name` is no key name; `Unavailable` if the random generator fails.
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
    /// Class `NotFound` if there is none of that name.
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

    /// The file, as it was named; `None` if the ring is in memory only.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory => None,
        }
    }

    /// What keys there are, by name. Secrets are not part of it.
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

    /// The version that a slot names, or what to tell a person.
    fn version_of(&self, slot: &WrappedKey) -> Result<&Version, String> {
        let (name, id) = slot
            .key_id
            .rsplit_once('#')
            .ok_or_else(|| format!("{} is not the key id of a key ring", slot.key_id))?;
        self.ring.version(id).ok_or_else(|| {
            if self.ring.newest(name).is_some() {
                format!(
                    "{} has a key named {name}, but another one: the object's was made on another machine, or is lost",
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

    fn wrap<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move { self.wrap_now(&self.sealing, data_key, context) })
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move { self.unwrap_now(wrapped, context) })
    }

    fn rebind<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_now(wrapped, from)?;
            // The slot's name is for people; its id says whose key it is.
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
pub struct KeyRingEntry {
    /// The name: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// Its versions, oldest first: the last one seals.
    pub versions: Vec<KeyVersion>,
}

/// One version of a key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// 32 hex digits, random: what slots know it by.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// Where a ring is, as messages name it.
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
    let message = format!("{name:?} is no key name: 1 to 64 letters, digits, '.', '_' and '-'");
    Err(configuration(message))
}

fn configuration(message: String) -> ProviderError {
    ProviderError::new(ProviderErrorClass::Configuration, ID, message)
}
