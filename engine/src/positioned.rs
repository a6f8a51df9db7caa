//! Positioned input and output: sources and sinks that many threads use at once.

#[cfg(feature = "mmap")]
mod mapped;

use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

#[cfg(feature = "mmap")]
pub use self::mapped::MappedFile;

use crate::error::{Error, Result};
use crate::sys;

/// A source of bytes that several threads can read at any offset, at once.
pub trait ReadAt: Send + Sync {
    /// Reads into `buffer`, starting at `offset`; returns the number of bytes read, which is 0 only at the end.
    ///
    /// # Errors
    /// Those of the source.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The source's length in bytes.
    ///
    /// # Errors
    /// Those of the source.
    fn size(&self) -> io::Result<u64>;

    /// The version that the source has reported so far, such as the `ETag` of the last response; `None` if it reports
    /// none. Readers that check it do so after each read, and fail with [`Error::SourceVersionChanged`] if it has
    /// changed.
    fn version(&self) -> Option<String> {
        None
    }
}

/// A source that only has a length, for callers that fetch bytes themselves and pass them to
/// [`RangeReader::open_fetched`](crate::range::RangeReader::open_fetched).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeOnly {
    /// The length of the object, or of the payload if its header is detached, in bytes.
    pub size: u64,
}

impl ReadAt for SizeOnly {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        Err(Error::NotFetched { start: offset, end }.into())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// A sink of bytes that several threads can write at any offset, at once.
pub trait WriteAt: Send + Sync {
    /// Writes `bytes`, starting at `offset`; returns the number of bytes written.
    ///
    /// # Errors
    /// Those of the sink.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::read_at(self, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }
}

impl WriteAt for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        sys::write_at(self, bytes, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }
}

impl ReadAt for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_ref().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.as_ref().size()
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn version(&self) -> Option<String> {
        (**self).version()
    }
}

impl<S: ReadAt + ?Sized> ReadAt for Arc<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn version(&self) -> Option<String> {
        (**self).version()
    }
}

/// The first version that a source reported, to compare later ones with.
#[derive(Debug, Default)]
pub(crate) struct PinnedVersion(OnceLock<String>);

impl PinnedVersion {
    /// The version noted.
    pub(crate) fn noted(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Notes the version of an earlier read, unless there is one already.
    pub(crate) fn note(&self, version: &str) {
        self.0.get_or_init(|| version.to_owned());
    }

    /// Records the source's version, or compares it with the recorded one. Call it after each read: only then does the
    /// version belong to the bytes read, or to newer ones.
    ///
    /// # Errors
    /// [`Error::SourceVersionChanged`].
    pub(crate) fn check(&self, source: &(impl ReadAt + ?Sized)) -> Result<()> {
        let Some(found) = source.version() else { return Ok(()) };
        let expected = self.0.get_or_init(|| found.clone());
        if *expected == found {
            return Ok(());
        }
        Err(Error::SourceVersionChanged {
            expected: expected.clone(),
            found,
        })
    }
}

/// A source, read from one offset on as a stream, of one version.
pub(crate) struct Sequential<'s, S: ?Sized> {
    source: &'s S,
    offset: u64,
    version: PinnedVersion,
}

impl<'s, S: ReadAt + ?Sized> Sequential<'s, S> {
    pub(crate) fn new(source: &'s S, offset: u64) -> Self {
        Self {
            source,
            offset,
            version: PinnedVersion::default(),
        }
    }

    pub(crate) const fn version(&self) -> &PinnedVersion {
        &self.version
    }
}

impl<S: ReadAt + ?Sized> io::Read for Sequential<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.offset)?;
        self.version.check(self.source)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Fills as much of `buffer` as the source has, starting at `offset`; returns the number of bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn read_full_at(source: &(impl ReadAt + ?Sized), buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io("reading the input", error)),
        }
    }
    Ok(filled)
}

/// Writes all of `bytes`, starting at `offset`.
pub(crate) fn write_all_at(sink: &(impl WriteAt + ?Sized), mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        match sink.write_at(bytes, offset) {
            Ok(0) => return Err(Error::from_io("writing the output", io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io("writing the output", error)),
        }
    }
    Ok(())
}

/// Fills as much of `buffer` as a stream has; returns the number of bytes.
pub(crate) fn read_full(source: &mut (impl io::Read + ?Sized), buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io("reading the input", error)),
        }
    }
    Ok(filled)
}
