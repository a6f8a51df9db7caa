//! The part of a file or device that an object takes.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};

use sealstone::positioned::ReadAt;

/// The beginning of an open file.
#[derive(Debug)]
pub(crate) struct Extent {
    file: File,
    len: u64,
}

impl Extent {
    /// The first `len` bytes of `file`.
    pub(crate) fn new(file: File, len: u64) -> Self {
        Self { file, len }
    }

    /// All of `file`, if it is a device that can be read at any offset, and none of it was read yet.
    pub(crate) fn of_device(file: &File) -> io::Result<Option<Self>> {
        let mut file = file.try_clone()?;
        if !is_block_device(&file.metadata()?) || file.stream_position()? != 0 {
            return Ok(None);
        }
        // What fstat says of a device's length is 0.
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Some(Self { file, len }))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The first `len` bytes of it; `None` if there are fewer.
    pub(crate) fn cut(self, len: u64) -> Option<Self> {
        (len <= self.len).then_some(Self { len, ..self })
    }

    /// Whether its last 16 bytes are equal: padding ends like that, and the tag that ends an object does not.
    pub(crate) fn is_padded(&self) -> io::Result<bool> {
        let mut end = [0; 16];
        let Some(offset) = self.len.checked_sub(end.len() as u64) else {
            return Ok(false);
        };
        let mut filled = 0;
        while filled < end.len() {
            match self.file.read_at(&mut end[filled..], offset + filled as u64)? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(end.iter().all(|&byte| byte == end[0]))
    }
}

impl ReadAt for Extent {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.file.read_at(&mut buffer[..len], offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// Whether it is a device such as a disk, whose length does not depend on what was written to it.
pub(crate) fn is_block_device(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type());
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}
