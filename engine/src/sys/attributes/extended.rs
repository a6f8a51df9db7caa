//! Extended attributes on Linux, which include access control lists.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
const ACL: &str = "system.posix_acl_access";
/// The largest value, or list of all names, that Linux allows, in bytes.
#[cfg(target_os = "linux")]
const MAX_LEN: usize = 64 * 1024;

/// The access control list of an open file, if it has one besides the mode.
pub(super) fn acl(file: &File) -> io::Result<Option<Vec<u8>>> {
    #[cfg(target_os = "linux")]
    return value(|buffer| rustix::fs::fgetxattr(file, ACL, buffer));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        Ok(None)
    }
}

/// The access control list of the file at `path`.
pub(super) fn acl_at(path: &Path) -> io::Result<Option<Vec<u8>>> {
    #[cfg(target_os = "linux")]
    return value(|buffer| rustix::fs::lgetxattr(path, ACL, buffer));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        Ok(None)
    }
}

/// Sets the list of `file`, or removes one that it inherited from its directory; returns whether that succeeded.
pub(super) fn set_acl(file: &File, acl: Option<&[u8]>) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};
        match acl {
            Some(acl) => fsetxattr(file, ACL, acl, XattrFlags::empty()).is_ok(),
            None => fremovexattr(file, ACL).map_or_else(is_absent, |()| true),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, acl);
        true
    }
}

/// A file's user attributes and its security label.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    found: Vec<(OsString, Vec<u8>)>,
    /// Whether some could not be read.
    incomplete: bool,
}

impl Attributes {
    /// The attributes of the file at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let mut attributes = Self::default();
        #[cfg(target_os = "linux")]
        for name in names(path)? {
            match value(|buffer| rustix::fs::lgetxattr(path, &name, buffer)) {
                Ok(Some(value)) => attributes.found.push((name, value)),
                Ok(None) => {}
                Err(_) => attributes.incomplete = true,
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (path, &mut attributes);
        Ok(attributes)
    }

    /// Sets the attributes of `file`; returns whether it has all of them afterwards.
    pub(super) fn give_to(&self, file: &File) -> bool {
        let mut complete = !self.incomplete;
        for (name, value) in &self.found {
            complete &= set(file, name, value);
        }
        complete
    }
}

#[cfg(target_os = "linux")]
fn set(file: &File, name: &OsString, new: &[u8]) -> bool {
    use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
    // Few processes may change a label, and few need to.
    let has = value(|buffer| fgetxattr(file, name, buffer)).is_ok_and(|old| old.as_deref() == Some(new));
    has || fsetxattr(file, name, new, XattrFlags::empty()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set(_file: &File, _name: &OsString, _new: &[u8]) -> bool {
    false
}

/// The names of the attributes to keep.
#[cfg(target_os = "linux")]
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let all = value(|buffer| rustix::fs::llistxattr(path, buffer))?.unwrap_or_default();
    let kept = |name: &&[u8]| name.starts_with(b"user.") || *name == b"security.selinux";
    let names = all.split(|&byte| byte == 0).filter(kept);
    Ok(names.map(|name| std::ffi::OsStr::from_bytes(name).to_owned()).collect())
}

/// What `read` writes into a buffer; `None` if there is no such attribute, or the file system does not support them.
#[cfg(target_os = "linux")]
fn value(read: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; MAX_LEN];
    match read(&mut buffer) {
        Ok(len) => {
            buffer.truncate(len);
            Ok(Some(buffer))
        }
        Err(error) if is_absent(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn is_absent(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    // NOSYS: a sandbox without the system call.
    matches!(error, Errno::NODATA | Errno::NOTSUP | Errno::NOSYS)
}
