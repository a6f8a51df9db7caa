//! A writer that seals: bytes in, an object out.
//!
//! ```text
//! write -> Chunker -> PlainBatch -> Ordered(Sealer) -> SealedBatch -> sink
//! ```

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use super::NewObject;
use crate::batch::{BufferPool, PlainBatch, SealedBatch, batch_memory};
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::executor::Ordered;
use crate::progress::Progress;
use crate::sealer::Sealer;

/// Seals what is written to it and writes the object to a sink.
///
/// The object is complete only when [`EncryptWriter::finish`] has returned. Dropping the writer leaves an object
/// that no reader takes for a whole one. After an error every call gives that error again.
///
/// [`Write::flush`] passes on complete chunks only: what a chunk still lacks stays in the writer.
#[must_use = "the object is incomplete until `finish`"]
pub struct EncryptWriter<W: Write> {
    sink: W,
    chunker: Chunker,
    sealer: Arc<Sealer>,
    sealing: Ordered<Result<SealedBatch>>,
    buffers: BufferPool,
    progress: Progress,
    failed: Option<Error>,
}

impl<W: Write> EncryptWriter<W> {
    pub(super) fn new(object: NewObject, mut sink: W, start: &[u8]) -> Result<Self> {
        sink.write_all(start).map_err(Error::io("writing the header"))?;
        let sealing = Ordered::new(object.executor, batch_memory(object.sealer.layout()));
        Ok(Self {
            sink,
            chunker: Chunker::new(object.sealer.layout()),
            sealer: Arc::new(object.sealer),
            buffers: BufferPool::new(2 * sealing.limit()),
            sealing,
            progress: object.progress,
            failed: None,
        })
    }

    /// Seals the final chunk, writes what is left and flushes the sink; gives the sink back.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ObjectTooLarge`], or the error that an earlier call gave. The object is incomplete.
    pub fn finish(mut self) -> Result<W> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let layout = self.sealer.layout();
        let last = std::mem::replace(&mut self.chunker, Chunker::new(layout)).finish()?;
        self.submit(last)?;
        self.drain()?;
        self.sink.flush().map_err(Error::io("writing the output"))?;
        Ok(self.sink)
    }

    /// The sink.
    pub const fn get_ref(&self) -> &W {
        &self.sink
    }

    /// Runs `step` unless the writer has failed; if it fails, the writer has.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> io::Result<T> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        step(self).map_err(|error| {
            self.failed = Some(error.clone());
            error.into()
        })
    }

    fn submit(&mut self, batch: PlainBatch) -> Result<()> {
        self.progress.advance(batch.plain.len())?;
        if self.sealing.is_full() {
            self.write_next()?;
        }
        let (sealer, buffers) = (self.sealer.clone(), self.buffers.clone());
        self.sealing.submit(move || sealer.seal_batch(batch, &buffers));
        Ok(())
    }

    fn write_next(&mut self) -> Result<()> {
        let Some(batch) = self.sealing.next().transpose()? else {
            return Ok(());
        };
        self.sink
            .write_all(&batch.sealed)
            .map_err(Error::io("writing the output"))?;
        self.buffers.give_back(batch.sealed);
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        while !self.sealing.is_empty() {
            self.write_next()?;
        }
        Ok(())
    }
}

impl<W: Write> Write for EncryptWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.guarded(|this| {
            let mut rest = buf;
            while !rest.is_empty() {
                let buffers = &this.buffers;
                if let Some(batch) = this.chunker.push(&mut rest, || buffers.take(0))? {
                    this.submit(batch)?;
                }
            }
            Ok(buf.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.guarded(|this| {
            if let Some(batch) = this.chunker.take_complete()? {
                this.submit(batch)?;
            }
            this.drain()?;
            this.sink.flush().map_err(Error::io("writing the output"))
        })
    }
}

impl<W: Write> fmt::Debug for EncryptWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptWriter")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
