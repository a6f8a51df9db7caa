//! The content of a key ring file.
//!
//! ```text
//! {
//!   "format": 1,
//!   "keys": [                           sorted by name
//!     {
//!       "name": "default",
//!       "versions": [                   oldest first
//!         { "id": "<32 hex digits>", "created": <seconds since 1970>, "secret": "<64 hex digits>" }
//!       ]
//!     }
//!   ]
//! }
//! ```
//!
//! Unknown fields, unsorted or repeated names, repeated ids and upper-case digits are refused. Messages say where a
//! file is damaged and never quote it: the text may be a secret.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{ID, KeyVersion};
use crate::error::ProviderError;
use crate::hex;
use crate::keys::wrap::random_failed;
use crate::secret::{Secret, random_array};
use crate::suite::KEY_LEN;

/// The largest file, in bytes: room for some thousands of keys.
pub(super) const MAX_LEN: usize = 1 << 20;

const FORMAT: u32 = 1;
/// Hex digits of a version's id.
const ID_DIGITS: usize = 32;

/// All keys of a ring.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ring {
    format: u32,
    pub(super) keys: Vec<NamedKey>,
}

/// A key's versions, oldest first; there is at least one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedKey {
    pub(super) name: String,
    pub(super) versions: Vec<Version>,
}

/// One secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) id: String,
    created: u64,
    #[serde(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub(super) secret: Secret<KEY_LEN>,
}

impl Ring {
    pub(super) const fn empty() -> Self {
        Self {
            format: FORMAT,
            keys: Vec::new(),
        }
    }

    /// Parses a file; the error completes "the key ring ... ".
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_LEN {
            return Err("is larger than 1 MiB".to_owned());
        }
        let damaged = |error: &serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            format!("is damaged at line {line}, column {column}: restore it from a backup")
        };
        // The format first: a later format may have fields that this build does not know.
        let Format { format } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if format != FORMAT {
            return Err(format!("is of format {format}; a newer sealstone may read it"));
        }
        let ring: Self = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        match ring.fault() {
            None => Ok(ring),
            Some(fault) => Err(format!("is damaged, {fault}: restore it from a backup")),
        }
    }

    /// Encodes the file; `None` if it exceeds [`MAX_LEN`].
    ///
    /// The buffer is allocated at full size, because a growing one would leave copies of the secrets in memory.
    pub(super) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; MAX_LEN]);
        let mut rest = bytes.as_mut_slice();
        serde_json::to_writer_pretty(&mut rest, self).ok()?;
        let len = MAX_LEN - rest.len();
        bytes.truncate(len);
        Some(bytes)
    }

    /// The version that seals for `name`.
    pub(super) fn newest(&self, name: &str) -> Option<&Version> {
        self.keys.iter().find(|key| key.name == name)?.versions.last()
    }

    /// The version with this id, under any name.
    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions().find(|version| version.id == id)
    }

    /// Adds a version to the key `name`, which is created if needed. The caller has checked the name.
    pub(super) fn add_version(&mut self, name: &str) -> Result<(), ProviderError> {
        let version = Version::random()?;
        match self.keys.binary_search_by(|key| key.name.as_str().cmp(name)) {
            Ok(index) => self.keys[index].versions.push(version),
            Err(index) => {
                let key = NamedKey {
                    name: name.to_owned(),
                    versions: vec![version],
                };
                self.keys.insert(index, key);
            }
        }
        Ok(())
    }

    /// The named keys with their secrets, or the first name that is unknown.
    pub(super) fn subset<'a>(&self, names: &[&'a str]) -> Result<Self, &'a str> {
        if let Some(absent) = names.iter().find(|name| self.newest(name).is_none()) {
            return Err(absent);
        }
        let wanted = self.keys.iter().filter(|key| names.contains(&key.name.as_str()));
        Ok(Self {
            format: FORMAT,
            keys: wanted.map(NamedKey::copy).collect(),
        })
    }

    /// Adds the versions of `other` that this ring lacks, ordered by age, all or none. Returns the names of the keys
    /// that gained versions. The error completes "the key ring ... ".
    pub(super) fn merge(&mut self, other: &Self) -> Result<Vec<String>, String> {
        for key in &other.keys {
            self.check_merge(key)?;
        }
        let mut changed = Vec::new();
        for key in &other.keys {
            let new: Vec<_> = key
                .versions
                .iter()
                .filter(|new| self.version(&new.id).is_none())
                .collect();
            let new: Vec<_> = new.into_iter().map(Version::copy).collect();
            if new.is_empty() {
                continue;
            }
            changed.push(key.name.clone());
            match self.keys.binary_search_by(|known| known.name.cmp(&key.name)) {
                Ok(index) => new.into_iter().for_each(|version| self.keys[index].insert(version)),
                Err(index) => {
                    let (name, versions) = (key.name.clone(), new);
                    self.keys.insert(index, NamedKey { name, versions });
                }
            }
        }
        Ok(changed)
    }

    /// Checks that `key` can be merged: each id has the same name and secret in both rings, and a name that both rings
    /// have shares at least one version.
    fn check_merge(&self, key: &NamedKey) -> Result<(), String> {
        for new in &key.versions {
            let holder = |known: &&NamedKey| known.versions.iter().any(|version| version.id == new.id);
            let (Some(known), Some(version)) = (self.keys.iter().find(holder), self.version(&new.id)) else {
                continue;
            };
            if known.name != key.name {
                return Err(format!(
                    "has the version {} of {} as one of {}",
                    new.id, key.name, known.name
                ));
            }
            if !bool::from(version.secret.expose().ct_eq(new.secret.expose())) {
                return Err(format!("has another secret for the version {} of {}", new.id, key.name));
            }
        }
        let of_name = self.keys.iter().find(|known| known.name == key.name);
        let is_shared = |known: &NamedKey| {
            known
                .versions
                .iter()
                .any(|old| key.versions.iter().any(|new| new.id == old.id))
        };
        match of_name {
            Some(known) if !is_shared(known) => Err(format!("has another key named {}", key.name)),
            _ => Ok(()),
        }
    }

    /// Removes a key, or one version of it. The error completes "the key ring ... ".
    pub(super) fn remove(&mut self, name: &str, version: Option<&str>) -> Result<(), String> {
        let only_key = self.keys.len() == 1;
        let Ok(index) = self.keys.binary_search_by(|key| key.name.as_str().cmp(name)) else {
            return Err(format!("has no key named {name}"));
        };
        let versions = &mut self.keys[index].versions;
        match version {
            Some(id) if !versions.iter().any(|version| version.id == id) => {
                Err(format!("has no version {id} of the key {name}"))
            }
            Some(_) if versions.len() == 1 => Err(format!("has no other version of the key {name}; delete the key")),
            Some(id) => {
                versions.retain(|version| version.id != id);
                Ok(())
            }
            // An empty ring could not be distinguished from one that lost its keys.
            None if only_key => Err(format!("has no key but {name}; remove the file instead")),
            None => {
                self.keys.remove(index);
                Ok(())
            }
        }
    }

    fn versions(&self) -> impl Iterator<Item = &Version> {
        self.keys.iter().flat_map(|key| &key.versions)
    }

    fn fault(&self) -> Option<&'static str> {
        let mut ids = HashSet::new();
        if self.keys.is_empty() {
            Some("without a key")
        } else if !self.keys.is_sorted_by(|left, right| left.name < right.name) {
            Some("with names that are not sorted and distinct")
        } else if !self.keys.iter().all(|key| is_name(&key.name)) {
            Some("with a name that has characters other than letters, digits, '.', '_' and '-'")
        } else if self.keys.iter().any(|key| key.versions.is_empty()) {
            Some("with a key that has no version")
        } else if !self.versions().all(|version| hex::is_lower(&version.id, ID_DIGITS)) {
            Some("with an id that is not 32 lower-case hex digits")
        } else if !self.versions().all(|version| ids.insert(&version.id)) {
            Some("with a repeated id")
        } else {
            None
        }
    }
}

impl NamedKey {
    fn copy(&self) -> Self {
        Self {
            name: self.name.clone(),
            versions: self.versions.iter().map(Version::copy).collect(),
        }
    }

    /// Inserts a version by age: the newest one seals.
    fn insert(&mut self, version: Version) {
        let is_newer = |known: &Version| known.created > version.created;
        let index = self.versions.iter().position(is_newer);
        self.versions.insert(index.unwrap_or(self.versions.len()), version);
    }
}

impl Version {
    fn copy(&self) -> Self {
        Self {
            id: self.id.clone(),
            created: self.created,
            secret: Secret::init_with(|secret| secret.copy_from_slice(self.secret.expose())),
        }
    }

    fn random() -> Result<Self, ProviderError> {
        let failed = |error| random_failed(ID, error);
        let id: [u8; ID_DIGITS / 2] = random_array().map_err(failed)?;
        Ok(Self {
            id: hex::encode(&id),
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            secret: Secret::random().map_err(failed)?,
        })
    }

    pub(super) fn describe(&self) -> KeyVersion {
        KeyVersion {
            id: self.id.clone(),
            created: self.created,
        }
    }
}

/// Whether a key may have this name. Names have no `#`, which ends the name in a key id, and no `:`, which ends a
/// provider id.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn write_secret<S: Serializer>(secret: &Secret<KEY_LEN>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(hex::encode(secret.expose())))
}

/// Borrows the text from the file's buffer, which is wiped.
fn read_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<KEY_LEN>, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    let mut decoded = hex::is_lower(text, 2 * KEY_LEN);
    let secret = Secret::init_with(|secret| decoded &= hex::decode_into(text.as_bytes(), secret));
    decoded
        .then_some(secret)
        .ok_or_else(|| D::Error::custom("not a secret"))
}
