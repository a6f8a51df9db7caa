//! The key ring file: read without a lock, changed under one.
//!
//! ```text
//! change:  lock RING.lock | read RING | write RING.new, fsync | rename to RING | fsync directory | unlock
//! ```
//!
//! The lock is on a file of its own that is never removed: a lock on the ring itself would be on a file that the
//! rename has replaced, and one on a file that comes and goes could be held twice, on two files. It is the operating
//! system's and ends with the process. Readers need none, since the rename shows them all of a ring or the one before.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::stored::{MAX_LEN, Ring};
use super::{ID, configuration};
use crate::error::{ProviderError, ProviderErrorClass};
use crate::provider::file_failed;
use crate::secret::read_wiped;
use crate::sys::{self, NotKept, Replaced};

/// What a change does if there is no file.
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
    // Of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(failed("read the key ring", path))?;
    // Its owner can change it at any time, and so say what we seal with. Whoever is root may read it all the same, and
    // would leave a ring of root's if it were changed.
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

/// Lets `edit` change the ring at `path`, which is written if it says `true`, and gives the ring that is there then.
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
        "there is no key ring {}: restore it, or add a key to make it",
        path.display()
    );
    ProviderError::new(ProviderErrorClass::NotFound, ID, message)
}

/// The file that `path` leads to, so that a symbolic link stays one, and everyone who changes the ring takes the
/// same lock. One that leads nowhere is refused: the disk with the ring may just not be mounted.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(sys::parent(path))?.join(name))
        }
        other => other,
    }
}

/// Waits for the lock; it is held until the file is closed.
fn lock(target: &Path) -> io::Result<File> {
    let mut path = target.as_os_str().to_owned();
    path.push(".lock");
    let path = Path::new(&path);
    let file = sys::open_private(path).map_err(|error| {
        if path.is_symlink() {
            io::Error::other(format!(
                "{} is a symbolic link, and not followed: remove it",
                path.display()
            ))
        } else {
            error
        }
    })?;
    // If root made it, it would lock out the owner of the ring.
    sys::give_to_owner_of(target, &file);
    sys::uninterrupted(|| file.lock())?;
    Ok(file)
}

/// Under the lock the temporary file can have a fixed name, so that kills leave at most one behind, until the next
/// change.
fn write(target: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let dir = sys::parent(target);
    let mut name = target.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(".new");
    match fs::remove_file(dir.join(&name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made anew and for its owner alone: tempfile's default.
    let mut file = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempfile_in(dir)?;
    file.write_all(bytes)?;
    keep_owner(target, file.as_file())?;
    file.as_file().sync_all()?;
    // A ring that appeared meanwhile, put there by something that takes no lock, is not replaced.
    let persisted = if replace {
        file.persist(target)
    } else {
        file.persist_noclobber(target)
    };
    persisted?;
    sys::sync_dir(dir)
}

/// The owner of the ring stays its owner, also when root changes it.
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
