//! Raw 32-byte keys in files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sealstone::rewrap::SlotChoice;
use sealstone::{Header, KeyProvider, RawKey};

use super::kind::{Key, Kind, Provider};
use super::spec::parse_path;
use super::{KeyOptions, KeySpec, slots};
use crate::exit::Failure;
use crate::io::Source;
use crate::report::Report;

const ID: &str = RawKey::ID;

/// The keys that were read, by the names of their files.
static KEYS: Mutex<Vec<(PathBuf, Arc<RawKey>)>> = Mutex::new(Vec::new());

/// The kind.
#[derive(Debug)]
pub(super) struct Raw;

impl Kind for Raw {
    fn id(&self) -> &'static str {
        ID
    }

    fn forms(&self) -> &'static [&'static str] {
        &["raw:file:PATH"]
    }

    fn parse(&self, rest: Option<&OsStr>) -> Result<KeySpec, String> {
        let path = rest
            .and_then(parse_path)
            .ok_or("a raw key comes from a file: raw:file:PATH; on the command line every user could see it")?;
        Ok(KeySpec::new(RawFile { path }))
    }

    fn candidates(&self) -> Vec<String> {
        vec!["raw:file:".to_owned()]
    }

    fn slot_name(&self, key_id: &str) -> String {
        format!("the raw key {key_id}")
    }

    fn advice(&self, _: &str) -> String {
        "--key raw:file:PATH".to_owned()
    }
}

/// A key in a file.
#[derive(Debug)]
struct RawFile {
    path: PathBuf,
}

impl Key for RawFile {
    fn kind(&self) -> &'static dyn Kind {
        &Raw
    }

    fn seal_with(&self, _: &[KeySpec], _: &KeyOptions, _: &Report) -> Result<Provider, Failure> {
        Ok(read(&self.path)?)
    }

    fn open_with(&self, _: &KeyOptions) -> Result<Option<Provider>, Failure> {
        Ok(Some(read(&self.path)?))
    }

    fn slots(&self, header: &Header, _: &KeyOptions) -> Result<SlotChoice, Failure> {
        let key = read(&self.path)?;
        Ok(slots::named(header, |slot| {
            slot.provider == key.id() && slot.key_id == key.fingerprint()
        }))
    }

    fn source(&self) -> Option<Source> {
        Some(Source::named(&self.path))
    }
}

/// The key in the file `path`, which is read once: a pipe has it once, and every object may need it both to be opened
/// and to find its slots.
fn read(path: &Path) -> Result<Arc<RawKey>, Failure> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, key)) = keys.iter().find(|(known, _)| known == path) {
        return Ok(key.clone());
    }
    let key = Arc::new(RawKey::from_file(path)?);
    keys.push((path.to_owned(), key.clone()));
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_path_of_its_file() {
        let spec = "raw:file:a:b".parse::<KeySpec>().unwrap();
        assert_eq!(spec.downcast::<RawFile>().unwrap().path, Path::new("a:b"));
        for wrong in ["raw", "raw:", "raw:file", "raw:file:", "raw:00ff"] {
            assert!(wrong.parse::<KeySpec>().is_err(), "{wrong}");
        }
    }
}
