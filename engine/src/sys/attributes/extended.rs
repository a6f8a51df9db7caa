//! Extended attributes, where the operating system has them as Linux has: access control lists are among them.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
const ACL: &str = "system.posix_acl_access";
/// The most bytes that Linux lets a value, or all names together, have.
#[cfg(target_os = "linux")]
const MAX_LEN: usize = 64 * 1024;

/// The access control list of an open file, if it has more than the mode says.
pub(super) fn acl(file: &File) -> io::Result<Option<Vec<u8>>> {
    #[cfg(target_os = "linux")]
    return value(|buffer| rustix::fs::fgetxattr(file, ACL, buffer));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        Ok(None)
    }
}

/// The same of the file named `path`.
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

/// The attributes that belong to a file's user, and its security label.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    found: Vec<(OsString, Vec<u8>)>,
    /// Whether some could not be read.
    incomplete: bool,
}

impl Attributes {
    /// Those of the file named `path`.
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

    /// Whether `file` has all of them afterwards.
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
    // Few may change a label, and seldom need to.
    let has = value(|buffer| fgetxattr(file, name, buffer)).is_ok_and(|old| old.as_deref() == Some(new));
    has || fsetxattr(file, name, new, XattrFlags::empty()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set(_file: &File, _name: &OsString, _new: &[u8]) -> bool {
    false
}

/// The names of the attributes that are to be kept.
#[cfg(target_os = "linux")]
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let all = value(|buffer| rustix::fs::llistxattr(path, buffer))?.unwrap_or_default();
    let kept = |name: &&[u8]| name.starts_with(b"user.") || *name == b"security.selinux";
    let names = all.split(|&byte| byte == 0).filter(kept);
    Ok(names.map(|name| std::ffi::OsStr::from_bytes(name).to_owned()).collect())
}

/// What `read` writes into a buffer; `None` if there is no such attribute, or the file system has none.
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
    // NOSYS: a sandbox that has no such call.
    matches!(error, Errno::NODATA | Errno::NOTSUP | Errno::NOSYS)
}
