//! Files and directories that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

use super::{parent, sync_dir};

/// Opens a file for writing, and creates it for its owner alone if it is missing. A symbolic link is refused, because
/// its creator chose where it leads.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        options.mode(0o600).custom_flags(no_follow);
    }
    options.open(path)
}

/// Gives `file` the owner and group of the file at `path`, if that exists and the change is allowed.
pub(crate) fn give_to_owner_of(path: &Path, file: &File) {
    #[cfg(unix)]
    if let (Ok(of), Ok(is)) = (path.metadata(), file.metadata()) {
        use std::os::unix::fs::MetadataExt;
        if (of.uid(), of.gid()) != (is.uid(), is.gid()) {
            let _ = std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, file);
}

/// Creates a directory and its missing parents for their owner alone, and makes their names durable.
pub(crate) fn create_private_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_private_dirs(parent)?;
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
        _ => sync_dir(parent),
    }
}

/// Whether a file's mode grants its group or others any access.
#[cfg(unix)]
pub(crate) fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o077 != 0
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_metadata: &fs::Metadata) -> bool {
    false
}

/// The file's owner, if it is not the effective user of this process.
#[cfg(unix)]
pub(crate) fn other_owner(metadata: &fs::Metadata) -> Option<u32> {
    let owner = std::os::unix::fs::MetadataExt::uid(metadata);
    (owner != rustix::process::geteuid().as_raw()).then_some(owner)
}

#[cfg(not(unix))]
pub(crate) fn other_owner(_metadata: &fs::Metadata) -> Option<u32> {
    None
}
