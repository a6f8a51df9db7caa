//! Which temporary names belong to a process that still runs.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::files::{failed, found, is_at, random_id};
use crate::backend::BackendError;

/// A process that uses a directory, or a part of one. Its file is locked as long as it runs.
#[derive(Debug)]
pub(super) struct Instance {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Instance {
    /// Begins one. `directory` contains the files of all instances.
    pub(super) fn begin(directory: &Path) -> Result<Self, BackendError> {
        loop {
            let name = random_id()?;
            let path = directory.join(&name);
            let file = File::create_new(&path).map_err(|error| failed(&error, &path))?;
            // Another process that begins may take it for one that has ended.
            if file.try_lock().is_ok() && is_at(&file, &path)? {
                return Ok(Self {
                    name,
                    path,
                    _lock: file,
                });
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process of the instance has ended.
    pub(super) fn has_ended(directory: &Path, name: &str) -> Result<bool, BackendError> {
        let path = directory.join(name);
        let Some(file) = found(File::open(&path), &path)? else {
            return Ok(true);
        };
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(&error, &path)),
        }
    }

    /// Forgets the instances that have ended, after what they have left is removed.
    pub(super) fn forget(directory: &Path, names: &[String]) {
        for name in names {
            let _ = fs::remove_file(directory.join(name));
        }
    }

    /// The instances that have ended.
    pub(super) fn ended(directory: &Path) -> Result<Vec<String>, BackendError> {
        let mut ended = Vec::new();
        let entries = fs::read_dir(directory).map_err(|error| failed(&error, directory))?;
        for entry in entries {
            let name = entry.map_err(|error| failed(&error, directory))?.file_name();
            if let Some(name) = name.to_str()
                && Self::has_ended(directory, name)?
            {
                ended.push(name.to_owned());
            }
        }
        Ok(ended)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
