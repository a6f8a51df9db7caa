//! Multipart uploads.
//!
//! ```text
//! uploads/<id>/upload.json       what the object will have
//! uploads/<id>/<number>          a part: payload | ETag[32]
//! ```

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, UPLOADS, wait_for};
use super::change::{Draft, append};
use super::files::{self, Temporary, damaged, failed, found, is_at, random_id, sync_dir};
use super::names_in;
use crate::backend::{Attributes, BackendError, Condition, StoredUpload, Tags, UploadedPart};

const UPLOAD: &str = "upload.json";
/// The bytes of an `ETag`.
const ETAG_LEN: usize = 32;

/// What an upload's object will have.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
}

impl Bucket {
    pub(super) fn create_upload(&self, upload: &Upload) -> Result<String, BackendError> {
        if upload.key.is_empty() {
            return Err(BackendError::InvalidName(upload.key.clone()));
        }
        let json = serde_json::to_vec(upload).map_err(|error| BackendError::Other(error.into()))?;
        let id = random_id()?;
        let building = self.temporary(None)?;
        let created = fs::create_dir(&building).map_err(|error| failed(&error, &building));
        created.map_err(|error| self.required().err().unwrap_or(error))?;
        let built = self.build_upload(&building, &json, &id);
        if built.is_err() {
            let _ = fs::remove_dir_all(&building);
        }
        built.map(|()| id)
    }

    fn build_upload(&self, building: &PathBuf, json: &[u8], id: &str) -> Result<(), BackendError> {
        let path = building.join(UPLOAD);
        let written = File::create_new(&path).and_then(|mut file| {
            std::io::Write::write_all(&mut file, json)?;
            file.sync_all()
        });
        written.map_err(|error| failed(&error, &path))?;
        sync_dir(building)?;
        let uploads = self.private(UPLOADS);
        let directory = uploads.join(id);
        fs::rename(building, &directory).map_err(|error| failed(&error, &directory))?;
        sync_dir(&uploads)
    }

    /// # Errors
    /// [`BackendError::NoSuchUpload`].
    pub(super) fn upload(&self, key: &str, id: &str) -> Result<Upload, BackendError> {
        let path = self.upload_dir(id)?.join(UPLOAD);
        let bytes = found(fs::read(&path), &path)?.ok_or(BackendError::NoSuchUpload)?;
        let upload: Upload = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))?;
        if upload.key == key {
            Ok(upload)
        } else {
            Err(BackendError::NoSuchUpload)
        }
    }

    /// The uploads in progress.
    pub(super) fn uploads(&self) -> Result<Vec<StoredUpload>, BackendError> {
        self.required()?;
        let mut uploads = Vec::new();
        for id in names_in(&self.private(UPLOADS))? {
            let path = self.private(UPLOADS).join(&id).join(UPLOAD);
            // Completed or aborted meanwhile, if it is absent.
            let Some(file) = files::open(&path, false)? else {
                continue;
            };
            let began = file.metadata().and_then(|metadata| metadata.modified());
            let upload: Upload = serde_json::from_reader(file).map_err(|error| damaged(&path, error))?;
            uploads.push(StoredUpload {
                key: upload.key,
                id,
                began: began.map_err(|error| failed(&error, &path))?,
            });
        }
        Ok(uploads)
    }

    fn upload_dir(&self, id: &str) -> Result<PathBuf, BackendError> {
        let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // A client has sent it.
        is_id
            .then(|| self.private(UPLOADS).join(id))
            .ok_or(BackendError::NoSuchUpload)
    }

    /// Stores a part: its payload, without the `ETag`, is in `file`.
    pub(super) fn publish_part(&self, id: &str, number: u16, mut file: Temporary) -> Result<(), BackendError> {
        let directory = self.upload_dir(id)?;
        let path = part_path(&directory, number);
        if let Some(()) = found(file.rename(&path), &path)? {
            // An upload that has just been completed or aborted takes its directory with it.
            return found(sync_dir_of(&directory), &directory)?.ok_or(BackendError::NoSuchUpload);
        }
        Err(BackendError::NoSuchUpload)
    }

    pub(super) fn complete_upload(
        &self,
        key: &str,
        id: &str,
        parts: &[UploadedPart],
        condition: &Condition,
    ) -> Result<String, BackendError> {
        let directory = self.upload_dir(id)?;
        // Of two completions at once, only one copies the parts.
        let _lock = lock_upload(&directory)?;
        let upload = self.upload(key, id)?;
        let opened = Parts::open(&directory, parts)?;
        self.check_early(key, condition)?;
        let draft = Draft::new(key, random_id()?, opened.len, upload.attributes, upload.tags)?;
        let file = self.stage(&draft)?;
        opened.append_to(&file)?;
        file.sync()?;
        let lock = self.lock(key)?;
        // It may have been aborted.
        self.upload(key, id)?;
        let etag = self.publish(&lock, draft, file, condition)?;
        self.remove_upload(id)?;
        Ok(etag)
    }

    pub(super) fn abort_upload(&self, key: &str, id: &str) -> Result<(), BackendError> {
        let _lock = self.lock(key)?;
        self.upload(key, id)?;
        self.remove_upload(id)
    }

    /// Makes an upload disappear at one moment, then removes its parts.
    fn remove_upload(&self, id: &str) -> Result<(), BackendError> {
        let directory = self.upload_dir(id)?;
        let removed = self.temporary(None)?;
        fs::rename(&directory, &removed).map_err(|error| failed(&error, &directory))?;
        sync_dir(&self.private(UPLOADS))?;
        let _ = fs::remove_dir_all(&removed);
        Ok(())
    }
}

/// Parts that are all there. Those that are uploaded under their numbers from now on are others.
#[derive(Debug)]
struct Parts<'a> {
    directory: &'a Path,
    parts: &'a [UploadedPart],
    /// The files of the first, with the lengths of their payloads.
    opened: Vec<(File, u64)>,
    len: u64,
}

impl<'a> Parts<'a> {
    /// Systems limit the number of open files. Parts after these are opened again, and must be the same still.
    const MOST_OPEN: usize = 1000;

    fn open(directory: &'a Path, parts: &'a [UploadedPart]) -> Result<Self, BackendError> {
        let (mut opened, mut all) = (Vec::new(), 0);
        for part in parts {
            let (file, len) = open_part(directory, part)?;
            all += len;
            if opened.len() < Self::MOST_OPEN {
                opened.push((file, len));
            }
        }
        Ok(Self {
            directory,
            parts,
            opened,
            len: all,
        })
    }

    fn append_to(self, file: &Temporary) -> Result<(), BackendError> {
        let again = self.parts.iter().skip(self.opened.len());
        let again = again.map(|part| open_part(self.directory, part));
        for part in self.opened.into_iter().map(Ok).chain(again) {
            let (part, len) = part?;
            append(&part, 0, len, file)?;
        }
        Ok(())
    }
}

fn part_path(directory: &Path, number: u16) -> PathBuf {
    directory.join(format!("{number:05}"))
}

fn sync_dir_of(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Excludes other completions of an upload. It exists when this returns.
fn lock_upload(directory: &Path) -> Result<File, BackendError> {
    let path = directory.join(UPLOAD);
    let file = files::open(&path, false)?.ok_or(BackendError::NoSuchUpload)?;
    wait_for(|| file.lock()).map_err(|error| failed(&error, &path))?;
    if is_at(&file, &path)? {
        Ok(file)
    } else {
        Err(BackendError::NoSuchUpload)
    }
}

/// Opens the part that has this `ETag`; returns it with its length.
fn open_part(directory: &Path, part: &UploadedPart) -> Result<(File, u64), BackendError> {
    let path = part_path(directory, part.number);
    let file = files::open(&path, false)?.ok_or(BackendError::InvalidPart)?;
    let total = file.metadata().map_err(|error| failed(&error, &path))?.len();
    let len = total
        .checked_sub(ETAG_LEN as u64)
        .ok_or_else(|| damaged(&path, "it has no ETag"))?;
    let mut etag = [0; ETAG_LEN];
    file.read_exact_at(&mut etag, len)
        .map_err(|error| failed(&error, &path))?;
    if etag.as_slice() == part.etag.as_bytes() {
        Ok((file, len))
    } else {
        Err(BackendError::InvalidPart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_replaced_while_others_are_copied_is_the_one_that_was_checked() {
        let root = tempfile::TempDir::new().unwrap();
        let directory = root.path();
        let etag = |fill: char| fill.to_string().repeat(ETAG_LEN);
        let store = |number: u16, payload: &str, fill: char| {
            fs::write(directory.join("new"), format!("{payload}{}", etag(fill))).unwrap();
            fs::rename(directory.join("new"), part_path(directory, number)).unwrap();
            UploadedPart {
                number,
                etag: etag(fill),
            }
        };
        let parts = [store(1, "first ", 'a'), store(2, "last", 'b')];
        let opened = Parts::open(directory, &parts).unwrap();
        assert_eq!(opened.len, 10);
        store(2, "other", 'c');
        let target = Temporary::create(directory.join("target")).unwrap();
        opened.append_to(&target).unwrap();
        assert_eq!(fs::read(target.path()).unwrap(), b"first last");
        assert!(matches!(Parts::open(directory, &parts), Err(BackendError::InvalidPart)));
    }
}
