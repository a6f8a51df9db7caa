//! Files and directories, and what their errors mean.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::backend::{BackendError, hex};

/// A file under a temporary name, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub(super) fn create(path: PathBuf) -> Result<Self, BackendError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        Ok(Self {
            file: file.map_err(|error| failed(&error, &path))?,
            path,
            renamed: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.file.write_all(bytes).map_err(|error| failed(&error, &self.path))
    }

    pub(super) fn sync(&self) -> Result<(), BackendError> {
        self.file.sync_all().map_err(|error| failed(&error, &self.path))
    }

    /// Renames the file to `target`, which it replaces.
    pub(super) fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a file for reading and, if `write`, for writing; `None` if there is none. A symbolic link is an error.
pub(super) fn open(path: &Path, write: bool) -> Result<Option<File>, BackendError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    found(
        OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags(flags)
            .open(path),
        path,
    )
}

/// `None` if there is no such file.
pub(super) fn found<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, BackendError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed(&error, path)),
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether the path still is this file's.
pub(super) fn is_at(file: &File, path: &Path) -> Result<bool, BackendError> {
    let Some(there) = found(path.symlink_metadata(), path)? else {
        return Ok(false);
    };
    let here = file.metadata().map_err(|error| failed(&error, path))?;
    Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), BackendError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(&error, path))
}

/// What a failed call on a file means to the gateway.
pub(super) fn failed(error: &io::Error, path: &Path) -> BackendError {
    let place = || format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => BackendError::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => BackendError::Denied(place()),
        ErrorKind::InvalidFilename => BackendError::InvalidName(path.display().to_string()),
        ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle | ErrorKind::OutOfMemory => {
            BackendError::Unavailable(place())
        }
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => BackendError::Throttled(place()),
            Some(Errno::LOOP) => BackendError::Denied(format!("{} is a symbolic link", path.display())),
            _ => BackendError::Other(place().into()),
        },
    }
}

/// Content that is not what we have written.
pub(super) fn damaged(path: &Path, reason: impl std::fmt::Display) -> BackendError {
    BackendError::Other(format!("{} is damaged: {reason}", path.display()).into())
}

/// Whether it is of one file: the content is not what we have written, or cannot be read.
pub(super) const fn is_damage(error: &BackendError) -> bool {
    matches!(error, BackendError::Other(_))
}

/// 128 random bits as text.
pub(super) fn random_id() -> Result<String, BackendError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| BackendError::Other(error.into()))?;
    Ok(hex(&bytes))
}
