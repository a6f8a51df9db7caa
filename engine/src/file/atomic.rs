//! A file that appears complete, or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::{self, Unfinished};

/// What to do if the output is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Refuse.
    #[default]
    Keep,
    /// Put the new file in its place.
    Replace,
}

/// A new file under no name, or a temporary one, until [`AtomicFile::commit`] gives it its own.
///
/// Dropped without that, nothing is left of it. Where the operating system has files without names, nothing is left
/// after a kill either.
#[derive(Debug)]
#[must_use = "the file has no name until `commit`"]
pub struct AtomicFile {
    unfinished: Unfinished,
    target: PathBuf,
    existing: Existing,
}

impl AtomicFile {
    /// Makes the file in the directory of `target`.
    ///
    /// # Errors
    /// [`Error::OutputExists`] if `target` is there and is to be kept, [`Error::OutputNotReplaceable`] if it cannot be
    /// replaced; [`Error::Io`].
    pub fn create(target: &Path, existing: Existing) -> Result<Self> {
        Self::check(target, existing)?;
        let unfinished = Unfinished::create(sys::parent(target)).map_err(Error::io("creating the output"))?;
        Ok(Self {
            unfinished,
            target: target.to_owned(),
            existing,
        })
    }

    /// Whether `target` could be named now, as far as that can be told without doing it: so that no work is done in
    /// vain. The operating system has the last word when the name is given.
    ///
    /// # Errors
    /// [`Error::OutputExists`], [`Error::OutputNotReplaceable`].
    pub fn check(target: &Path, existing: Existing) -> Result<()> {
        match existing {
            Existing::Keep if target.symlink_metadata().is_ok() => Err(Error::OutputExists(target.to_owned())),
            Existing::Keep => Ok(()),
            Existing::Replace => sys::hindrance_to_replacing(target).map_or(Ok(()), |reason| {
                let path = target.to_owned();
                Err(Error::OutputNotReplaceable { path, reason })
            }),
        }
    }

    /// The file, to be written.
    #[must_use]
    pub fn file(&self) -> &File {
        self.unfinished.file()
    }

    /// The temporary name, if the file has one: what to remove if the process is about to end without a drop.
    #[must_use]
    pub fn temporary_path(&self) -> Option<&Path> {
        self.unfinished.path()
    }

    /// Syncs the file to disk and gives it its name.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`]. Nothing is left of the file then, except where only the directory could not
    /// be synced: the complete file has its name, and a power cut may yet take the name away.
    pub fn commit(self) -> Result<()> {
        self.name()?.sync()
    }

    /// Syncs the file to disk and gives it its name; the directory is for [`NamedFile::sync`]. For who has several files
    /// to name, and wants none of them if one cannot be.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`]. Nothing is left of the file then.
    pub fn name(self) -> Result<NamedFile> {
        self.file().sync_all().map_err(Error::io("syncing the output"))?;
        let named = match self.existing {
            Existing::Keep => self.unfinished.name_new(&self.target),
            Existing::Replace => self.unfinished.name_over(&self.target),
        };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists(self.target.clone()),
            _ => Error::from_io("naming the output", error),
        })?;
        Ok(NamedFile { target: self.target })
    }
}

/// A complete file that has its name, in a directory that was not synced yet: a power cut may take the name away.
#[derive(Debug)]
#[must_use = "the name is not on the disk until `sync`"]
pub struct NamedFile {
    target: PathBuf,
}

impl NamedFile {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Syncs the directory.
    ///
    /// # Errors
    /// [`Error::Io`]. The file is there all the same.
    pub fn sync(self) -> Result<()> {
        sys::sync_dir(sys::parent(&self.target)).map_err(Error::io("syncing the output's directory"))
    }
}
