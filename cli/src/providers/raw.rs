//! Raw keys, each read once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sealstone::RawKey;

use crate::exit::Failure;

/// The keys that were read, by the names of their files.
static KEYS: Mutex<Vec<(PathBuf, Arc<RawKey>)>> = Mutex::new(Vec::new());

/// The key in the file `path`. It may be asked for to open an object and to tell its slots, for every object, and a
/// pipe has it once.
pub(super) fn key(path: &Path) -> Result<Arc<RawKey>, Failure> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, key)) = keys.iter().find(|(known, _)| known == path) {
        return Ok(key.clone());
    }
    let key = Arc::new(RawKey::from_file(path)?);
    keys.push((path.to_owned(), key.clone()));
    Ok(key)
}
