//! A bucket: its directory, its locks, and the records of its objects.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{self, Temporary, damaged, failed, found, is_absent, is_at, parent, random_id, sync_dir};
use super::names::{self, PRIVATE};
use super::record::{MAX_RECORD, Record};
use crate::backend::{BackendError, hex};

/// What makes a directory a bucket. Deleting the bucket locks it exclusively, everything else shares it.
pub(super) const MARKER: &str = "bucket.json";
/// Our own directories in a bucket.
pub(super) const TMP: &str = "tmp";
pub(super) const UPLOADS: &str = "uploads";
const RECORDS: &str = "records";
const LOCKS: &str = "locks";
pub(super) const DIRECTORIES: [&str; 4] = [TMP, UPLOADS, RECORDS, LOCKS];

/// How often something that others can undo is tried.
pub(super) const TRIES: usize = 100;

/// The content of a bucket's marker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) created: SystemTime,
}

/// A bucket's directory, which need not exist.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    dir: PathBuf,
    /// What our temporary names begin with.
    instance: String,
}

/// Excludes other changes of an object, in this process and in others.
#[derive(Debug)]
#[must_use = "dropping it releases the lock"]
pub(super) struct KeyLock {
    _key: File,
    _bucket: File,
}

impl Bucket {
    /// # Errors
    /// [`BackendError::NoSuchBucket`] if no bucket can have this name.
    pub(super) fn new(root: &Path, name: &str, instance: &str) -> Result<Self, BackendError> {
        if !names::is_bucket(name) {
            return Err(BackendError::NoSuchBucket);
        }
        Ok(Self {
            dir: root.join(name),
            instance: instance.to_owned(),
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn private(&self, name: &str) -> PathBuf {
        self.dir.join(PRIVATE).join(name)
    }

    /// A new path for a temporary file or directory. If it will contain the payload for a record, its name says so.
    pub(super) fn temporary(&self, record_name: Option<&str>) -> Result<PathBuf, BackendError> {
        let record_name = record_name.map_or_else(String::new, |name| format!(".{name}"));
        Ok(self
            .private(TMP)
            .join(format!("{}.{}{record_name}", self.instance, random_id()?)))
    }

    pub(super) fn create_temporary(&self, record_name: Option<&str>) -> Result<Temporary, BackendError> {
        let path = self.temporary(record_name)?;
        Temporary::create(path).map_err(|error| self.required().err().unwrap_or(error))
    }

    pub(super) fn created(&self) -> Result<SystemTime, BackendError> {
        let path = self.private(MARKER);
        let bytes = found(fs::read(&path), &path)?.ok_or(BackendError::NoSuchBucket)?;
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))?;
        Ok(marker.created)
    }

    pub(super) fn required(&self) -> Result<(), BackendError> {
        let path = self.private(MARKER);
        let exists = found(path.symlink_metadata(), &path)?.is_some();
        exists.then_some(()).ok_or(BackendError::NoSuchBucket)
    }

    /// Locks the bucket. It exists as long as the lock.
    pub(super) fn lock_bucket(&self, exclusive: bool) -> Result<File, BackendError> {
        let path = self.private(MARKER);
        loop {
            let file = files::open(&path, exclusive)?.ok_or(BackendError::NoSuchBucket)?;
            let lock = if exclusive { File::lock } else { File::lock_shared };
            wait_for(|| lock(&file)).map_err(|error| failed(&error, &path))?;
            if is_at(&file, &path)? {
                return Ok(file);
            }
        }
    }

    pub(super) fn lock(&self, key: &str) -> Result<KeyLock, BackendError> {
        let bucket = self.lock_bucket(false)?;
        let digest = Sha256::digest(key);
        let path = self.private(LOCKS).join(&hex(&digest[..2])[..3]);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.and_then(|file| wait_for(|| file.lock()).map(|()| file));
        Ok(KeyLock {
            _key: file.map_err(|error| failed(&error, &path))?,
            _bucket: bucket,
        })
    }

    pub(super) fn record_path(&self, name: &str) -> PathBuf {
        self.private(RECORDS).join(&name[..2]).join(name)
    }

    pub(super) fn record(&self, name: &str) -> Result<Option<Record>, BackendError> {
        let path = self.record_path(name);
        let Some(file) = files::open(&path, false)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(file, MAX_RECORD), &mut bytes);
        read.map_err(|error| failed(&error, &path))?;
        Record::parse(&bytes, &path).map(Some)
    }

    pub(super) fn store_record(&self, name: &str, record: &Record) -> Result<(), BackendError> {
        let mut file = self.create_temporary(None)?;
        file.write(&record.to_bytes()?)?;
        file.sync()?;
        let path = self.record_path(name);
        let directory = parent(&path);
        match file.rename(&path) {
            Err(error) if is_absent(&error) => {
                match fs::create_dir(directory) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed(&error, directory));
                    }
                    _ => sync_dir(&self.private(RECORDS))?,
                }
                file.rename(&path).map_err(|error| failed(&error, &path))?;
            }
            renamed => renamed.map_err(|error| failed(&error, &path))?,
        }
        sync_dir(directory)
    }

    /// Removes the records of versions that were replaced.
    pub(super) fn drop_records(&self, names: Vec<String>, except: Option<&str>) {
        let names = names.into_iter();
        for name in names.filter(|name| is_record_name(name) && except != Some(name)) {
            let _ = fs::remove_file(self.record_path(&name));
        }
    }

    /// Removes what a process that has ended has left in `tmp`: a name there, as [`Self::temporary`] returns it.
    pub(super) fn sweep(&self, name: &str) -> Result<(), BackendError> {
        let path = self.private(TMP).join(name);
        let directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let removed = if directory {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        found(removed, &path)?;
        let record_name = name.rsplit('.').next().filter(|name| is_record_name(name));
        let Some(record_name) = record_name else { return Ok(()) };
        let Some(record) = self.record(record_name)? else {
            return Ok(());
        };
        let _lock = self.lock(&record.key)?;
        let current = self.find(&record.key)?.and_then(|object| object.record_name());
        if current.as_deref() != Some(record_name) {
            let path = self.record_path(record_name);
            found(fs::remove_file(&path), &path)?;
        }
        Ok(())
    }
}

fn is_record_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Repeats a call that signals interrupt.
pub(super) fn wait_for(call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}
