//! A file that appears complete, or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::{self, FileAttributes, NotKept, Replaced, Unfinished};

/// The mode of a new file before the umask applies, and the mode of a file whose final mode is set later.
const OPEN_MODE: u32 = 0o666;
const NARROW_MODE: u32 = 0o600;
const SETTING_ACCESS: &str = "setting who may access the output";

/// What to do if the output already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Fail and leave it unchanged.
    #[default]
    Fail,
    /// Replace it with the new file, which gets the old one's owner, group, mode, access control list and extended
    /// attributes as far as the system allows. No user gains access by what could not be kept.
    Replace,
}

/// Who may access an output that does not replace a file. Until it is complete, only its owner may, or at most these
/// users.
#[derive(Debug, Clone, Default)]
pub enum FileAccess {
    /// According to the umask.
    #[default]
    Umask,
    /// According to the umask, but only users who may access this file: for plaintext, which must not be less private
    /// than its object.
    AtMost(FileAttributes),
    /// The users who may access this file, as far as owner and group can be copied. The modification time is copied
    /// too, also to an output that replaces a file.
    Like(FileAttributes),
}

impl FileAccess {
    fn creation_mode(&self) -> u32 {
        match self {
            Self::Umask => OPEN_MODE,
            Self::AtMost(most) => most.creation_mode(),
            Self::Like(_) => NARROW_MODE,
        }
    }
}

/// A new file without a name, or with a temporary one, until [`AtomicFile::commit`] publishes it under its own.
///
/// If it is dropped before that, nothing is left of it. If the operating system supports files without names, nothing
/// is left after a kill either.
#[derive(Debug)]
#[must_use = "the file has no name until `commit`"]
pub struct AtomicFile {
    unfinished: Unfinished,
    target: PathBuf,
    if_exists: IfExists,
    access: FileAccess,
}

impl AtomicFile {
    /// Creates the file in the directory of `target`. The umask determines who may access it, unless it replaces a
    /// file.
    ///
    /// # Errors
    /// As [`AtomicFile::create_with`].
    pub fn create(target: &Path, if_exists: IfExists) -> Result<Self> {
        Self::create_with(target, if_exists, FileAccess::Umask)
    }

    /// Creates the file in the directory of `target`. `access` determines who may access it, unless it replaces a file.
    ///
    /// # Errors
    /// [`Error::OutputExists`] if `target` exists and must be kept, [`Error::OutputNotReplaceable`] if it cannot be
    /// replaced; [`Error::Io`].
    pub fn create_with(target: &Path, if_exists: IfExists, access: FileAccess) -> Result<Self> {
        Self::check(target, if_exists)?;
        let replaces = target.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let mode = if replaces { NARROW_MODE } else { access.creation_mode() };
        let unfinished = Unfinished::create(sys::parent(target), mode).map_err(Error::io("creating the output"))?;
        if let FileAccess::AtMost(most) = &access {
            most.narrow(unfinished.file()).map_err(Error::io(SETTING_ACCESS))?;
        }
        Ok(Self {
            unfinished,
            target: target.to_owned(),
            if_exists,
            access,
        })
    }

    /// Checks whether `target` could be published now, so that no work is wasted. The operating system may still refuse
    /// it later.
    ///
    /// # Errors
    /// [`Error::OutputExists`], [`Error::OutputNotReplaceable`].
    pub fn check(target: &Path, if_exists: IfExists) -> Result<()> {
        match if_exists {
            IfExists::Fail if target.symlink_metadata().is_ok() => Err(Error::OutputExists(target.to_owned())),
            IfExists::Fail => Ok(()),
            IfExists::Replace => sys::hindrance_to_replacing(target).map_or(Ok(()), |reason| {
                let path = target.to_owned();
                Err(Error::OutputNotReplaceable { path, reason })
            }),
        }
    }

    /// The file to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        self.unfinished.file()
    }

    /// The temporary name, if the file has one: remove it if the process is about to end without a drop.
    #[must_use]
    pub fn temporary_path(&self) -> Option<&Path> {
        self.unfinished.path()
    }

    /// Syncs the file to disk and publishes it under its name.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`]. Nothing is then left of the file, unless only the directory could not be
    /// synced: in that case the complete file has its name, which a power loss may still remove.
    pub fn commit(self) -> Result<()> {
        self.name()?.sync()
    }

    /// Syncs the file to disk and publishes it under its name, but does not sync the directory: for callers that
    /// publish several files together. [`NamedFile::sync`] syncs the directory.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`]. Nothing is then left of the file.
    pub fn name(self) -> Result<NamedFile> {
        let not_kept = self.settle_access().map_err(Error::io(SETTING_ACCESS))?;
        self.file().sync_all().map_err(Error::io("syncing the output"))?;
        let named = match self.if_exists {
            IfExists::Fail => self.unfinished.name_new(&self.target),
            IfExists::Replace => self.unfinished.name_over(&self.target),
        };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists(self.target.clone()),
            _ => Error::from_io("naming the output", error),
        })?;
        Ok(NamedFile {
            target: self.target,
            not_kept,
        })
    }

    /// Grants access to the file; returns what could not be kept of the file it replaces.
    fn settle_access(&self) -> io::Result<Vec<NotKept>> {
        if let FileAccess::Like(model) = &self.access {
            model.give_time_to(self.file());
        }
        // Read as late as possible, because the old file may have changed.
        let replaced = match self.if_exists {
            IfExists::Fail => None,
            IfExists::Replace => Replaced::at(&self.target)?,
        };
        match (replaced, &self.access) {
            (Some(replaced), _) => replaced.give_to(self.file()),
            // A copy that fewer users may access than the original needs no report.
            (None, FileAccess::Like(model)) => {
                let mut not_kept = model.give_access_to(self.file())?;
                not_kept.retain(|&what| what == NotKept::Mode);
                Ok(not_kept)
            }
            (None, FileAccess::AtMost(most)) => {
                let narrow = most.narrow(self.file())?;
                Ok((!narrow).then_some(NotKept::Mode).into_iter().collect())
            }
            (None, FileAccess::Umask) => Ok(Vec::new()),
        }
    }
}

/// A complete file that has its name, in a directory that has not been synced: a power loss may still remove the name.
#[derive(Debug)]
#[must_use = "the name is not on the disk until `sync`"]
pub struct NamedFile {
    target: PathBuf,
    not_kept: Vec<NotKept>,
}

impl NamedFile {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// What could not be kept of the file that it replaced; for a new file, [`NotKept::Mode`] if more users may access
    /// it than requested.
    #[must_use]
    pub fn not_kept(&self) -> &[NotKept] {
        &self.not_kept
    }

    /// Syncs the directory.
    ///
    /// # Errors
    /// [`Error::Io`]. The file exists nevertheless.
    pub fn sync(self) -> Result<()> {
        sys::sync_dir(sys::parent(&self.target)).map_err(Error::io("syncing the output's directory"))
    }
}
