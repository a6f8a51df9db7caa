//! Changes of objects.
//!
//! ```text
//! put       payload into tmp, sync | lock: check, record, rename the file, drop the old record
//! change    lock: check, record, rewrite the header in the file
//! delete    lock: check, remove the file, drop the record
//! read      file, then the record that the file's commitment and length name
//! ```
//!
//! One rename decides each change, of the file or, where it stays, of the record.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sealstone::format::COPY_LEN;

use super::bucket::{Bucket, KeyLock, TRIES};
use super::files::{self, Temporary, damaged, failed, is_absent, is_damage, parent, sync_dir};
use super::names;
use super::object::{Object, Sealed};
use super::record::{Record, attached, digest, frame, record_name};
use crate::backend::{Attributes, BackendError, Condition, Tags};

/// How long another program may keep an object locked.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// An object that is about to be stored: all but its payload.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    record: Record,
    /// The name of the record's file, if it is not in the object's.
    record_name: Option<String>,
    /// What the file begins with.
    start: Vec<u8>,
}

impl Draft {
    pub(super) fn new(
        key: &str,
        etag: String,
        len: u64,
        attributes: Attributes,
        tags: Tags,
    ) -> Result<Self, BackendError> {
        if key.is_empty() {
            return Err(BackendError::InvalidName(key.to_owned()));
        }
        let record = Record {
            key: key.to_owned(),
            etag,
            len,
            modified: SystemTime::now(),
            attributes,
            tags,
            replaces: None,
            supersedes: None,
        };
        Self::of(record)
    }

    fn of(record: Record) -> Result<Self, BackendError> {
        Ok(match attached(&record.attributes) {
            Some((header, start)) => Self {
                record_name: Some(record_name(&record.key, header.commitment(), record.len)),
                record,
                start,
            },
            None => Self {
                start: frame(&record)?,
                record_name: None,
                record,
            },
        })
    }
}

/// What a write replaces.
#[derive(Debug)]
enum Current {
    Nothing,
    Object(Box<Object>),
    /// A file that cannot be read as an object. It is there, and its version is not known.
    Damaged {
        error: BackendError,
        record_name: Option<String>,
    },
}

impl Current {
    fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Object(object) => object.sealed.as_ref(),
            Self::Nothing | Self::Damaged { .. } => None,
        }
    }

    fn record_name(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Object(object) => object.record_name(),
            Self::Damaged { record_name, .. } => record_name.clone(),
        }
    }

    /// Its record, and that of the version before if a crash has left it.
    fn records(&self) -> Vec<String> {
        let before = match self {
            Self::Object(object) => object.record.replaces.clone(),
            Self::Nothing | Self::Damaged { .. } => None,
        };
        self.record_name().into_iter().chain(before).collect()
    }
}

impl Bucket {
    /// Creates the file of an object, up to its payload.
    pub(super) fn stage(&self, draft: &Draft) -> Result<Temporary, BackendError> {
        let mut file = self.create_temporary(draft.record_name.as_deref())?;
        file.write(&draft.start)?;
        Ok(file)
    }

    /// Whether a write may begin. The condition is checked again when it ends.
    pub(super) fn check_early(&self, key: &str, condition: &Condition) -> Result<(), BackendError> {
        match condition {
            Condition::None => self.required(),
            condition => self.check(key, condition).map(drop),
        }
    }

    /// Checks what must be true of the object that a write replaces.
    fn check(&self, key: &str, condition: &Condition) -> Result<Current, BackendError> {
        let current = match self.find(key) {
            Ok(Some(object)) => Current::Object(Box::new(object)),
            Ok(None) => {
                self.required()?;
                Current::Nothing
            }
            Err(error) if is_damage(&error) => Current::Damaged {
                record_name: self.likely_record_name(key)?,
                error,
            },
            Err(error) => return Err(error),
        };
        match (condition, &current) {
            (Condition::None, _) | (Condition::Absent, Current::Nothing) => Ok(current),
            (Condition::Match(expected), Current::Object(object)) if *expected == object.record.etag => Ok(current),
            (Condition::Match(_), Current::Nothing) => Err(BackendError::NoSuchKey),
            (Condition::Absent | Condition::Match(_), _) => Err(BackendError::Precondition),
        }
    }

    /// Stores a complete object, if the condition holds.
    pub(super) fn publish(
        &self,
        _lock: &KeyLock,
        mut draft: Draft,
        mut file: Temporary,
        condition: &Condition,
    ) -> Result<String, BackendError> {
        let current = self.check(&draft.record.key, condition)?;
        if let Some(name) = &draft.record_name {
            let sealed = current.sealed();
            draft.record.replaces = current.record_name();
            // The same payload, perhaps under another header: until the rename, the record is already this one.
            let same = sealed.filter(|sealed| sealed.record_name == *name);
            draft.record.supersedes = same.map(|sealed| digest(&sealed.header)).transpose().map_err(other)?;
            self.store_record(name, &draft.record)?;
        }
        self.name(&mut file, &names::path(&draft.record.key))?;
        self.drop_records(current.records(), draft.record_name.as_deref());
        Ok(draft.record.etag)
    }

    /// Changes what is stored beside a payload, of the version `etag` if one is given, and keeps the `ETag`.
    pub(super) fn change(
        &self,
        key: &str,
        etag: Option<&str>,
        condition: &Condition,
        change: impl FnOnce(&mut Record),
    ) -> Result<String, BackendError> {
        let lock = self.lock(key)?;
        let path = self.dir().join(names::path(key));
        let Some(file) = files::open(&path, true)? else {
            return Err(BackendError::NoSuchKey);
        };
        // Against other programs that rewrap the object in its file.
        lock_object(&file, &path)?;
        let object = match self.check(key, condition)? {
            Current::Object(object) => object,
            Current::Nothing => return Err(BackendError::NoSuchKey),
            Current::Damaged { error, .. } => return Err(error),
        };
        let mut record = object.record.clone();
        if etag.is_some_and(|etag| etag != record.etag) {
            return Err(BackendError::Precondition);
        }
        change(&mut record);
        let new = attached(&record.attributes);
        match (&object.sealed, new) {
            (Some(sealed), Some((new, bytes))) if sealed.header.commitment() == new.commitment() => {
                let is_new = sealed.header != new;
                record.supersedes = is_new.then(|| digest(&sealed.header)).transpose().map_err(other)?;
                self.store_record(&sealed.record_name, &record)?;
                if is_new {
                    let rewritten = rewrite_header(&file, &bytes, sealed.first_copy_is_current);
                    rewritten.map_err(|error| failed(&error, &path))?;
                }
                Ok(record.etag)
            }
            _ => {
                let draft = Draft::of(record)?;
                let file = self.copied(&object, &draft)?;
                self.publish(&lock, draft, file, &Condition::None)
            }
        }
    }

    /// A file with the draft's beginning and the payload of `source`.
    pub(super) fn copied(&self, source: &Object, draft: &Draft) -> Result<Temporary, BackendError> {
        let file = self.stage(draft)?;
        append(&source.file, source.payload, source.record.len, &file)?;
        file.sync()?;
        Ok(file)
    }

    pub(super) fn delete(&self, key: &str, condition: &Condition) -> Result<(), BackendError> {
        let _lock = self.lock(key)?;
        let current = self.check(key, condition)?;
        if matches!(current, Current::Nothing) {
            return Ok(());
        }
        let path = self.dir().join(names::path(key));
        fs::remove_file(&path).map_err(|error| failed(&error, &path))?;
        sync_dir(parent(&path))?;
        self.drop_records(current.records(), None);
        // A put that needs one of these directories creates it again.
        let directories = path.ancestors().skip(1).take_while(|dir| *dir != self.dir());
        for directory in directories {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Gives a complete file its name, durably.
    fn name(&self, file: &mut Temporary, name: &str) -> Result<(), BackendError> {
        let path = self.dir().join(name);
        let mut tries = 0;
        while let Err(error) = file.rename(&path) {
            tries += 1;
            if !is_absent(&error) || tries == TRIES {
                return Err(failed(&error, &path));
            }
            if !file.exists() {
                return Err(BackendError::NoSuchBucket);
            }
            // Its last object was deleted, perhaps a moment ago.
            if let Err(error) = fs::create_dir_all(parent(&path))
                && !is_absent(&error)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(failed(&error, &path));
            }
        }
        // Others may have created the directories, and not synced them yet.
        for directory in path.ancestors().skip(1) {
            sync_dir(directory)?;
            if directory == self.dir() {
                break;
            }
        }
        Ok(())
    }
}

/// Appends a part of one file to another, inside the file system where it can.
pub(super) fn append(from: &File, at: u64, len: u64, to: &Temporary) -> Result<(), BackendError> {
    let mut from = from;
    let copied = io::Seek::seek(&mut from, io::SeekFrom::Start(at))
        .and_then(|_| io::copy(&mut io::Read::take(from, len), &mut to.file()));
    match copied {
        Ok(copied) if copied == len => Ok(()),
        Ok(_) => Err(damaged(to.path(), "its source is cut off")),
        Err(error) => Err(failed(&error, to.path())),
    }
}

/// Rewrites both copies of an attached header, of which one is intact at any moment.
fn rewrite_header(file: &File, copies: &[u8], first_is_current: bool) -> io::Result<()> {
    let order = if first_is_current { [1, 0] } else { [0, 1] };
    file.sync_all()?;
    for copy in order {
        let begin = copy * COPY_LEN;
        file.write_all_at(&copies[begin..begin + COPY_LEN], begin as u64)?;
        file.sync_all()?;
    }
    Ok(())
}

fn lock_object(file: &File, path: &Path) -> Result<(), BackendError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(failed(&error, path));
            }
            Err(_) if begun.elapsed() > LOCK_WAIT => {
                return Err(BackendError::Unavailable(format!(
                    "another program has locked {}",
                    path.display()
                )));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn other(error: sealstone::Error) -> BackendError {
    BackendError::Other(error.into())
}
