//! One payload about to be sealed, of an object or of a component: what all ways of sealing consume, so that each payload is
//! sealed once.
//!
//! ```text
//! Unsealed --writer--> EncryptWriter      --pipe, seal_at--> a sink, a file
//!          --seal_into--> memory          --SealMachine----> the adapters without I/O, and the asynchronous ones
//! ```

use std::io::{self, Read, Write};

use super::EncryptWriter;
use crate::buffer::buffer_len;
use crate::chunker::{Span, Spans};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::layout::PREFIX_LEN;
use crate::progress::Progress;
use crate::sealer::Sealer;

/// A payload's sealer, and what goes before the first chunk.
#[derive(Debug)]
pub(crate) struct Unsealed {
    /// The object's header, if it is attached, and the payload's prefix.
    pub(crate) start: Vec<u8>,
    pub(crate) sealer: Sealer,
    pub(crate) executor: Executor,
    pub(crate) progress: Progress,
}

impl Unsealed {
    /// As [`NewObject::writer`](super::NewObject::writer).
    ///
    /// # Errors
    /// [`Error::Io`] if the first bytes cannot be written.
    pub(crate) fn writer<W: Write>(self, sink: W) -> Result<EncryptWriter<W>> {
        EncryptWriter::new(self, sink)
    }

    /// Seals `plaintext` into `out`; returns the length of what was sealed, in bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::ObjectTooLarge`], [`Error::SealedWrongly`].
    pub(crate) fn seal_into(self, plaintext: &[u8], out: &mut [u8]) -> Result<usize> {
        let layout = self.sealer.layout();
        let payload_len = layout.payload_len(plaintext.len() as u64)?;
        let need = (self.start.len() - PREFIX_LEN) as u64 + payload_len;
        if (out.len() as u64) < need {
            return Err(Error::BufferTooSmall {
                need,
                have: out.len() as u64,
            });
        }
        let len = buffer_len(need)?;
        let (head, chunks) = out[..len].split_at_mut(self.start.len());
        head.copy_from_slice(&self.start);
        let tasks = Spans::all(layout, plaintext.len() as u64)?.share(plaintext, chunks, Span::seal_lens);
        self.executor.try_for_each(tasks, |(span, plain, sealed)| {
            self.sealer.seal(span.first, plain, span.ends, sealed)?;
            self.progress.advance(plain.len())
        })?;
        Ok(len)
    }

    /// Seals all that `source` returns into `sink`. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ObjectTooLarge`], [`Error::Cancelled`]. What `sink` has is incomplete then.
    pub(crate) fn pipe(self, mut source: impl Read, sink: impl Write) -> Result<u64> {
        let mut writer = self.writer(sink)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::from_io("reading the input", error)),
            };
            writer
                .write_all(&buffer[..count])
                .map_err(Error::io("writing the output"))?;
        }
        let len = writer.plaintext_len();
        writer.finish()?;
        Ok(len)
    }
}
