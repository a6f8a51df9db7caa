//! A file's attributes besides its bytes, copied to another file.
//!
//! ```text
//! the file that is replaced, or the input  -> FileAttributes -> the new file, before it has its name
//! ```

#[cfg(unix)]
mod extended;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

#[cfg(unix)]
use self::unix::Access;
use crate::error::{Error, Result};

/// Who may access a file, and when it was last modified: owner, group, mode, access control list and time. The mode
/// does not include the setuid, setgid and sticky bits.
///
/// On systems where files have no owner and mode, it is the time alone.
#[derive(Debug, Clone)]
pub struct FileAttributes {
    /// `None` where files have no modification time.
    modified: Option<SystemTime>,
    #[cfg(unix)]
    access: Access,
}

/// What could not be kept of a file that was replaced. No user gains access by it, except for [`NotKept::Mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotKept {
    /// The owner.
    Owner,
    /// The group. Its rights did not pass to another one.
    Group,
    /// The access control list: only the owner has access now.
    AccessControlList,
    /// The mode: the file system does not store it, and lets other users access the file.
    Mode,
    /// Extended attributes of the user, or the security label.
    ExtendedAttributes,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Group => "group",
            Self::AccessControlList => "access control list",
            Self::Mode => "mode",
            Self::ExtendedAttributes => "extended attributes",
        })
    }
}

impl FileAttributes {
    /// The attributes of an open file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn of(file: &File) -> Result<Self> {
        Self::of_open(file).map_err(Error::io("asking who may access the input"))
    }

    fn of_open(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            access: Access::new(&metadata, extended::acl(file)?),
        })
    }

    /// Sets the modification time. A file system that does not support it is no reason to fail.
    pub(crate) fn give_time_to(&self, file: &File) {
        if let Some(modified) = self.modified {
            let _ = file.set_modified(modified);
        }
    }

    /// Gives the same users access to `file`, or fewer if that is not possible; returns what could not be kept.
    pub(crate) fn give_access_to(&self, file: &File) -> io::Result<Vec<NotKept>> {
        #[cfg(unix)]
        return self.access.give_to(file);
        #[cfg(not(unix))]
        {
            let _ = file;
            Ok(Vec::new())
        }
    }

    /// The mode for creating a file that only users who may access this one can access.
    pub(crate) fn creation_mode(&self) -> u32 {
        #[cfg(unix)]
        return self.access.creation_mode();
        #[cfg(not(unix))]
        0o666
    }

    /// Revokes access to a new file from users who may not access this one, because the group may differ. Returns
    /// whether that succeeded.
    pub(crate) fn narrow(&self, file: &File) -> io::Result<bool> {
        #[cfg(unix)]
        return self.access.narrow(file);
        #[cfg(not(unix))]
        {
            let _ = file;
            Ok(true)
        }
    }
}

/// The attributes of the file at `path`, for the file that replaces it.
#[derive(Debug)]
pub(crate) struct Replaced {
    #[cfg(unix)]
    access: Access,
    #[cfg(unix)]
    extended: extended::Attributes,
}

impl Replaced {
    /// `None` if nothing has that name, or if it is not a file.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(Self {
            #[cfg(unix)]
            access: Access::new(&metadata, extended::acl_at(path)?),
            #[cfg(unix)]
            extended: extended::Attributes::at(path)?,
        }))
    }

    /// Gives `file` the attributes of the replaced one; returns what could not be kept.
    pub(crate) fn give_to(&self, file: &File) -> io::Result<Vec<NotKept>> {
        #[cfg(unix)]
        {
            // While we still own the file.
            let extended = self.extended.give_to(file);
            let mut not_kept = self.access.give_to(file)?;
            not_kept.extend((!extended).then_some(NotKept::ExtendedAttributes));
            Ok(not_kept)
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            Ok(Vec::new())
        }
    }
}
