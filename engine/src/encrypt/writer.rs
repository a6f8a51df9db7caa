//! A writer that seals: bytes in, an object out.
//!
//! ```text
//! write -> SealMachine -> sink
//! ```

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;

use super::Unsealed;
use super::machine::SealMachine;
use crate::error::{Error, Result};
use crate::sticky::{Guarded, Sticky};

/// Seals what is written to it and writes the object to a sink.
///
/// The object is complete only once [`EncryptWriter::finish`] has returned. If the writer is dropped before that,
/// readers refuse the incomplete object. After an error, every call returns that error again.
///
/// [`Write::flush`] writes complete chunks only; an incomplete chunk stays in the writer.
#[must_use = "the object is incomplete until `finish`"]
pub struct EncryptWriter<W: Write> {
    sink: W,
    machine: SealMachine,
}

impl<W: Write> EncryptWriter<W> {
    pub(super) fn new(unsealed: Unsealed, mut sink: W) -> Result<Self> {
        sink.write_all(&unsealed.start)
            .map_err(Error::io("writing the header"))?;
        Ok(Self {
            sink,
            machine: SealMachine::new(unsealed),
        })
    }

    /// Bytes of plaintext that were written so far.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.machine.plaintext_len()
    }

    /// Seals the final chunk, writes the remaining bytes and flushes the sink; returns the sink.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ObjectTooLarge`], or the error that an earlier call returned. The object is then
    /// incomplete.
    pub fn finish(mut self) -> Result<W> {
        self.sticky().check()?;
        self.make_room()?;
        self.machine.finish()?;
        self.drain()?;
        Ok(self.sink)
    }

    /// Writes a shared buffer. The executor's threads seal its complete chunks without a copy, which [`Write::write`]
    /// may have to make.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ObjectTooLarge`], [`Error::Cancelled`], or the error that an earlier call returned.
    pub fn write_bytes(&mut self, mut bytes: Bytes) -> Result<()> {
        self.guarded(|this| {
            while !bytes.is_empty() {
                this.make_room()?;
                this.machine.push_bytes(&mut bytes)?;
            }
            Ok(())
        })
    }

    /// The sink.
    pub const fn get_ref(&self) -> &W {
        &self.sink
    }

    /// The sink. Bytes written to it directly end up between chunks and corrupt the object.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    /// If the input is large, has threads seal the batches at its front without copying them.
    #[cfg(feature = "threads")]
    fn share(&mut self, rest: &mut &[u8]) -> Result<()> {
        if !self.machine.shares(rest.len()) {
            return Ok(());
        }
        let (sink, buffers) = (&mut self.sink, self.machine.buffers());
        self.machine.push_shared(rest, |sealed| {
            sink.write_all(&sealed).map_err(Error::io("writing the output"))?;
            buffers.give_back(sealed);
            Ok(())
        })
    }

    #[cfg(not(feature = "threads"))]
    fn share(&mut self, _: &mut &[u8]) -> Result<()> {
        Ok(())
    }

    fn make_room(&mut self) -> Result<()> {
        while self.machine.is_full() {
            self.write_next()?;
        }
        Ok(())
    }

    /// Writes the oldest batch; `false` if there is none.
    fn write_next(&mut self) -> Result<bool> {
        let Some(sealed) = self.machine.next()? else {
            return Ok(false);
        };
        self.sink.write_all(&sealed).map_err(Error::io("writing the output"))?;
        self.machine.give_back(sealed);
        Ok(true)
    }

    fn drain(&mut self) -> Result<()> {
        while self.write_next()? {}
        self.sink.flush().map_err(Error::io("writing the output"))
    }
}

impl<W: Write> Guarded for EncryptWriter<W> {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl<W: Write> Write for EncryptWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.guarded(|this| {
            let mut rest = buf;
            while !rest.is_empty() {
                this.share(&mut rest)?;
                this.make_room()?;
                this.machine.push(&mut rest)?;
            }
            Ok(buf.len())
        })?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.guarded(|this| {
            this.make_room()?;
            this.machine.push_complete()?;
            this.drain()
        })?)
    }
}

impl<W: Write> fmt::Debug for EncryptWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptWriter")
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}
