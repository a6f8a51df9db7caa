//! The key ring file: read without a lock, changed under one.
//!
//! ```text
//! change:  lock RING.lock | read RING | write RING.new, fsync | rename to RING | fsync directory | unlock
//! ```
//!
//! The lock is on a separate file that is never removed. A lock on the ring itself would be on a file that the rename
//! replaces, and a lock file that is removed and created again could be held twice. The operating system releases the
//! lock when the process ends. Readers need no lock: the rename shows them either the old ring or the new one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::stored::{MAX_LEN, Ring};
use super::{ID, configuration};
use crate::error::{ProviderError, ProviderErrorClass};
use crate::keys::file_failed;
use crate::secret::read_wiped;
use crate::sys::{self, NotKept, Replaced};

/// What a change does if the file is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Create,
    Fail,
}

/// Reads the ring at `path`; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Ring>, ProviderError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open the key ring", path))?,
    };
    // Metadata of the open file, so that the file checked is the file read.
    let metadata = file.metadata().map_err(failed("read the key ring", path))?;
    // Another owner could change the file at any time, and so choose the keys we seal with. Root is refused too, although
    // it can read any ring: a change by root could leave a ring owned by root.
    if let Some(owner) = sys::other_owner(&metadata) {
        let path = path.display();
        let message = format!("the key ring {path} belongs to another user (uid {owner}): run this as that user");
        return Err(configuration(message));
    }
    if sys::is_open_to_others(&metadata) {
        let path = path.display();
        let message = format!("the key ring {path} is open to other users: chmod 600 {path}");
        return Err(configuration(message));
    }
    let bytes = read_wiped(file, MAX_LEN).map_err(failed("read the key ring", path))?;
    match Ring::parse(&bytes) {
        Ok(ring) => Ok(Some(ring)),
        Err(fault) => Err(configuration(format!("the key ring {} {fault}", path.display()))),
    }
}

/// Lets `edit` change the ring at `path`, writes it if `edit` returns `true`, and returns the resulting ring.
pub(super) fn change(
    path: &Path,
    if_missing: IfMissing,
    edit: impl FnOnce(&mut Ring) -> Result<bool, ProviderError>,
) -> Result<Ring, ProviderError> {
    let cannot_write = || failed("write the key ring", path);
    if if_missing == IfMissing::Create {
        sys::create_private_dirs(sys::parent(path)).map_err(failed("make the directory of the key ring", path))?;
    } else if !path.exists() {
        return Err(missing(path));
    }
    let target = resolve(path).map_err(cannot_write())?;
    let _lock = lock(&target).map_err(failed("lock the key ring", path))?;

    let old = read(&target)?;
    let replace = old.is_some();
    if !replace && if_missing == IfMissing::Fail {
        return Err(missing(path));
    }
    let mut ring = old.unwrap_or_else(Ring::empty);
    if edit(&mut ring)? {
        let bytes = ring.encode().ok_or_else(|| {
            configuration(format!(
                "the key ring {} is full: it would exceed 1 MiB",
                path.display()
            ))
        })?;
        write(&target, &bytes, replace).map_err(cannot_write())?;
    }
    Ok(ring)
}

pub(super) fn missing(path: &Path) -> ProviderError {
    let message = format!(
        "there is no key ring {}: restore it, or add a key to create it",
        path.display()
    );
    ProviderError::new(ProviderErrorClass::NotFound, ID, message)
}

/// Resolves symbolic links, so that a link stays a link and every writer takes the same lock. A dangling link is
/// refused: the disk with the ring may not be mounted.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(sys::parent(path))?.join(name))
        }
        other => other,
    }
}

/// Waits for the lock, which is held until the file is closed.
fn lock(target: &Path) -> io::Result<File> {
    let mut path = target.as_os_str().to_owned();
    path.push(".lock");
    let path = Path::new(&path);
    let file = sys::open_private(path).map_err(|error| {
        if path.is_symlink() {
            io::Error::other(format!(
                "{} is a symbolic link, which is not followed: remove it",
                path.display()
            ))
        } else {
            error
        }
    })?;
    // A lock file owned by root would lock out the owner of the ring.
    sys::give_to_owner_of(target, &file);
    sys::uninterrupted(|| file.lock())?;
    Ok(file)
}

/// Under the lock the temporary file can have a fixed name, so a kill leaves at most one, which the next change removes.
fn write(target: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let dir = sys::parent(target);
    let mut name = target.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(".new");
    match fs::remove_file(dir.join(&name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Created new and accessible to its owner only: tempfile's default.
    let mut file = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempfile_in(dir)?;
    file.write_all(bytes)?;
    keep_owner(target, file.as_file())?;
    file.as_file().sync_all()?;
    // Does not replace a ring that another program created meanwhile without taking the lock.
    let persisted = if replace {
        file.persist(target)
    } else {
        file.persist_noclobber(target)
    };
    persisted?;
    sys::sync_dir(dir)
}

/// Keeps the ring's owner, even if root changes the ring.
fn keep_owner(target: &Path, file: &File) -> io::Result<()> {
    let Some(old) = Replaced::at(target)? else {
        return Ok(());
    };
    if old.give_to(file)?.contains(&NotKept::Owner) {
        let message = "it belongs to another user, who could not read it afterwards: change it as that user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProviderError {
    move |error| file_failed(ID, action, path, error)
}
