//! A reader that opens: an object in, verified plaintext out.
//!
//! ```text
//! source -> OpenMachine -> read
//! ```

use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::machine::OpenMachine;
use crate::error::{Error, Result};
use crate::positioned::read_full;
use crate::sticky::{Guarded, Sticky};
use crate::unlocked::Unlocked;

/// Reads an object's plaintext from a stream.
///
/// Every byte that it returns has been verified, and at end of file so has the final chunk. Until then a consumer has
/// only a verified beginning, which must not be treated as the whole plaintext. After an error, every call returns that
/// error again.
///
/// With the serial executor, each chunk is returned as soon as the source has provided it. With a pool, several batches
/// of 256 KiB are read ahead.
pub struct DecryptReader<R> {
    source: R,
    unlocked: Unlocked,
    machine: OpenMachine,
}

impl<R> DecryptReader<R> {
    /// A reader of the chunks of a payload whose first 56 bytes have been read and checked.
    pub(crate) fn after_prefix(source: R, unlocked: Unlocked) -> Self {
        let machine = OpenMachine::new(&unlocked);
        Self::driving(machine, source, unlocked)
    }

    pub(crate) const fn driving(machine: OpenMachine, source: R, unlocked: Unlocked) -> Self {
        Self {
            source,
            unlocked,
            machine,
        }
    }

    /// The object being read.
    pub const fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The source.
    pub const fn get_ref(&self) -> &R {
        &self.source
    }

    /// The source. Bytes read from it directly are missing from the object.
    pub const fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Returns the source. Plaintext that was verified but not read is dropped.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The plaintext offset of the next byte: without seeking, the number of verified bytes returned.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.machine.position()
    }
}

impl<R> Guarded for DecryptReader<R> {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl<R: Read> DecryptReader<R> {
    /// Returns the next verified plaintext that is ready, without a copy; `None` at the verified end.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::Truncated`], [`Error::TrailingData`], [`Error::Io`].
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(self.guarded(Self::fill)?.then(|| self.machine.take_bytes()))
    }

    /// Makes plaintext available; `false` at the verified end.
    fn fill(&mut self) -> Result<bool> {
        while !self.machine.has_plaintext()? {
            while self.machine.wants_input() {
                self.read_some()?;
            }
            if !self.machine.next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens chunks directly into a buffer that has room for them; `None` if the next plaintext must be read another
    /// way.
    fn read_directly(&mut self, buf: &mut [u8]) -> Result<Option<usize>> {
        if self.machine.has_plaintext()? {
            return Ok(None);
        }
        while let Some(wanted) = self.machine.direct_len(buf.len()) {
            let have = self.machine.have();
            let space = self.machine.space();
            let room = space.len().min(wanted - have);
            match self.source.read(&mut space[..room]) {
                // The end: what has arrived is the final chunk.
                Ok(0) => {
                    self.machine.filled(0)?;
                    break;
                }
                Ok(count) => match self.machine.filled_directly(count, buf)? {
                    0 => {}
                    len => return Ok(Some(len)),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io("reading the input", error)),
            }
        }
        Ok(None)
    }

    fn read_some(&mut self) -> Result<()> {
        match self.source.read(self.machine.space()) {
            Ok(count) => self.machine.filled(count).map(drop),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Error::from_io("reading the input", error)),
        }
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Some(len) = self.guarded(|this| this.read_directly(buf))? {
            return Ok(len);
        }
        let available = self.fill_buf()?;
        let len = available.len().min(buf.len());
        buf[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: Read> BufRead for DecryptReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.guarded(Self::fill)?;
        Ok(self.machine.available())
    }

    fn consume(&mut self, amount: usize) {
        self.machine.consume(amount);
    }
}

impl<R: Read + Seek> DecryptReader<R> {
    /// The plaintext's length, verified by opening the final chunk.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::Truncated`], [`Error::TrailingData`], [`Error::Io`].
    pub fn verified_len(&mut self) -> Result<u64> {
        self.guarded(|this| {
            let len = this.verify_end()?;
            this.move_to(this.position(), len)?;
            Ok(len)
        })
    }

    /// Opens the final chunk unless that was already done. Moves the source to an unspecified position.
    fn verify_end(&mut self) -> Result<u64> {
        if let Some(len) = self.machine.verified_len() {
            return Ok(len);
        }
        let object_len = self.seek_source(SeekFrom::End(0))?;
        let span = self.machine.final_span(object_len)?;
        self.seek_source(SeekFrom::Start(self.machine.source_offset(span.sealed_offset)))?;
        let mut sealed = vec![0; span.sealed_len];
        let have = read_full(&mut self.source, &mut sealed)?;
        self.machine.verify_end(object_len, span, &sealed[..have])
    }

    /// Makes the byte at plaintext offset `position` the next one.
    fn move_to(&mut self, position: u64, len: u64) -> Result<()> {
        let offset = self.machine.move_to(position, len)?;
        self.seek_source(SeekFrom::Start(offset)).map(drop)
    }

    fn seek_source(&mut self, target: SeekFrom) -> Result<u64> {
        self.source.seek(target).map_err(Error::io("seeking in the input"))
    }
}

/// Seeks in the plaintext. The object must begin at the source's offset 0. The first seek opens the final chunk, so
/// that positions are never relative to an unverified end.
impl<R: Read + Seek> Seek for DecryptReader<R> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let target = self.guarded(|this| {
            let len = this.verify_end()?;
            let target = this.machine.target(target, len);
            this.move_to(target.unwrap_or_else(|| this.position()), len)?;
            Ok(target)
        })?;
        target.ok_or_else(before_the_start)
    }
}

/// The error for a seek to a negative position. The reader keeps its position and can continue.
pub(crate) fn before_the_start() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "cannot seek before the start")
}

impl<R> fmt::Debug for DecryptReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptReader")
            .field("position", &self.position())
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}
