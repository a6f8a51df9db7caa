//! The part of a file, a device or an object in a store that is read.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;

use sealstone::positioned::{ReadAt, read_full_at};
use sealstone::{Header, Result};

use super::stores::StoredObject;

/// The beginning of what can be read at any offset.
#[derive(Debug)]
pub(crate) struct Extent {
    source: Source,
    len: u64,
}

#[derive(Debug)]
enum Source {
    /// A file or a device.
    File(File),
    /// An object in a store.
    Store(Box<dyn StoredObject>),
}

impl Extent {
    /// The first `len` bytes of `file`.
    pub(crate) fn new(file: File, len: u64) -> Self {
        let source = Source::File(file);
        Self { source, len }
    }

    /// All of an object in a store.
    pub(crate) fn of_store(object: Box<dyn StoredObject>) -> Self {
        Self {
            len: object.len(),
            source: Source::Store(object),
        }
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
        Ok(Some(Self::new(file, len)))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The first `len` bytes of it; `None` if there are fewer.
    pub(crate) fn cut(self, len: u64) -> Option<Self> {
        (len <= self.len).then_some(Self { len, ..self })
    }

    /// The header that its store keeps beside it, if there is one.
    pub(crate) fn header_beside(&self) -> Option<Result<Header>> {
        match &self.source {
            Source::File(_) => None,
            Source::Store(object) => object.header(),
        }
    }

    /// Announces that `range` will be read in order, and what follows it will not.
    pub(crate) fn will_read(&self, range: Range<u64>) {
        if let Source::Store(object) = &self.source {
            object.will_read(range.start..range.end.min(self.len));
        }
    }

    /// Announces that all of it will be read in order.
    pub(crate) fn will_read_all(&self) {
        self.will_read(0..self.len);
    }

    /// The object, if it is one in a store.
    pub(crate) fn stored(&self) -> Option<&dyn StoredObject> {
        match &self.source {
            Source::File(_) => None,
            Source::Store(object) => Some(&**object),
        }
    }

    /// Whether its last 16 bytes are equal: padding ends like that, and the tag that ends an object does not.
    pub(crate) fn is_padded(&self) -> io::Result<bool> {
        let mut end = [0; 16];
        let Some(offset) = self.len.checked_sub(end.len() as u64) else {
            return Ok(false);
        };
        let is_whole = read_full_at(self, &mut end, offset)? == end.len();
        Ok(is_whole && end.iter().all(|&byte| byte == end[0]))
    }
}

impl ReadAt for Extent {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match &self.source {
            Source::File(file) => file.read_at(&mut buffer[..len], offset),
            Source::Store(object) => object.read_at(&mut buffer[..len], offset),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn version(&self) -> Option<String> {
        match &self.source {
            Source::File(_) => None,
            Source::Store(object) => object.version(),
        }
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
