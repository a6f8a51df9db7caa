//! Objects as they are stored: a file, and the record that it names.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use sealstone::format::{ATTACHED_LEN, CopyFault, Header};
use sha2::{Digest, Sha256};

use super::bucket::{Bucket, TRIES};
use super::files::{self, damaged, failed, found, is_at, is_damage};
use super::names;
use super::record::{Record, Start, likely_record_name, record_name};
use crate::backend::{Attributes, BackendError, ListedObject, Tags, hex};

/// A stored object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) file: File,
    /// Where the payload begins in the file.
    pub(super) payload: u64,
    pub(super) record: Record,
    /// The rest is of sealed objects only.
    pub(super) sealed: Option<Sealed>,
}

#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) header: Header,
    pub(super) record_name: String,
    pub(super) first_copy_is_current: bool,
}

impl Bucket {
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`].
    pub(super) fn get(&self, key: &str) -> Result<Object, BackendError> {
        match self.find(key)? {
            Some(object) => Ok(object),
            None => {
                self.required()?;
                Err(BackendError::NoSuchKey)
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Result<Option<Object>, BackendError> {
        let path = self.dir().join(names::path(key));
        for _ in 0..TRIES {
            let Some(file) = files::open(&path, false)? else {
                return Ok(None);
            };
            if let Some(object) = self.read(key, &path, file)? {
                return Ok(Some(object));
            }
        }
        Err(BackendError::Unavailable(format!(
            "{} is being replaced",
            path.display()
        )))
    }

    /// What a listing says of an object. A damaged one is listed as a file, so that it can be found, and replaced or
    /// deleted.
    pub(super) fn listed(&self, key: &str) -> Result<Option<ListedObject>, BackendError> {
        match self.listed_object(key) {
            Err(error) if is_damage(&error) || matches!(error, BackendError::Denied(_)) => {
                tracing::warn!(%error, "an object that cannot be read is listed");
                self.listed_file(key)
            }
            listed => listed,
        }
    }

    fn listed_file(&self, key: &str) -> Result<Option<ListedObject>, BackendError> {
        let path = self.dir().join(names::path(key));
        let metadata = found(path.symlink_metadata(), &path)?.filter(fs::Metadata::is_file);
        Ok(metadata.map(|metadata| {
            let (inode, seconds, nanoseconds) = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
            let version = Sha256::digest(format!("{inode} {} {seconds} {nanoseconds}", metadata.len()));
            ListedObject {
                key: key.to_owned(),
                etag: hex(&version[..16]),
                len: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            }
        }))
    }

    /// The name of an object's record, as far as can be told of a damaged one.
    pub(super) fn likely_record_name(&self, key: &str) -> Result<Option<String>, BackendError> {
        let path = self.dir().join(names::path(key));
        let file = files::open(&path, false)?;
        // What cannot be read has none.
        Ok(file.and_then(|file| likely_record_name(key, &file).ok().flatten()))
    }

    /// As [`Self::find`], at less cost.
    fn listed_object(&self, key: &str) -> Result<Option<ListedObject>, BackendError> {
        let path = self.dir().join(names::path(key));
        let Some(file) = files::open(&path, false)? else {
            return Ok(None);
        };
        let name = likely_record_name(key, &file).map_err(|error| failed(&error, &path))?;
        let record = match name.map(|name| self.record(&name)).transpose()?.flatten() {
            Some(record) if record.key == key => Some(record),
            _ => self.find(key)?.map(|object| object.record),
        };
        Ok(record.map(|record| ListedObject {
            key: record.key,
            etag: record.etag,
            len: record.len,
            modified: record.modified,
        }))
    }

    /// `None` if the file was replaced meanwhile.
    fn read(&self, key: &str, path: &Path, file: File) -> Result<Option<Object>, BackendError> {
        let metadata = file.metadata().map_err(|error| failed(&error, path))?;
        if !metadata.is_file() {
            return Err(damaged(path, "it is no file"));
        }
        let (header, payload, record) = match Start::read(&file, path)? {
            Start::Sealed(header) => (Some(header), ATTACHED_LEN as u64, None),
            Start::Framed { record, payload } => (None, payload, Some(*record)),
        };
        let len = metadata
            .len()
            .checked_sub(payload)
            .ok_or_else(|| damaged(path, "it is cut off"))?;
        let sealed = header.map(|found| Sealed {
            header: found.header().clone(),
            record_name: record_name(key, found.header().commitment(), len),
            first_copy_is_current: !matches!(found.faults()[0], Some(CopyFault::Damaged(_) | CopyFault::Stale)),
        });
        let mut record = match (record, &sealed) {
            (Some(record), _) => record,
            (None, Some(sealed)) => match self.record(&sealed.record_name)? {
                Some(record) => record,
                None if !is_at(&file, path)? => return Ok(None),
                None => foreign(key, &sealed.header, len, metadata.modified()),
            },
            (None, None) => return Err(damaged(path, "it has no record")),
        };
        if record.key != key || record.len != len {
            return Err(damaged(path, "it is another object's, or is cut off"));
        }
        if let Some(sealed) = &sealed {
            record.refresh(&sealed.header).map_err(|error| damaged(path, error))?;
        }
        Ok(Some(Object {
            file,
            payload,
            record,
            sealed,
        }))
    }
}

impl Object {
    pub(super) fn record_name(&self) -> Option<String> {
        self.sealed.as_ref().map(|sealed| sealed.record_name.clone())
    }
}

/// The record of a sealed file that someone else has put here.
fn foreign(key: &str, header: &Header, len: u64, modified: io::Result<SystemTime>) -> Record {
    Record {
        key: key.to_owned(),
        etag: hex(&header.commitment()[..16]),
        len,
        modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
        attributes: Attributes::default(),
        tags: Tags::default(),
        replaces: None,
        supersedes: None,
    }
}
