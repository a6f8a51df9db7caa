//! Exports, imports and deletes keys of a ring.

use std::path::Path;

use zeroize::Zeroizing;

use super::file::{self, IfMissing};
use super::stored::{Ring, is_name};
use super::{ID, KeyRing, Place, check_name, configuration, no_such_key};
use crate::error::{ProviderError, ProviderErrorClass};

impl KeyRing {
    /// Whether a key can have this name: 1 to 64 letters, digits, `.`, `_` and `-`.
    #[must_use]
    pub fn is_key_name(name: &str) -> bool {
        is_name(name)
    }

    /// Exports the named keys with all their versions, including secrets, as the content of a key ring file.
    ///
    /// # Errors
    /// Class `NotFound` if one of the names is unknown; `Configuration` if `names` is empty or the content exceeds 1
    /// MiB.
    pub fn export(&self, names: &[&str]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        if names.is_empty() {
            return Err(configuration("name at least one key to export".to_owned()));
        }
        let exported = self.ring.subset(names);
        let exported = exported.map_err(|absent| no_such_key(&self.place, &self.ring, absent))?;
        exported
            .encode()
            .ok_or_else(|| configuration("the keys to export exceed 1 MiB".to_owned()))
    }

    /// Parses the content of a key ring file, as returned by [`export`](Self::export), into a ring in memory. The
    /// caller wipes `content`.
    ///
    /// # Errors
    /// Class `Configuration` if `content` is not that of a key ring file.
    pub fn from_content(content: &[u8]) -> Result<Self, ProviderError> {
        let ring = Ring::parse(content).map_err(|fault| configuration(format!("the key ring given {fault}")))?;
        Ok(Self {
            place: Place::Memory,
            ring,
            sealing: Self::DEFAULT_NAME.to_owned(),
        })
    }

    /// Renames the ring's only key.
    ///
    /// # Errors
    /// Class `Configuration` if the ring has several keys, or if `name` is not a key name.
    pub fn with_only_key_named(mut self, name: &str) -> Result<Self, ProviderError> {
        check_name(name)?;
        let [key] = self.ring.keys.as_mut_slice() else {
            return Err(configuration(format!(
                "{} has several keys, and only one of them can be named {name}",
                self.place
            )));
        };
        name.clone_into(&mut key.name);
        Ok(self)
    }

    /// Adds the versions of `other` that the ring at `path` lacks, all or none, and creates the file if it is missing.
    /// Returns the ring and the names of the keys that gained versions. The newest version of a key seals, whichever
    /// ring it came from.
    ///
    /// # Errors
    /// Class `Configuration` if the ring has a different key with one of the names, or has one of the versions under
    /// another name or with another secret; and as [`create_or_open`](Self::create_or_open).
    pub fn import(path: &Path, other: &Self) -> Result<(Self, Vec<String>), ProviderError> {
        let mut changed = Vec::new();
        let ring = file::change(path, IfMissing::Create, |ring| {
            changed = ring.merge(&other.ring).map_err(|fault| refused(path, &fault))?;
            Ok(!changed.is_empty())
        })?;
        Ok((Self::at(path, ring, Self::DEFAULT_NAME), changed))
    }

    /// Deletes a key, or one version of it. Objects sealed with it alone can no longer be opened.
    ///
    /// # Errors
    /// Class `NotFound` if the file, key or version does not exist; `Configuration` if it is the key's only version, or
    /// the ring's only key; and as [`open`](Self::open).
    pub fn delete(path: &Path, name: &str, version: Option<&str>) -> Result<Self, ProviderError> {
        let ring = file::change(path, IfMissing::Fail, |ring| {
            let place = Place::File(path.to_owned());
            let known = ring.keys.iter().find(|key| key.name == name);
            let Some(known) = known else {
                return Err(no_such_key(&place, ring, name));
            };
            if version.is_some_and(|id| !known.versions.iter().any(|version| version.id == id)) {
                let message = format!("{place} has no such version of the key {name}");
                return Err(ProviderError::new(ProviderErrorClass::NotFound, ID, message).with_key_id(name));
            }
            ring.remove(name, version).map_err(|fault| refused(path, &fault))?;
            Ok(true)
        })?;
        Ok(Self::at(path, ring, Self::DEFAULT_NAME))
    }
}

fn refused(path: &Path, fault: &str) -> ProviderError {
    configuration(format!("the key ring {} {fault}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn versions(ring: &KeyRing) -> Vec<(String, Vec<String>)> {
        let ids = |versions: Vec<super::super::KeyVersion>| versions.into_iter().map(|version| version.id).collect();
        ring.entries().map(|entry| (entry.name, ids(entry.versions))).collect()
    }

    fn exported(path: &Path, name: &str) -> KeyRing {
        let content = KeyRing::open(path).unwrap().export(&[name]).unwrap();
        KeyRing::from_content(&content).unwrap()
    }

    #[test]
    fn what_is_exported_is_imported_elsewhere_and_once() {
        let dir = TempDir::new().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        KeyRing::add(&here, "work").unwrap();
        KeyRing::add(&here, "other").unwrap();
        KeyRing::rotate(&here, "work").unwrap();
        let work = exported(&here, "work");
        assert_eq!(versions(&work).len(), 1);
        let (ring, changed) = KeyRing::import(&there, &work).unwrap();
        assert_eq!((versions(&ring), changed), (versions(&work), vec!["work".to_owned()]));
        assert_eq!(KeyRing::import(&there, &work).unwrap().1, Vec::<String>::new());

        // Rotated in both rings: the merge has all versions, and the same one seals in both.
        KeyRing::rotate(&here, "work").unwrap();
        KeyRing::rotate(&there, "work").unwrap();
        let (merged, _) = KeyRing::import(&there, &exported(&here, "work")).unwrap();
        assert_eq!(versions(&merged)[0].1.len(), 4);
        let created: Vec<_> = merged
            .entries()
            .next()
            .unwrap()
            .versions
            .iter()
            .map(|version| version.created)
            .collect();
        assert!(created.is_sorted());
        assert!(KeyRing::open(&here).unwrap().export(&["absent"]).is_err());
        assert!(KeyRing::open(&here).unwrap().export(&[]).is_err());
    }

    #[test]
    fn a_clash_is_refused_and_changes_nothing() {
        let dir = TempDir::new().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        KeyRing::add(&here, "work").unwrap();
        KeyRing::add(&there, "work").unwrap();
        KeyRing::add(&there, "a").unwrap();
        let refused = |other: &KeyRing, words: &str| {
            let before = std::fs::read(&here).unwrap();
            let error = KeyRing::import(&here, other).unwrap_err();
            assert_eq!(error.class, ProviderErrorClass::Configuration);
            assert!(error.message.contains(words), "{error}");
            assert_eq!(std::fs::read(&here).unwrap(), before);
        };
        // The key `a` is new, but is not imported because the other key clashes.
        let both = KeyRing::from_content(&std::fs::read(&there).unwrap()).unwrap();
        refused(&both, "another key named work");
        refused(
            &exported(&here, "work").with_only_key_named("b").unwrap(),
            "as one of work",
        );
        let text = String::from_utf8(std::fs::read(&here).unwrap()).unwrap();
        let at = text.find("\"secret\": \"").unwrap() + 11;
        let other = format!("{}{}{}", &text[..at], "00".repeat(32), &text[at + 64..]);
        refused(&KeyRing::from_content(other.as_bytes()).unwrap(), "another secret");
        // Under another name it is a separate key.
        let renamed = exported(&there, "work").with_only_key_named("theirs").unwrap();
        assert_eq!(KeyRing::import(&here, &renamed).unwrap().1, ["theirs"]);
        assert!(both.with_only_key_named("c").is_err());
    }

    #[test]
    fn what_is_deleted_is_named_and_the_last_of_a_kind_stays() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ring");
        KeyRing::add(&path, "work").unwrap();
        let fails = |name: &str, version: Option<&str>, class| {
            let error = KeyRing::delete(&path, name, version).unwrap_err();
            assert_eq!(error.class, class, "{error}");
        };
        use ProviderErrorClass::{Configuration, NotFound};
        fails("work", None, Configuration);
        let ring = KeyRing::add(&path, "other").unwrap();
        let id = versions(&ring)[1].1[0].clone();
        fails("work", Some(&id), Configuration);
        fails("work", Some("00"), NotFound);
        fails("absent", None, NotFound);
        let ring = KeyRing::rotate(&path, "work").unwrap();
        let ring = (
            KeyRing::delete(&path, "work", Some(&id)).unwrap(),
            versions(&ring)[1].1[1].clone(),
        );
        assert_eq!(versions(&ring.0)[1], ("work".to_owned(), vec![ring.1]));
        assert_eq!(versions(&KeyRing::delete(&path, "work", None).unwrap()).len(), 1);
        fails("other", None, Configuration);
        assert_eq!(
            KeyRing::delete(&dir.path().join("none"), "a", None).unwrap_err().class,
            NotFound
        );
    }
}
