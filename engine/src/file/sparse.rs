//! A file in which zeros take no disk space.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::positioned::WriteAt;

/// Bytes of a block: what most file systems allocate at once, aligned to its length.
const BLOCK_LEN: usize = 4096;
const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// Writes to a new file and skips whole 4 KiB blocks of zeros, which become holes: they take no disk space and read as
/// zeros. Write in order, or at any offsets from any number of threads, each byte once.
#[derive(Debug)]
#[must_use = "the file may be too short until `finish`"]
pub struct SparseFile<'a> {
    file: &'a File,
    /// The offset of the next sequential write.
    position: u64,
    /// The end of what has been written.
    end: AtomicU64,
}

impl<'a> SparseFile<'a> {
    /// Writes to `file`, which must be empty: existing bytes would remain in the holes.
    ///
    /// # Errors
    /// [`Error::Io`], also if the file is not empty.
    pub fn new(file: &'a File) -> Result<Self> {
        let metadata = file.metadata().map_err(Error::io("looking at the output"))?;
        if !metadata.is_file() || metadata.len() > 0 {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "only an empty file can have holes");
            return Err(Error::from_io("writing the output", error));
        }
        Ok(Self {
            file,
            position: 0,
            end: AtomicU64::new(0),
        })
    }

    /// Extends the file to the end of what was written, if that is a hole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<()> {
        let end = self.end.into_inner();
        let extended = self.file.metadata().and_then(|metadata| {
            if metadata.len() < end {
                self.file.set_len(end)?;
            }
            Ok(())
        });
        extended.map_err(Error::io("writing the output"))
    }
}

impl WriteAt for SparseFile<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let hole = hole_len(bytes, offset);
        let count = if hole > 0 {
            hole
        } else {
            self.file.write_at(&bytes[..data_len(bytes, offset)], offset)?
        };
        self.end.fetch_max(offset + count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Write for SparseFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.write_at(bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the whole blocks of zeros that `bytes` begins with.
fn hole_len(bytes: &[u8], offset: u64) -> usize {
    if !offset.is_multiple_of(BLOCK_LEN as u64) {
        return 0;
    }
    let zeros = bytes.chunks_exact(BLOCK_LEN).take_while(|&block| block == ZEROS);
    zeros.count() * BLOCK_LEN
}

/// Bytes before the first whole block of zeros that does not begin `bytes`.
fn data_len(bytes: &[u8], offset: u64) -> usize {
    let into_block = usize::try_from(offset % BLOCK_LEN as u64).unwrap_or(0);
    // At least the rest of the block that `bytes` begins in.
    let start = (BLOCK_LEN - into_block).min(bytes.len());
    let data = bytes[start..]
        .chunks_exact(BLOCK_LEN)
        .take_while(|&block| block != ZEROS);
    let whole = start + data.count() * BLOCK_LEN;
    // The rest is a block of zeros, or too short for one.
    if bytes.len() - whole < BLOCK_LEN {
        bytes.len()
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_divided_into_data_and_whole_blocks_of_zeros() {
        let zeros = vec![0; 3 * BLOCK_LEN];
        let mut mixed = vec![1; 4 * BLOCK_LEN];
        mixed[2 * BLOCK_LEN..3 * BLOCK_LEN].fill(0);
        for (bytes, offset, hole, data) in [
            (&zeros[..], 0, 3 * BLOCK_LEN, BLOCK_LEN),
            (&zeros[1..], 4096, 2 * BLOCK_LEN, BLOCK_LEN),
            (&zeros[1..], 1, 0, BLOCK_LEN - 1),
            (&zeros[..100], 0, 0, 100),
            (&zeros[..100], 5, 0, 100),
            (&mixed[..], 8192, 0, 2 * BLOCK_LEN),
            (&mixed[..], 1, 0, 4 * BLOCK_LEN),
            (&mixed[10..], 10, 0, 2 * BLOCK_LEN - 10),
            (&mixed[3 * BLOCK_LEN..], 0, 0, BLOCK_LEN),
            (&mixed[3 * BLOCK_LEN..][..7], 0, 0, 7),
            (&[], 0, 0, 0),
        ] {
            assert_eq!(
                (hole_len(bytes, offset), data_len(bytes, offset)),
                (hole, data),
                "{} bytes at {offset}",
                bytes.len()
            );
        }
    }
}
