//! Sealing without I/O: plaintext in, sealed batches out. The caller does the reading and writing.
//!
//! ```text
//! push -> Chunker -> PlainBatch -> Ordered(Sealer) -> SealedBatch -> next, poll_next
//! ```

use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::Unsealed;
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
    /// `None` once the final chunk has been submitted.
    chunker: Option<Chunker>,
    sealer: Arc<Sealer>,
    sealing: Ordered<Result<SealedBatch>>,
    buffers: BufferPool,
    progress: Progress,
    /// Bytes that were taken.
    plaintext_len: u64,
    sticky: Sticky,
}

impl SealMachine {
    pub(crate) fn new(unsealed: Unsealed) -> Self {
        let Unsealed {
            sealer,
            executor,
            progress,
            ..
        } = unsealed;
        let sealing = Ordered::new(executor, batch_memory(sealer.layout()));
        Self {
            chunker: Some(Chunker::new(sealer.layout())),
            sealer: Arc::new(sealer),
            buffers: BufferPool::new(2 * sealing.limit()),
            sealing,
            progress,
            plaintext_len: 0,
            sticky: Sticky::default(),
        }
    }

    /// Bytes of plaintext that were taken so far.
    pub(crate) const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    pub(crate) const fn failure(&self) -> Option<&Error> {
        self.sticky.failure()
    }

    /// Whether a batch must be taken before more can be sealed.
    pub(crate) const fn is_full(&self) -> bool {
        self.sealing.is_full()
    }

    /// Whether the final chunk has been submitted.
    #[cfg(feature = "tokio")]
    pub(crate) const fn is_finished(&self) -> bool {
        self.chunker.is_none()
    }

    /// Takes bytes from the front of `input`, at most until one batch has been submitted; returns whether one was. Must
    /// not be called while [`SealMachine::is_full`] or after [`SealMachine::finish`].
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`], [`Error::Cancelled`], [`Error::Forked`].
    pub(crate) fn push(&mut self, input: &mut &[u8]) -> Result<bool> {
        let before = input.len();
        let pushed = self.push_some(input);
        self.plaintext_len += (before - input.len()) as u64;
        pushed
    }

    fn push_some(&mut self, input: &mut &[u8]) -> Result<bool> {
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

    /// Whether `available` bytes of input are enough to be shared among the threads without a copy: at least one batch
    /// for each, so that none is idle.
    #[cfg(feature = "threads")]
    pub(crate) fn shares(&self, available: usize) -> bool {
        let layout = self.sealer.layout();
        !self.sealing.is_serial()
            && available >= self.sealing.thread_count() * chunks_per_batch(layout) * layout.chunk_len()
    }

    /// Seals all batches at the front of `input` without a copy, and waits until no thread reads them any more. Sealed
    /// bytes that must be taken to make room are passed to `take`. Does nothing while bytes are pending, which
    /// [`SealMachine::push`] completes to a batch first.
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
            plaintext_len,
            ..
        } = self;
        let chunker = chunker.as_mut().expect("no caller pushes after `finish`");
        let next_job = || {
            let Some((first, len)) = chunker.claim(input.len())? else {
                return Ok(None);
            };
            let (plain, rest) = input.split_at(len);
            *input = rest;
            *plaintext_len += len as u64;
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

    /// [`SealMachine::push`] for a shared buffer, whose complete chunks are sealed without a copy.
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn push_bytes(&mut self, input: &mut Bytes) -> Result<bool> {
        let chunker = self.chunker.as_mut().expect("no caller pushes after `finish`");
        if let Some((first, len)) = chunker.claim(input.len())? {
            let plain = input.split_to(len);
            self.plaintext_len += len as u64;
            let ends = false;
            return self.submit(Some(PlainBatch { first, plain, ends }));
        }
        let mut rest = input.as_ref();
        let batch = chunker.push(&mut rest, || self.buffers.take(0))?;
        let taken = input.len() - rest.len();
        input.advance(taken);
        self.plaintext_len += taken as u64;
        self.submit(batch)
    }

    /// Seals whole chunks on the caller's thread, without a copy.
    fn seal_here(&mut self, first: ChunkIndex, plain: &[u8]) -> Result<()> {
        self.progress.advance(plain.len())?;
        let ends = false;
        let sealed = self.sealer.seal_batch(PlainBatch { first, plain, ends }, &self.buffers);
        self.sealing.put(sealed.map(|(sealed, _)| sealed));
        Ok(())
    }

    /// Submits the complete chunks that are pending; returns whether there were any. Must not be called while
    /// [`SealMachine::is_full`].
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn push_complete(&mut self) -> Result<bool> {
        let batch = self.chunker.as_mut().map(Chunker::take_complete).transpose()?;
        self.submit(batch.flatten())
    }

    /// Submits the pending bytes as the payload's end, unless that was already done. Must not be called while
    /// [`SealMachine::is_full`].
    ///
    /// # Errors
    /// As [`SealMachine::push`].
    pub(crate) fn finish(&mut self) -> Result<()> {
        let batch = self.chunker.take().map(Chunker::finish).transpose()?;
        self.submit(batch).map(drop)
    }

    /// Waits for the oldest batch and returns its sealed bytes; `None` if no batch is in progress.
    ///
    /// # Errors
    /// [`Error::SealedWrongly`].
    pub(crate) fn next(&mut self) -> Result<Option<Slab>> {
        Ok(self.sealing.next().transpose()?.map(|batch| batch.sealed))
    }

    /// The polling form of [`SealMachine::next`].
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Slab>>> {
        self.sealing
            .poll_next(cx)
            .map(|batch| Ok(batch.transpose()?.map(|batch| batch.sealed)))
    }

    /// The pool that takes back buffers whose bytes were written.
    #[cfg(feature = "threads")]
    pub(crate) fn buffers(&self) -> BufferPool {
        self.buffers.clone()
    }

    /// Takes back a buffer whose bytes were written.
    pub(crate) fn give_back(&self, buffer: Slab) {
        self.buffers.give_back(buffer);
    }

    /// Submits the batch, if there is one; returns whether there was.
    fn submit<P: Plain>(&mut self, batch: Option<PlainBatch<P>>) -> Result<bool> {
        let Some(batch) = batch else {
            return Ok(false);
        };
        self.progress.advance(batch.plain.len())?;
        // Before submitting: a fork has none of the executor's threads.
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

/// A buffer that holds a batch's plaintext while a job seals it.
trait Plain: Deref<Target = [u8]> + Send + 'static {
    fn give_back(self, buffers: &BufferPool);
}

impl Plain for Slab {
    fn give_back(self, buffers: &BufferPool) {
        buffers.give_back(self);
    }
}

impl Plain for Bytes {
    /// Not reused: other owners may still read it.
    fn give_back(self, _: &BufferPool) {}
}
