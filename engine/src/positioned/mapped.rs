//! A memory-mapped file: reading pages that are in the cache takes no system call.
#![allow(unsafe_code, reason = "argued at each block")]

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{MmapOptions, MmapRaw};

use crate::positioned::ReadAt;

/// A local file mapped into memory, as a source for ranged reads. Use it with care:
///
/// - **Truncating the file kills the process.** Reading a part of the map that the file no longer has raises SIGBUS (an
///   exception on Windows), which a caller cannot handle as an error; so does a failing disk. Map only files that are
///   never truncated, on file systems that stay available. Reading the [`File`] itself returns errors instead.
/// - **The bytes may change at any time**, if others write to the file. That does not endanger what is opened: each
///   byte is copied out of the map once, and only the copy is verified and decrypted. The map is never lent out.
/// - **A page that is not in the cache blocks the thread** until it has been read, also in an async runtime.
///
/// It pays off for many small ranges of a file in the page cache, but not for whole files.
pub struct MappedFile {
    file: File,
    /// `None` for an empty file, which cannot be mapped everywhere.
    map: Option<MmapRaw>,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// Those of opening and mapping.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).and_then(Self::new)
    }

    /// Maps an open file with its current length.
    ///
    /// # Errors
    /// Those of mapping, for instance if `file` is not a regular file.
    pub fn new(file: File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let map = if len == 0 {
            None
        } else {
            Some(MmapOptions::new().len(len).map_raw_read_only(&file)?)
        };
        Ok(Self { file, map })
    }

    fn copy_out(map: &MmapRaw, offset: usize, buffer: &mut [u8]) -> usize {
        let len = map.len().saturating_sub(offset).min(buffer.len());
        if len == 0 {
            return 0;
        }
        // SAFETY: `offset + len <= map.len()`, so the source is inside the mapping, which is readable and lives as long
        // as `map`; `buffer` has at least `len` bytes and is exclusively borrowed, so it does not overlap the mapping.
        // Whatever other processes write meanwhile, bytes are valid with any value, and no reference to the mapping
        // exists that would promise the compiler that they stay the same: `MmapRaw` returns only a raw pointer. The
        // result is some mixture of old and new bytes, in a buffer that nothing else changes: it is verified and
        // decrypted there, so nothing is fetched twice. The caller must ensure that the file is not truncated; if it
        // is, a signal ends the process, which is not undefined behaviour.
        unsafe {
            std::ptr::copy_nonoverlapping(map.as_ptr().add(offset), buffer.as_mut_ptr(), len);
        }
        len
    }
}

impl ReadAt for MappedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.map.as_ref().map_or(0, |map| Self::copy_out(map, offset, buffer)))
    }

    /// The file's current length: comparing lengths then detects a file that was truncated after it was mapped.
    fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.map.as_ref().map_or(0, MmapRaw::len);
        write!(f, "MappedFile({len} bytes of {:?})", self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mapped(content: &[u8]) -> (tempfile::NamedTempFile, MappedFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let map = MappedFile::open(file.path()).unwrap();
        (file, map)
    }

    #[test]
    fn a_map_reads_as_its_file_does() {
        let content: Vec<u8> = (0..10_000u32).map(|n| n.to_be_bytes()[3]).collect();
        let (file, map) = mapped(&content);
        let file = File::open(file.path()).unwrap();
        assert_eq!(map.size().unwrap(), 10_000);
        for offset in [0, 1, 4095, 4096, 9_999, 10_000, 10_001, u64::MAX] {
            for len in [0, 1, 100, 20_000] {
                let (mut left, mut right) = (vec![0; len], vec![0; len]);
                let count = map.read_at(&mut left, offset).unwrap();
                // The operating system refuses offsets of 2^63 and more.
                let expected = file.read_at(&mut right, offset.min(1 << 40)).unwrap();
                assert_eq!((count, left), (expected, right), "{offset} {len}");
            }
        }
    }

    #[test]
    fn an_empty_file_and_no_file() {
        let (_file, map) = mapped(b"");
        assert_eq!((map.size().unwrap(), map.read_at(&mut [0; 4], 0).unwrap()), (0, 0));
        assert!(MappedFile::open("no/such/file").is_err());
        assert!(format!("{map:?}").starts_with("MappedFile(0 bytes"));
    }

    #[test]
    fn writes_to_the_file_are_seen_and_its_length_is_its_own() {
        let (file, map) = mapped(&[1; 5000]);
        fs::OpenOptions::new()
            .write(true)
            .open(file.path())
            .unwrap()
            .set_len(9000)
            .unwrap();
        assert_eq!(map.size().unwrap(), 9000);
        assert_eq!(map.read_at(&mut [0; 10], 4995).unwrap(), 5);
    }
}
