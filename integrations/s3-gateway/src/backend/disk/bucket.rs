//! The objects of a bucket, one at a time.
//!
//! ```text
//! put       payload into tmp, sync | lock: check, record, rename the file, drop the old record
//! change    lock: check, record, rewrite the header in the file
//! delete    lock: check, remove the file, drop the record
//! read      file, then the record that the file's commitment and length name
//! ```
//!
//! One rename decides each change, of the file or, where it stays, of the record.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sealstone::format::{ATTACHED_LEN, COPY_LEN, CopyFault, Header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{self, Temporary, damaged, failed, found, hex, is_absent, random_id, sync_dir};
use super::names::{self, PRIVATE};
use super::record::{MAX_RECORD, Record, Start, attached, digest, frame, record_name};
use crate::backend::{Attributes, BackendError, Condition, Tags};

/// What makes a directory a bucket. Deleting the bucket locks it exclusively, everything else shares it.
pub(super) const MARKER: &str = "bucket.json";
/// Our own directories in a bucket.
pub(super) const TMP: &str = "tmp";
pub(super) const UPLOADS: &str = "uploads";
const RECORDS: &str = "records";
const LOCKS: &str = "locks";
pub(super) const DIRECTORIES: [&str; 4] = [TMP, UPLOADS, RECORDS, LOCKS];

/// How often something that others can undo is tried.
const TRIES: usize = 100;
/// How long another program may keep an object locked.
const LOCK_WAIT: Duration = Duration::from_secs(10);

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

/// A stored object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) file: File,
    /// Where the payload begins in the file.
    pub(super) payload: u64,
    pub(super) record: Record,
    /// The rest is of sealed objects only.
    sealed: Option<Sealed>,
}

#[derive(Debug)]
struct Sealed {
    header: Header,
    record_name: String,
    first_copy_is_current: bool,
}

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
                record_name: Some(record_name(&record.key, &header, record.len)),
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
        let path = self.dir.join(names::path(key));
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
            record_name: record_name(key, found.header(), len),
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

    /// Creates the file of an object, up to its payload.
    pub(super) fn stage(&self, draft: &Draft) -> Result<Temporary, BackendError> {
        let mut file = self.create_temporary(draft.record_name.as_deref())?;
        file.write(&draft.start)?;
        Ok(file)
    }

    /// Checks what must be true of the object that a write replaces.
    pub(super) fn check(&self, key: &str, condition: &Condition) -> Result<Option<Object>, BackendError> {
        let current = self.find(key)?;
        if current.is_none() {
            self.required()?;
        }
        let etag = current.as_ref().map(|object| &object.record.etag);
        match (condition, etag) {
            (Condition::None, _) | (Condition::Absent, None) => Ok(current),
            (Condition::Match(expected), Some(etag)) if expected == etag => Ok(current),
            (Condition::Match(_), None) => Err(BackendError::NoSuchKey),
            (Condition::Absent | Condition::Match(_), Some(_)) => Err(BackendError::Precondition),
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
            let sealed = current.as_ref().and_then(|current| current.sealed.as_ref());
            draft.record.replaces = sealed.map(|sealed| sealed.record_name.clone());
            // The same payload, perhaps under another header: until the rename, the record is already this one.
            let same = sealed.filter(|sealed| sealed.record_name == *name);
            draft.record.supersedes = same.map(|sealed| digest(&sealed.header)).transpose().map_err(other)?;
            self.store_record(name, &draft.record)?;
        }
        self.name(&mut file, &names::path(&draft.record.key))?;
        if let Some(current) = current {
            self.drop_records(&current, draft.record_name.as_deref());
        }
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
        let path = self.dir.join(names::path(key));
        let Some(file) = files::open(&path, true)? else {
            return Err(BackendError::NoSuchKey);
        };
        // Against other programs that rewrap the object in its file.
        lock_object(&file, &path)?;
        let object = self.check(key, condition)?.ok_or(BackendError::NoSuchKey)?;
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
        let Some(object) = self.check(key, condition)? else {
            return Ok(());
        };
        let path = self.dir.join(names::path(key));
        fs::remove_file(&path).map_err(|error| failed(&error, &path))?;
        sync_dir(parent(&path))?;
        self.drop_records(&object, None);
        // A put that needs one of these directories creates it again.
        let directories = path.ancestors().skip(1).take_while(|dir| *dir != self.dir);
        for directory in directories {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Gives a complete file its name, durably.
    fn name(&self, file: &mut Temporary, name: &str) -> Result<(), BackendError> {
        let path = self.dir.join(name);
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
            if directory == self.dir {
                break;
            }
        }
        Ok(())
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

    fn store_record(&self, name: &str, record: &Record) -> Result<(), BackendError> {
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

    /// Removes the records of a version that was replaced, and of the one before if a crash has left it.
    fn drop_records(&self, object: &Object, except: Option<&str>) {
        let names = [object.record_name(), object.record.replaces.clone()];
        for name in names
            .into_iter()
            .flatten()
            .filter(|name| is_record_name(name) && except != Some(name))
        {
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

impl Object {
    fn record_name(&self) -> Option<String> {
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

fn is_record_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
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

/// Whether the path still is this file's.
fn is_at(file: &File, path: &Path) -> Result<bool, BackendError> {
    let Some(there) = found(path.symlink_metadata(), path)? else {
        return Ok(false);
    };
    let here = file.metadata().map_err(|error| failed(&error, path))?;
    Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
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

/// Repeats a call that signals interrupt.
fn wait_for(call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn other(error: sealstone::Error) -> BackendError {
    BackendError::Other(error.into())
}
