//! Opening without I/O: sealed bytes in, verified plaintext out. The caller does the reading and writing.
//!
//! ```text
//! space, filled -> SealedBatch -> Ordered(Opener) -> OpenedBatch -> next, poll_next -> available, consume
//! ```

mod extent;
mod seek;

use std::mem;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use bytes::Bytes;

use self::extent::{Extent, Lead};
use super::plan::RangePlan;
use crate::batch::{BufferPool, OpenedBatch, SealedBatch, Slab, batch_memory, chunks_per_batch};
use crate::buffer::buffer_len;
use crate::error::{Error, Result};
use crate::executor::{Executor, Ordered};
use crate::layout::{ChunkIndex, MAX_PLAINTEXT_LEN, TAG_LEN};
use crate::opener::Opener;
use crate::progress::Progress;
use crate::sticky::{Guarded, Sticky};
use crate::unlocked::Unlocked;

/// Opens one stream of sealed chunks.
#[derive(Debug)]
pub(crate) struct OpenMachine {
    opener: Arc<Opener>,
    executor: Executor,
    opening: Ordered<OpenedBatch>,
    buffers: BufferPool,
    progress: Progress,
    /// The chunk that `sealed` begins with.
    next: ChunkIndex,
    /// The buffer for the batch that is being read; its first `have` bytes are filled.
    sealed: Slab,
    have: usize,
    /// How the source ended, once its end was reached.
    end: Option<End>,
    current: Slab,
    /// The error to return once `current` is consumed.
    upcoming: Option<Error>,
    /// Bytes of `current` that were consumed.
    given: usize,
    /// After a seek: bytes of the next batch that precede the position.
    skip: usize,
    /// The plaintext offset of the next byte to return.
    position: u64,
    /// The plaintext's length, once a seek verified the end.
    verified_len: Option<u64>,
    /// What remains of a range; `None` for the whole payload.
    extent: Option<Extent>,
    sticky: Sticky,
}

/// How the source ended.
#[derive(Debug, Clone)]
enum End {
    /// After the final chunk, or after the last chunk of a range.
    Complete,
    Truncated,
    /// What was read next is not what has to follow.
    Failed(Error),
}

impl OpenMachine {
    /// Opens the whole payload, starting with the first chunk.
    pub(crate) fn new(unlocked: &Unlocked) -> Self {
        let mut machine = Self::idle(unlocked);
        if let Err(error) = unlocked.check_streamable() {
            machine.sticky = Sticky::failed(error);
        }
        machine
    }

    fn idle(unlocked: &Unlocked) -> Self {
        let opener = unlocked.opener().clone();
        let opening = Ordered::new(unlocked.executor().clone(), batch_memory(opener.layout()));
        Self {
            opener,
            executor: unlocked.executor().clone(),
            buffers: BufferPool::new(2 * opening.limit()),
            opening,
            progress: unlocked.progress().clone(),
            next: ChunkIndex::ZERO,
            sealed: Slab::default(),
            have: 0,
            end: None,
            current: Slab::default(),
            upcoming: None,
            given: 0,
            skip: 0,
            position: 0,
            verified_len: None,
            extent: None,
            sticky: Sticky::default(),
        }
    }

    /// Opens a range. What is read is [`RangePlan::ciphertext`], and nothing before or after it.
    pub(crate) fn of_range(unlocked: &Unlocked, plan: &RangePlan) -> Self {
        let mut machine = Self {
            position: plan.position,
            skip: plan.skip,
            extent: Some(Extent {
                unlocked: unlocked.clone(),
                runs: plan.runs.clone(),
                plain_start: 0,
                lead: None,
                sealed: 0,
                plain: plan.plain,
            }),
            ..Self::idle(unlocked)
        };
        if let Err(error) = machine.begin_run(true) {
            machine.sticky = Sticky::failed(error);
        }
        machine
    }

    /// Continues with the next run of a range; after the last one, nothing more is read.
    fn begin_run(&mut self, first: bool) -> Result<()> {
        let layout = self.opener.layout();
        let Some(extent) = &mut self.extent else { return Ok(()) };
        let Some(run) = extent.runs.next() else {
            self.end = Some(End::Complete);
            return Ok(());
        };
        let ciphertext = run.ciphertext(layout)?;
        if ciphertext.is_empty() {
            // An empty range before the end of a plain payload.
            self.end = Some(End::Complete);
            return Ok(());
        }
        let (opener, expected) = extent.unlocked.run_opener(&run);
        extent.sealed = ciphertext.end - ciphertext.start;
        extent.plain_start = run.plain_start();
        // A component that follows another has its first bytes between the two.
        extent.lead = (!first || expected.is_some()).then(|| Lead::new(expected));
        self.next = layout.chunk_at(run.range().start)?;
        self.opener = opener;
        Ok(())
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) const fn failure(&self) -> Option<&Error> {
        self.sticky.failure()
    }

    /// Whether plaintext is available.
    ///
    /// # Errors
    /// The error of the chunk after the plaintext returned so far, if it did not open.
    pub(crate) fn has_plaintext(&mut self) -> Result<bool> {
        if self.given < self.current.len() {
            return Ok(true);
        }
        self.upcoming.take().map_or(Ok(false), Err)
    }

    /// The verified plaintext that is available.
    pub(crate) fn available(&self) -> &[u8] {
        &self.current[self.given..]
    }

    pub(crate) fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.current.len() - self.given);
        self.given += amount;
        self.position += amount as u64;
    }

    /// [`OpenMachine::available`], consumed without a copy.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        let bytes = mem::take(&mut self.current).into_bytes(self.given);
        self.given = 0;
        self.position += bytes.len() as u64;
        bytes
    }

    /// Whether sealed bytes must be read before the next batch is taken.
    pub(crate) const fn wants_input(&self) -> bool {
        self.end.is_none() && !self.opening.is_full()
    }

    /// Whether no more sealed bytes are needed: the source has ended, or all chunks of a range have been read.
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The number of buffered sealed bytes that are not part of a batch.
    pub(crate) const fn have(&self) -> usize {
        self.have
    }

    /// The buffer to read sealed bytes into; never empty while [`OpenMachine::wants_input`].
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.sealed.is_empty() {
            self.sealed = self.buffers.take(self.batch_len());
        }
        let room = self.sealed.len() - self.have;
        match &mut self.extent {
            Some(Extent { lead: Some(lead), .. }) => &mut lead.found[lead.have..],
            Some(Extent { sealed: left, .. }) => {
                let room = usize::try_from(*left).map_or(room, |left| room.min(left));
                &mut self.sealed[self.have..][..room]
            }
            None => &mut self.sealed[self.have..],
        }
    }

    /// Accepts the first `count` bytes of [`OpenMachine::space`]; 0 means the source's end. Returns whether a batch was
    /// submitted.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn filled(&mut self, count: usize) -> Result<bool> {
        if count == 0 {
            // A range ends by its length, not at its source's end.
            let complete = self.extent.is_none() && self.have % self.opener.layout().sealed_chunk_len() >= TAG_LEN;
            return self.submit_last(if complete { End::Complete } else { End::Truncated });
        }
        if let Some(extent) = &mut self.extent
            && extent.lead.is_some()
        {
            // What was read before comes out first.
            self.end = extent.lead_filled(count).err().map(End::Failed);
            return Ok(false);
        }
        self.have += count;
        if let Some(extent) = &mut self.extent {
            extent.sealed -= count as u64;
            if extent.sealed == 0 {
                let submitted = self.submit_rest(self.have)?;
                return self.begin_run(false).map(|()| submitted);
            }
        }
        // A pool is worth using for whole batches only; without one, complete chunks are opened immediately.
        if self.have == self.batch_len() || self.executor.is_serial() {
            return self.submit_complete();
        }
        Ok(false)
    }

    /// How many sealed bytes to read for chunks that are opened directly into a caller's buffer of `len` bytes; `None`
    /// if that is not possible: the buffer is shorter than a chunk, the executor has threads, other plaintext comes
    /// first, or a range is read.
    pub(crate) fn direct_len(&self, len: usize) -> Option<usize> {
        let layout = self.opener.layout();
        let chunks = (len / layout.chunk_len()).min(chunks_per_batch(layout));
        let first = self.extent.is_none()
            && self.executor.is_serial()
            && self.wants_input()
            && self.opening.is_empty()
            && self.skip == 0;
        (first && chunks > 0 && self.available().is_empty()).then_some(chunks * layout.sealed_chunk_len())
    }

    /// Accepts the first `count` bytes of [`OpenMachine::space`] and opens the complete chunks into `out`; returns the
    /// number of plaintext bytes, 0 if no chunk is complete. In total at most [`OpenMachine::direct_len`] sealed bytes
    /// may be buffered.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`], [`Error::Cancelled`]; the error of the first chunk, if that does not open.
    pub(crate) fn filled_directly(&mut self, count: usize, out: &mut [u8]) -> Result<usize> {
        self.have += count;
        let layout = self.opener.layout();
        let chunks = self.have / layout.sealed_chunk_len();
        let (sealed_len, plain_len) = (chunks * layout.sealed_chunk_len(), chunks * layout.chunk_len());
        let first = self.advance(sealed_len)?;
        let out = &mut out[..plain_len];
        let (verified, failure) = self.opener.open_beginning(first, &self.sealed[..sealed_len], out);
        self.sealed.copy_within(sealed_len..self.have, 0);
        self.have -= sealed_len;
        self.progress.advance(verified)?;
        self.position += verified as u64;
        match failure {
            Some(error) if verified == 0 => Err(error),
            failure => {
                self.upcoming = failure;
                Ok(verified)
            }
        }
    }

    /// For a source that has no more for now: submits the complete chunks if no batch is in progress; returns whether
    /// it did.
    #[cfg(feature = "tokio")]
    pub(crate) fn starved(&mut self) -> Result<bool> {
        Ok(self.opening.is_empty() && self.submit_complete()?)
    }

    /// Whether no batch is in progress, so that the next one needs more input.
    pub(crate) const fn is_idle(&self) -> bool {
        self.opening.is_empty()
    }

    /// Waits for the next batch and makes it available; `false` at the verified end. A batch may be empty.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Cancelled`].
    pub(crate) fn next(&mut self) -> Result<bool> {
        let batch = self.opening.next();
        self.deliver(batch)
    }

    /// The polling form of [`OpenMachine::next`].
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<bool>> {
        self.opening.poll_next(cx).map(|batch| self.deliver(batch))
    }

    fn deliver(&mut self, batch: Option<OpenedBatch>) -> Result<bool> {
        match (batch, &self.end) {
            (Some(batch), _) => self.make_current(batch).map(|()| true),
            (None, Some(End::Failed(error))) => Err(error.clone()),
            (None, Some(End::Truncated)) => Err(Error::Truncated {
                after: self.extent.as_ref().map_or(0, |extent| extent.plain_start)
                    + self.opener.layout().plaintext_offset(self.next),
            }),
            (None, Some(End::Complete)) => Ok(false),
            (None, None) => {
                unreachable!("the caller waits only while a batch is in progress or after the source has ended")
            }
        }
    }

    fn make_current(&mut self, mut batch: OpenedBatch) -> Result<()> {
        self.progress.advance(batch.plain.len())?;
        let skip = mem::take(&mut self.skip);
        self.given = skip.min(batch.plain.len());
        if batch.failure.is_none() && self.given < skip {
            // The source has changed since a seek relied on its length.
            return Err(self.source_changed());
        }
        if let Some(extent) = &mut self.extent {
            let have = (batch.plain.len() - self.given) as u64;
            let returned = have.min(extent.plain);
            extent.plain -= returned;
            batch.plain.truncate(batch.plain.len() - buffer_len(have - returned)?);
        }
        self.upcoming = batch.failure;
        let used = mem::replace(&mut self.current, batch.plain);
        self.buffers.give_back(used);
        Ok(())
    }

    fn batch_len(&self) -> usize {
        chunks_per_batch(self.opener.layout()) * self.opener.layout().sealed_chunk_len()
    }

    /// Submits the complete chunks that are buffered. The bytes after them begin the next batch.
    fn submit_complete(&mut self) -> Result<bool> {
        let chunk_len = self.opener.layout().sealed_chunk_len();
        let whole = self.have / chunk_len * chunk_len;
        if whole == 0 {
            return Ok(false);
        }
        let mut rest = Slab::default();
        if self.have > whole {
            rest = self.buffers.take(self.batch_len());
            rest[..self.have - whole].copy_from_slice(&self.sealed[whole..self.have]);
        }
        let mut sealed = mem::replace(&mut self.sealed, rest);
        self.have -= whole;
        sealed.truncate(whole);
        self.submit(sealed, false)
    }

    /// Submits the buffered bytes as the last ones. If they are complete, they end with the final chunk or with the
    /// last full chunk of a range.
    fn submit_last(&mut self, end: End) -> Result<bool> {
        let chunk_len = self.opener.layout().sealed_chunk_len();
        let len = match end {
            End::Complete => self.have,
            End::Truncated | End::Failed(_) => self.have / chunk_len * chunk_len,
        };
        self.end = Some(end);
        self.submit_rest(len)
    }

    /// Has the first `len` of the bytes that are here opened, the last chunk too, however long it is. The others are
    /// dropped.
    fn submit_rest(&mut self, len: usize) -> Result<bool> {
        self.have = 0;
        let mut sealed = mem::take(&mut self.sealed);
        sealed.truncate(len);
        if sealed.is_empty() {
            return Ok(false);
        }
        let ends = !sealed.len().is_multiple_of(self.opener.layout().sealed_chunk_len());
        self.submit(sealed, ends)
    }

    /// Advances past the next `sealed_len` bytes; returns the index of their first chunk.
    fn advance(&mut self, sealed_len: usize) -> Result<ChunkIndex> {
        let first = self.next;
        let plain_end = self.opener.layout().plaintext_offset(first) + self.opener.plain_len(sealed_len) as u64;
        if plain_end > MAX_PLAINTEXT_LEN {
            return Err(Error::ObjectTooLarge);
        }
        let full_chunks = sealed_len / self.opener.layout().sealed_chunk_len();
        self.next = first.advance(full_chunks as u64)?;
        Ok(first)
    }

    fn submit(&mut self, sealed: Slab, ends: bool) -> Result<bool> {
        let first = self.advance(sealed.len())?;
        let batch = SealedBatch { first, sealed, ends };
        let (opener, buffers) = (self.opener.clone(), self.buffers.clone());
        self.opening.submit(move || opener.open_batch(batch, &buffers));
        Ok(true)
    }
}

impl Guarded for OpenMachine {
    fn sticky(&mut self) -> &mut Sticky {
        &mut self.sticky
    }
}
