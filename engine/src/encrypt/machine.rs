//! Sealing without I/O: plaintext in, sealed batches out. Who reads the one and writes the other is not known here.
//!
//! ```text
//! push -> Chunker -> PlainBatch -> Ordered(Sealer) -> SealedBatch -> next, poll_next
//! ```

use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::NewObject;
#[cfg(feature = "threads")]
use crate::batch::chunks_per_batch;
use crate::batch::{BufferPool, PlainBatch, SealedBatch, Slab, batch_memory};
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::executor::Ordered;
use crate::layout::ChunkIndex;
use crate::progress::Progress;
use crate::sealer::Sealer;
use crate::sticky::{Guarded, Sticky};

/// Seals one stream of plaintext.
#[derive(Debug)]
pub(crate) struct SealMachine {
    /// `None` once the final chunk is on its way.
    chunker: Option<Chunker>,
    sealer: Arc<Sealer>,
    sealing: Ordered<Result<SealedBatch>>,
    buffers: BufferPool,
    progress: Progress,
    sticky: Sticky,
}

impl SealMachine {
    pub(crate) fn new(object: NewObject) -> Self {
        let NewObject {
            sealer,
            executor,
            progress,
            ..
        } = object;
        let sealing = Ordered::new(executor, batch_memory(sealer.layout()));
        Self {
            chunker: Some(Chunker::new(sealer.layout())),
            sealer: Arc::new(sealer),
            buffers: BufferPool::new(2 * sealing.limit()),
            sealing,
            progress,
            sticky: Sticky::default(),
        }
    }

    pub(crate) const fn failure(&self) -> Option<&Error> {
        self.sticky.failure()
    }

    /// Whether a batch must be taken before the next step that seals.
    pub(crate) const fn is_full(&self) -> bool {
        self.sealing.is_full()
    }

    /// Whether the final chunk is on its way.
    #[cfg(feature = "tokio")]
    pub(crate) const fn is_finished(&self) -> bool {
        self.chunker.is_none()
    }

    /// Takes bytes from `input`'s front, at most until one batch is on its way to be sealed; returns whether one is. Not
    /// while [`SealMachine::is_full`], nor after [`SealMachine::finish`].
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`], [`Error::Cancelled`], [`Error::Forked`].
    pub(crate) fn push(&mut self, input: &mut &[u8]) -> Result<bool> {
        let chunker = self.chunker.as_mut().expect("no caller pushes after `finish`");
        if self.sealing.is_serial()
            && let Some((first, len)) = chunker.claim(input.len())?
        {
            let (plain, rest) = input.split_at(len);
            *input = rest;
            return self.seal_here(first, plain).map(|()| true);
        }
        let batch = chunker.push(input, || self.buffers.take(0))?;
        self.submit(batch)
    }

    /// Whether so much input is worth being shared among threads where it lies: a batch for each, so that none waits
    /// for the others at the end.
    #[cfg(feature = "threads")]
    pub(crate) fn shares(&self, available: usize) -> bool {
        let layout = self.sealer.layout();
        !self.sealing.is_serial()
            && available >= self.sealing.thread_count() * chunks_per_batch(layout) * layout.chunk_len()
    }

    /// Has all batches at `input`'s front sealed where they lie, and waits until no one reads them any more. Sealed bytes
    /// that must be taken to make room go to `take`. If a beginning of a chunk is pending, its batch is completed first.
    ///
    /// # Errors
    /// As [`SealMachine::push`] and `take`; [`Error::SealedWrongly`].
    #[cfg(feature = "threads")]
    pub(crate) fn push_shared(&mut self, input: &mut &[u8], mut take: impl FnMut(Slab) -> Result<()>) -> Result<()> {
        let Self {
            chunker,
            sealer,
            sealing,
            buffers,
            progress,
            ..
        } = self;
        let chunker = chunker.as_mut().expect("no caller pushes after `finish`");
        let next_job = || {
            let Some((first, len)) = chunker.claim(input.len())? else {
                return Ok(None);
            };
            let (plain, rest) = input.split_at(len);
            *input = rest;
            progress.advance(len)?;
            sealer.check_process()?;
            let (sealer, buffers) = (&*sealer, &*buffers);
            let batch = PlainBatch {
                first,
                plain,
                ends: false,
            };
            Ok(Some(move || {
                sealer.seal_batch(batch, buffers).map(|(sealed, _)| sealed)
            }))
        };
        sealing.submit_borrowing(next_job, |sealed| take(sealed?.sealed))
    }

    /// [`SealMachine::push`] for a shared buffer, whose complete chunks are sealed where they are.
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn push_bytes(&mut self, input: &mut Bytes) -> Result<bool> {
        let chunker = self.chunker.as_mut().expect("no caller pushes after `finish`");
        if let Some((first, len)) = chunker.claim(input.len())? {
            let plain = input.split_to(len);
            let ends = false;
            return self.submit(Some(PlainBatch { first, plain, ends }));
        }
        let mut rest = input.as_ref();
        let batch = chunker.push(&mut rest, || self.buffers.take(0))?;
        input.advance(input.len() - rest.len());
        self.submit(batch)
    }

    /// Seals whole chunks on the caller's thread, from where they are.
    fn seal_here(&mut self, first: ChunkIndex, plain: &[u8]) -> Result<()> {
        self.progress.advance(plain.len())?;
        let ends = false;
        let sealed = self.sealer.seal_batch(PlainBatch { first, plain, ends }, &self.buffers);
        self.sealing.put(sealed.map(|(sealed, _)| sealed));
        Ok(())
    }

    /// Seals the complete chunks that wait for more; returns whether there are any. Not while [`SealMachine::is_full`].
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn push_complete(&mut self) -> Result<bool> {
        let batch = self.chunker.as_mut().map(Chunker::take_complete).transpose()?;
        self.submit(batch.flatten())
    }

    /// Seals what waits, as the payload's end, unless that was done; not while [`SealMachine::is_full`].
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn finish(&mut self) -> Result<()> {
        let batch = self.chunker.take().map(Chunker::finish).transpose()?;
        self.submit(batch).map(drop)
    }

    /// The oldest batch's sealed bytes, waited for; `None` if none is under way.
    ///
    /// # Errors
    /// [`Error::SealedWrongly`].
    pub(crate) fn next(&mut self) -> Result<Option<Slab>> {
        Ok(self.sealing.next().transpose()?.map(|batch| batch.sealed))
    }

    /// [`SealMachine::next`] for a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Slab>>> {
        self.sealing
            .poll_next(cx)
            .map(|batch| Ok(batch.transpose()?.map(|batch| batch.sealed)))
    }

    /// Where buffers whose bytes were written are given back, too.
    #[cfg(feature = "threads")]
    pub(crate) fn buffers(&self) -> BufferPool {
        self.buffers.clone()
    }

    /// Takes back a buffer whose bytes were written.
    pub(crate) fn give_back(&self, buffer: Slab) {
        self.buffers.give_back(buffer);
    }

    /// Has the batch sealed, if there is one; returns whether there is.
    fn submit<P: Plain>(&mut self, batch: Option<PlainBatch<P>>) -> Result<bool> {
        let Some(batch) = batch else {
            return Ok(false);
        };
        self.progress.advance(batch.plain.len())?;
        // Of the threads that would do it, a fork has none.
        self.sealer.check_process()?;
        let (sealer, buffers) = (self.sealer.clone(), self.buffers.clone());
        self.sealing.submit(move || {
            let (sealed, plain) = sealer.seal_batch(batch, &buffers)?;
            plain.give_back(&buffers);
            Ok(sealed)
        });
        Ok(true)
    }
}

impl Guarded for SealMachine {
    fn sticky(&mut self) -> &mut Sticky {
        &mut self.sticky
    }
}

/// What holds a batch's plaintext while a job seals it.
trait Plain: Deref<Target = [u8]> + Send + 'static {
    fn give_back(self, buffers: &BufferPool);
}

impl Plain for Slab {
    fn give_back(self, buffers: &BufferPool) {
        buffers.give_back(self);
    }
}

impl Plain for Bytes {
    /// Its other owners may still read it.
    fn give_back(self, _: &BufferPool) {}
}
