//! Which file it is, whatever its name.

use std::fs::{File, Metadata};
use std::path::Path;
#[cfg(not(unix))]
use std::path::PathBuf;

/// Which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileId {
    /// What is read of it, and what becomes of what is written to it.
    pub(crate) kind: Kind,
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
    /// The name without links, where nothing better is to be had.
    #[cfg(not(unix))]
    path: PathBuf,
}

/// What is read of a file, and what becomes of what is written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes that are stored: read as often as one likes, overwritten by a write.
    Stored,
    /// Bytes that can be read once, in the order in which they were written.
    Pipe,
    /// Bytes that can be read once; what is written goes elsewhere.
    Duplex,
    /// The null device: no bytes at all.
    Null,
}

#[cfg(unix)]
impl FileId {
    /// Which file the path leads to; `None` if there is none.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// Which file is open.
    pub(crate) fn of_file(file: &File) -> Option<Self> {
        file.metadata().ok().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let file_type = metadata.file_type();
        // A terminal or another device may have several inodes.
        if file_type.is_char_device() {
            let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
            return Self {
                kind: match null {
                    Ok(null) if null == metadata.rdev() => Kind::Null,
                    _ => Kind::Duplex,
                },
                device: metadata.rdev(),
                inode: 0,
            };
        }
        Self {
            kind: match () {
                () if file_type.is_fifo() => Kind::Pipe,
                () if file_type.is_socket() => Kind::Duplex,
                () => Kind::Stored,
            },
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

#[cfg(not(unix))]
impl FileId {
    /// Which file the path leads to; `None` if there is none.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let path = std::fs::canonicalize(path).ok()?;
        Some(Self {
            kind: Kind::Stored,
            path,
        })
    }

    /// Which file is open: not to be had.
    pub(crate) fn of_file(_: &File) -> Option<Self> {
        None
    }
}
