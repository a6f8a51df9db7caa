//! A store in a directory.
//!
//! ```text
//! ROOT/.sealstone-gateway/instances, tmp
//! ROOT/BUCKET/.sealstone-gateway/bucket.json, records, uploads, locks, tmp
//! ROOT/BUCKET/photos/cat.jpg.sealstone
//! ```
//!
//! An object's file is its header and its payload: an object that `sealstone` opens, and rewraps in place. What else is
//! stored of it, such as its content type and its `ETag`, is in a record under `records`, and in the file itself for
//! objects that are not sealed. A sealed file without a record is an object without attributes.
//!
//! - **Crashes.** Everything is synced before a method returns. A crash at any moment leaves the old object or the new.
//!   Temporary files of processes that have ended are removed by the next [`DiskBackend::open`]; at most a record of some
//!   hundred bytes is left of a deletion.
//! - **Concurrency.** Any number of tasks, and of processes on one machine, may use a directory at once: changes of an
//!   object lock it with `flock`. Over a network file system that holds only if `flock` does. Readers take no lock, and
//!   go on reading the version that they have opened.
//! - **File systems** must tell upper from lower case and preserve names as they are; [`DiskBackend::open`] checks it.
//! - **Listings.** A page reads the directories that its keys are in, each from its beginning to its end: in memory that
//!   does not grow, but in time that does. Millions of keys between two slashes make slow pages.
//! - **Clients** cannot reach anything outside of the directory, nor create links. A symbolic link in place of an object
//!   is refused, and one in place of a directory does not appear in listings.

mod bucket;
mod change;
mod files;
mod instance;
mod list;
mod names;
mod object;
mod record;
mod transfer;
mod uploads;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use self::bucket::{Bucket, DIRECTORIES, MARKER, Marker, TMP};
use self::change::Draft;
use self::files::{damaged, failed, found, random_id, sync_dir};
use self::instance::Instance;
use self::names::PRIVATE;
use self::object::Object;
use self::transfer::{Sending, blocking, receive};
use self::uploads::Upload;
use super::{
    Attributes, Backend, BackendError, Body, Condition, ListPage, ListRequest, Location, StoredBytes, StoredObject,
    StoredRange, StoredUpload, Tags, UploadedPart,
};

const INSTANCES: &str = "instances";

/// A [`Backend`] in a directory.
#[derive(Debug, Clone)]
pub struct DiskBackend {
    disk: Arc<Disk>,
}

#[derive(Debug)]
struct Disk {
    root: PathBuf,
    instance: Instance,
}

impl DiskBackend {
    /// Uses a directory, which is created if it does not exist, and removes what processes that were killed have left
    /// there. Blocks the thread.
    ///
    /// # Errors
    /// [`BackendError::Denied`], [`BackendError::Full`]; [`BackendError::Other`] if names cannot be stored as they are.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, BackendError> {
        let root = std::path::absolute(root.as_ref()).map_err(|error| failed(&error, root.as_ref()))?;
        let private = root.join(PRIVATE);
        let instances = private.join(INSTANCES);
        for directory in [private.join(TMP), instances.clone()] {
            fs::create_dir_all(&directory).map_err(|error| failed(&error, &directory))?;
        }
        let instance = Instance::begin(&instances)?;
        check_names(&private.join(TMP), instance.name())?;
        let ended = Instance::ended(&instances)?;
        let disk = Disk { root, instance };
        disk.sweep()?;
        Instance::forget(&instances, &ended);
        Ok(Self { disk: Arc::new(disk) })
    }

    fn bucket(&self, name: &str) -> Result<Bucket, BackendError> {
        self.disk.bucket(name)
    }

    /// Runs calls that block on a bucket.
    async fn run<T: Send + 'static>(
        &self,
        bucket: &str,
        call: impl FnOnce(&Bucket) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let bucket = self.bucket(bucket)?;
        blocking(move || call(&bucket)).await
    }
}

impl Disk {
    fn bucket(&self, name: &str) -> Result<Bucket, BackendError> {
        Bucket::new(&self.root, name, self.instance.name())
    }

    fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        let mut buckets = Vec::new();
        for name in names_in(&self.root)? {
            match self.bucket(&name).and_then(|bucket| bucket.created()) {
                Ok(created) => buckets.push((name, created)),
                Err(BackendError::NoSuchBucket) => {}
                Err(error) => return Err(error),
            }
        }
        buckets.sort();
        Ok(buckets)
    }

    fn create_bucket(&self, name: &str) -> Result<(), BackendError> {
        if !names::is_bucket(name) {
            return Err(BackendError::InvalidName(name.to_owned()));
        }
        let building = self.temporary()?;
        let built = self.build_bucket(&building, &self.root.join(name));
        if built.is_err() {
            let _ = fs::remove_dir_all(&building);
        }
        built
    }

    fn build_bucket(&self, building: &Path, target: &Path) -> Result<(), BackendError> {
        let private = building.join(PRIVATE);
        for name in DIRECTORIES {
            let directory = private.join(name);
            fs::create_dir_all(&directory).map_err(|error| failed(&error, &directory))?;
        }
        let path = private.join(MARKER);
        let marker = Marker {
            created: SystemTime::now(),
        };
        let json = serde_json::to_vec(&marker).map_err(|error| BackendError::Other(error.into()))?;
        let written = fs::File::create_new(&path).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &json)?;
            file.sync_all()
        });
        written.map_err(|error| failed(&error, &path))?;
        for directory in [&private, building] {
            sync_dir(directory)?;
        }
        // Replaces an empty directory, but no bucket: that contains our own directory.
        match fs::rename(building, target) {
            Err(error) if target.symlink_metadata().is_ok() => {
                let exists = error.kind() == std::io::ErrorKind::DirectoryNotEmpty
                    || error.kind() == std::io::ErrorKind::AlreadyExists
                    || error.kind() == std::io::ErrorKind::NotADirectory;
                return Err(if exists {
                    BackendError::BucketExists
                } else {
                    failed(&error, target)
                });
            }
            renamed => renamed.map_err(|error| failed(&error, target))?,
        }
        sync_dir(&self.root)
    }

    fn delete_bucket(&self, name: &str) -> Result<(), BackendError> {
        let bucket = self.bucket(name)?;
        let _lock = bucket.lock_bucket(true)?;
        if !list::is_empty(&bucket)? {
            return Err(BackendError::BucketNotEmpty);
        }
        let removed = self.temporary()?;
        fs::rename(bucket.dir(), &removed).map_err(|error| failed(&error, bucket.dir()))?;
        sync_dir(&self.root)?;
        let _ = fs::remove_dir_all(&removed);
        Ok(())
    }

    /// A new path for a temporary directory.
    fn temporary(&self) -> Result<PathBuf, BackendError> {
        let name = format!("{}.{}", self.instance.name(), random_id()?);
        Ok(self.root.join(PRIVATE).join(TMP).join(name))
    }

    /// Removes what processes that have ended have left.
    fn sweep(&self) -> Result<(), BackendError> {
        let tmp = self.root.join(PRIVATE).join(TMP);
        for name in names_in(&tmp)? {
            if self.is_left(&name)? {
                let path = tmp.join(&name);
                found(fs::remove_dir_all(&path), &path)?;
            }
        }
        for name in names_in(&self.root)? {
            let Ok(bucket) = self.bucket(&name) else { continue };
            for name in names_in(&bucket.private(TMP))? {
                // What is damaged does no harm where it is, and everything else must be served.
                if self.is_left(&name)?
                    && let Err(error) = bucket.sweep(&name)
                {
                    tracing::warn!(bucket = %bucket.dir().display(), name, %error, "what a process has left is not removed");
                }
            }
        }
        Ok(())
    }

    fn is_left(&self, name: &str) -> Result<bool, BackendError> {
        let instance = name.split('.').next().unwrap_or_default();
        Ok(
            instance != self.instance.name()
                && Instance::has_ended(&self.root.join(PRIVATE).join(INSTANCES), instance)?,
        )
    }
}

fn names_in(directory: &Path) -> Result<Vec<String>, BackendError> {
    let Some(entries) = found(fs::read_dir(directory), directory)? else {
        return Ok(Vec::new());
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    names
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error, directory))
}

/// Checks that the file system tells names apart that differ in case or in composition, such as those of two objects.
fn check_names(directory: &Path, instance: &str) -> Result<(), BackendError> {
    let name = |variant: &str| directory.join(format!("{instance}.{variant}"));
    let path = name("é");
    fs::File::create(&path).map_err(|error| failed(&error, &path))?;
    let others = ["É", "e\u{301}"].map(|variant| name(variant).symlink_metadata().is_ok());
    let is_kept = path.symlink_metadata().is_ok();
    let _ = fs::remove_file(&path);
    if !is_kept || others.contains(&true) {
        return Err(damaged(
            directory,
            "its file system confuses names that differ in case or in composition",
        ));
    }
    Ok(())
}

#[async_trait]
impl Backend for DiskBackend {
    async fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        let disk = self.disk.clone();
        blocking(move || disk.buckets()).await
    }

    async fn create_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let (disk, name) = (self.disk.clone(), bucket.to_owned());
        blocking(move || disk.create_bucket(&name)).await
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let (disk, name) = (self.disk.clone(), bucket.to_owned());
        blocking(move || disk.delete_bucket(&name)).await
    }

    async fn head_bucket(&self, bucket: &str) -> Result<Option<SystemTime>, BackendError> {
        self.run(bucket, |bucket| bucket.created().map(Some)).await
    }

    async fn put(
        &self,
        at: &Location,
        body: Body,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let bucket = self.bucket(&at.bucket)?;
        let draft = Arc::new(Draft::new(&at.key, random_id()?, body.len, attributes, tags)?);
        let begin = {
            let (bucket, draft, key, condition) = (bucket.clone(), draft.clone(), at.key.clone(), condition.clone());
            move || {
                bucket.check_early(&key, &condition)?;
                bucket.stage(&draft)
            }
        };
        let file = receive(body, begin, |_| Ok(())).await?;
        let key = at.key.clone();
        blocking(move || {
            let lock = bucket.lock(&key)?;
            bucket.publish(&lock, Arc::unwrap_or_clone(draft), file, &condition)
        })
        .await
    }

    async fn head(&self, at: &Location) -> Result<StoredObject, BackendError> {
        let key = at.key.clone();
        self.run(&at.bucket, move |bucket| Ok(bucket.get(&key)?.record.into_stored()))
            .await
    }

    async fn get(&self, at: &Location, range: StoredRange, etag: Option<&str>) -> Result<StoredBytes, BackendError> {
        let (key, etag) = (at.key.clone(), etag.map(str::to_owned));
        let begin = move |bucket: &Bucket| {
            let Object {
                file, payload, record, ..
            } = bucket.get(&key)?;
            if etag.is_some_and(|etag| etag != record.etag) {
                return Err(BackendError::Precondition);
            }
            let range = range.within(record.len);
            let sending = Sending::begin(file, payload + range.start, payload + range.end);
            let sending = sending.map_err(|error| failed(&error, bucket.dir()))?;
            Ok((record.into_stored(), range, sending))
        };
        let (object, range, sending) = self.run(&at.bucket, begin).await?;
        Ok(StoredBytes {
            object,
            range,
            bytes: sending.stream(),
        })
    }

    async fn delete(&self, at: &Location, condition: Condition) -> Result<(), BackendError> {
        let key = at.key.clone();
        self.run(&at.bucket, move |bucket| bucket.delete(&key, &condition))
            .await
    }

    async fn copy(
        &self,
        from: &Location,
        etag: &str,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let (source, is_itself, target) = (self.bucket(&from.bucket)?, from == to, self.bucket(&to.bucket)?);
        let (from, to, etag) = (from.key.clone(), to.key.clone(), etag.to_owned());
        blocking(move || {
            if is_itself {
                return source.change(&from, Some(&etag), &condition, |record| {
                    record.modified = SystemTime::now();
                    record.attributes = attributes;
                    record.tags = tags.unwrap_or_else(|| std::mem::take(&mut record.tags));
                });
            }
            let object = source.get(&from)?;
            if object.record.etag != etag {
                return Err(BackendError::Precondition);
            }
            target.check_early(&to, &condition)?;
            let tags = tags.unwrap_or_else(|| object.record.tags.clone());
            let draft = Draft::new(&to, random_id()?, object.record.len, attributes, tags)?;
            let file = target.copied(&object, &draft)?;
            let lock = target.lock(&to)?;
            target.publish(&lock, draft, file, &condition)
        })
        .await
    }

    async fn list(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        let request = request.clone();
        self.run(bucket, move |bucket| list::list(bucket, &request)).await
    }

    async fn tags(&self, at: &Location) -> Result<Tags, BackendError> {
        let key = at.key.clone();
        self.run(&at.bucket, move |bucket| Ok(bucket.get(&key)?.record.tags))
            .await
    }

    async fn set_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError> {
        let key = at.key.clone();
        let change = move |bucket: &Bucket| bucket.change(&key, None, &Condition::None, |record| record.tags = tags);
        self.run(&at.bucket, change).await.map(drop)
    }

    async fn create_upload(&self, at: &Location, attributes: Attributes, tags: Tags) -> Result<String, BackendError> {
        let upload = Upload {
            key: at.key.clone(),
            attributes,
            tags,
        };
        self.run(&at.bucket, move |bucket| bucket.create_upload(&upload)).await
    }

    async fn put_part(&self, at: &Location, upload: &str, number: u16, body: Body) -> Result<String, BackendError> {
        let bucket = self.bucket(&at.bucket)?;
        let begin = {
            let (bucket, key, upload) = (bucket.clone(), at.key.clone(), upload.to_owned());
            move || {
                bucket.upload(&key, &upload)?;
                bucket.create_temporary(None)
            }
        };
        let etag = random_id()?;
        let end = etag.clone();
        let file = receive(body, begin, move |file| file.write(end.as_bytes())).await?;
        let upload = upload.to_owned();
        blocking(move || bucket.publish_part(&upload, number, file)).await?;
        Ok(etag)
    }

    async fn complete_upload(
        &self,
        at: &Location,
        upload: &str,
        parts: &[UploadedPart],
        condition: Condition,
    ) -> Result<String, BackendError> {
        let (key, upload, parts) = (at.key.clone(), upload.to_owned(), parts.to_owned());
        let complete = move |bucket: &Bucket| bucket.complete_upload(&key, &upload, &parts, &condition);
        self.run(&at.bucket, complete).await
    }

    async fn abort_upload(&self, at: &Location, upload: &str) -> Result<(), BackendError> {
        let (key, upload) = (at.key.clone(), upload.to_owned());
        self.run(&at.bucket, move |bucket| bucket.abort_upload(&key, &upload))
            .await
    }

    async fn uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        self.run(bucket, Bucket::uploads).await
    }
}
