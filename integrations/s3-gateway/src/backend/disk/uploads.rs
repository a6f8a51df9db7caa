//! Multipart uploads.
//!
//! ```text
//! uploads/<id>/upload.json       what the object will have
//! uploads/<id>/<number>          a part: payload | ETag[32]
//! ```

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, UPLOADS};
use super::change::{Draft, append};
use super::files::{self, Temporary, damaged, failed, found, random_id, sync_dir};
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
        let written = fs::File::create_new(&path).and_then(|mut file| {
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
        let upload = self.upload(key, id)?;
        let directory = self.upload_dir(id)?;
        let mut len = 0;
        for part in parts {
            len += open_part(&directory, part)?.1;
        }
        self.check_early(key, condition)?;
        let draft = Draft::new(key, random_id()?, len, upload.attributes, upload.tags)?;
        let file = self.stage(&draft)?;
        let mut left = len;
        for part in parts {
            // It can have been replaced since, but not by bytes with the same `ETag`.
            let (part, len) = open_part(&directory, part)?;
            left = left.checked_sub(len).ok_or(BackendError::InvalidPart)?;
            append(&part, 0, len, &file)?;
        }
        file.sync()?;
        let lock = self.lock(key)?;
        // Of two completions at once, the other may have been faster.
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

fn part_path(directory: &std::path::Path, number: u16) -> PathBuf {
    directory.join(format!("{number:05}"))
}

fn sync_dir_of(directory: &std::path::Path) -> std::io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Opens the part that has this `ETag`; returns it with its length.
fn open_part(directory: &std::path::Path, part: &UploadedPart) -> Result<(fs::File, u64), BackendError> {
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
