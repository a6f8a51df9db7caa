//! Where operating systems differ.

mod attributes;
mod clock;
#[cfg(feature = "key-ring")]
mod private;
mod process;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

pub(crate) use self::attributes::Replaced;
pub use self::attributes::{FileAttributes, NotKept};
pub(crate) use self::clock::clock;
#[cfg(feature = "key-ring")]
pub(crate) use self::private::{create_private_dirs, give_to_owner_of, is_open_to_others, open_private, other_owner};
pub(crate) use self::process::{Process, process};

/// Reads at an offset without moving a cursor that other threads share.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
}

/// Writes at an offset without moving a cursor that other threads share.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    {
        // Linux would write at the end of the file instead, and report success.
        if rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::APPEND) {
            let message = "the file is open for appending, but must be written at offsets";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        std::os::unix::fs::FileExt::write_at(file, bytes, offset)
    }
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, bytes, offset);
}

/// Identifies a file, whatever its names and descriptors, by device and inode number.
pub(crate) type FileId = (u64, u64);

/// The file's identity, on systems where a file lock does not exclude threads that share an open file.
#[cfg(unix)]
pub(crate) fn file_id(file: &File) -> io::Result<Option<FileId>> {
    let metadata = file.metadata()?;
    let (device, number) = (
        std::os::unix::fs::MetadataExt::dev(&metadata),
        std::os::unix::fs::MetadataExt::ino(&metadata),
    );
    Ok(Some((device, number)))
}

#[cfg(not(unix))]
pub(crate) fn file_id(_file: &File) -> io::Result<Option<FileId>> {
    Ok(None)
}

/// Repeats a call while signals interrupt it. std does that for reads and writes, but not for locks.
pub(crate) fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// A file that has no name yet, or a temporary one.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// Without a name: nothing of it outlives the process.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// Under a temporary name, removed when dropped.
    Temporary(NamedTempFile),
}

impl Unfinished {
    /// Creates one in `directory`, with `mode` reduced by the umask.
    pub(crate) fn create(directory: &Path, mode: u32) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = create_unnamed(directory, mode)? {
            return Ok(Self::Unnamed(file));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sealstone-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(mode));
        }
        #[cfg(not(unix))]
        let _ = mode;
        builder.tempfile_in(directory).map(Self::Temporary)
    }

    pub(crate) fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Temporary(file) => file.as_file(),
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(_) => None,
            Self::Temporary(file) => Some(file.path()),
        }
    }

    /// Names the file `target`. The name must be free.
    pub(crate) fn name_new(self, target: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => link_unnamed(&file, target),
            Self::Temporary(file) => file.persist_noclobber(target).map(drop).map_err(|error| error.error),
        }
    }

    /// Names the file `target`, replacing any file of that name.
    pub(crate) fn name_over(self, target: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => {
                // A link cannot replace a name, so the file gets a temporary one for the moment of the rename.
                let temporary = tempfile::Builder::new()
                    .prefix(".sealstone-")
                    .suffix(".tmp")
                    .make_in(parent(target), |name| link_unnamed(&file, name))?;
                temporary.into_temp_path().persist(target).map_err(|error| error.error)
            }
            Self::Temporary(file) => file.persist(target).map(drop).map_err(|error| error.error),
        }
    }
}

/// Creates a file without a name; `None` if the file system does not support that.
#[cfg(target_os = "linux")]
fn create_unnamed(directory: &Path, mode: u32) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    // Without /proc, as in some chroots, the file could not be named later.
    if !Path::new("/proc/self/fd").exists() {
        return Ok(None);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => Ok(Some(file.into())),
        // What kernels and file systems without O_TMPFILE return.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn link_unnamed(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd;
    let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, open_file, CWD, target, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

/// Why the file at `path` cannot be replaced by a rename, if that can be determined.
#[cfg(target_os = "linux")]
pub(crate) fn hindrance_to_replacing(path: &Path) -> Option<&'static str> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    const STICKY: u16 = 0o1000;
    let basic = StatxFlags::BASIC_STATS;
    let file = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, basic).ok()?;
    let directory = statx(CWD, parent(path), AtFlags::empty(), basic).ok()?;
    let is_mount_root = if file.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    } else {
        // Before Linux 5.8, a mount shows only if it is of another file system.
        (file.stx_dev_major, file.stx_dev_minor) != (directory.stx_dev_major, directory.stx_dev_minor)
    };
    let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    let user = rustix::process::geteuid();
    let is_of_another = || !user.is_root() && ![file.stx_uid, directory.stx_uid].contains(&user.as_raw());
    match () {
        () if is_mount_root => Some("it is a mount point"),
        () if file.stx_attributes.intersects(fixed) => Some("it is immutable or append-only"),
        () if directory.stx_attributes.intersects(fixed) => Some("its directory is immutable or append-only"),
        () if directory.stx_mode & STICKY != 0 && is_of_another() => {
            Some("it belongs to another user, and its directory has the sticky bit")
        }
        () => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn hindrance_to_replacing(_: &Path) -> Option<&'static str> {
    None
}

/// The directory that `path` is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Makes the names in a directory durable, if the platform and the file system support that.
#[cfg(unix)]
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    let directory = match File::open(path) {
        // A directory may be writable but not readable; then its names are as durable as the system makes them.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        opened => opened?,
    };
    match directory.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
pub(crate) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again_and_a_failed_one_is_not() {
        let mut ends = vec![Ok(()), Err(io::ErrorKind::Interrupted), Err(io::ErrorKind::Interrupted)];
        let mut call = || ends.pop().expect("not called again").map_err(io::Error::from);
        assert!(uninterrupted(&mut call).is_ok());
        let failed = uninterrupted(|| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
