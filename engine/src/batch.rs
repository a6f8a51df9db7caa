//! Batches: the unit of scheduling, a run of whole chunks in one pooled buffer.
//!
//! ```text
//! PlainBatch --Sealer--> SealedBatch --Opener--> OpenedBatch
//! ```
//!
//! Each arrow consumes its input, so that no batch is sealed twice, written unsealed or released unverified.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::Error;
use crate::layout::{ChunkIndex, Layout};

/// Plaintext bytes of a batch, unless one chunk is longer: long enough that handing it to a thread costs next to
/// nothing compared with sealing it, short enough to stay in a core's cache.
const BATCH_LEN: usize = 256 * 1024;

/// Chunks in a full batch.
pub(crate) const fn chunks_per_batch(layout: Layout) -> usize {
    let chunks = BATCH_LEN / layout.chunk_len();
    if chunks == 0 { 1 } else { chunks }
}

/// Bytes of memory that a full batch occupies while it is sealed or opened: plaintext and sealed bytes.
pub(crate) const fn batch_memory(layout: Layout) -> usize {
    chunks_per_batch(layout) * (layout.chunk_len() + layout.sealed_chunk_len())
}

/// Plaintext of consecutive chunks, in a pooled buffer or in the caller's.
pub(crate) struct PlainBatch<P = Slab> {
    pub(crate) first: ChunkIndex,
    pub(crate) plain: P,
    /// Whether the last chunk is the payload's final one. Otherwise all chunks are full.
    pub(crate) ends: bool,
}

/// Sealed bytes of consecutive chunks.
pub(crate) struct SealedBatch {
    pub(crate) first: ChunkIndex,
    pub(crate) sealed: Slab,
    /// Whether the last chunk is the payload's final one. Otherwise all chunks are full.
    pub(crate) ends: bool,
}

/// Verified plaintext of consecutive chunks.
pub(crate) struct OpenedBatch {
    pub(crate) plain: Slab,
    /// The error of the chunk after them, if that does not open.
    pub(crate) failure: Option<Error>,
}

/// A buffer whose first `len` bytes are in use. The rest is left as it is, so that a pooled buffer is not zeroed at
/// every use, which would take measurable time.
#[derive(Default)]
pub(crate) struct Slab {
    buffer: Vec<u8>,
    len: usize,
}

impl Slab {
    /// Appends `bytes`; the buffer grows as needed.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.buffer.len() {
            self.buffer.resize(end.next_power_of_two(), 0);
        }
        self.buffer[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Drops the bytes from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The bytes in use, from `start` on, without a copy.
    pub(crate) fn into_bytes(self, start: usize) -> Bytes {
        Bytes::from(self.buffer).slice(start..self.len)
    }
}

impl Deref for Slab {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Slab {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }
}

/// Reusable buffers: the first touch of fresh memory costs more than sealing what is put there.
#[derive(Clone)]
pub(crate) struct BufferPool {
    free: Arc<Mutex<Vec<Slab>>>,
    limit: usize,
}

impl BufferPool {
    /// A pool that keeps at most `limit` buffers.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            free: Arc::default(),
            limit,
        }
    }

    /// A buffer of `len` bytes of unspecified content.
    pub(crate) fn take(&self, len: usize) -> Slab {
        let mut slab = self.lock().pop().unwrap_or_default();
        if slab.buffer.len() < len {
            slab.buffer.resize(len, 0);
        }
        slab.len = len;
        slab
    }

    pub(crate) fn give_back(&self, slab: Slab) {
        let mut free = self.lock();
        if free.len() < self.limit && !slab.buffer.is_empty() {
            free.push(slab);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slab>> {
        // A panic cannot leave a list of buffers half changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({} bytes)", self.len)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferPool(..)")
    }
}
