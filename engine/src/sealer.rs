//! Plaintext to sealed chunks. Stateless: which chunks they are is the caller's word, and only `chunker` gives it.

use crate::batch::{BufferPool, PlainBatch, SealedBatch};
use crate::cipher::ChunkCipher;
use crate::layout::{ChunkIndex, Layout, TAG_LEN};

/// Seals the chunks of one payload.
#[derive(Debug)]
pub(crate) struct Sealer {
    cipher: ChunkCipher,
    layout: Layout,
}

impl Sealer {
    pub(crate) const fn new(cipher: ChunkCipher, layout: Layout) -> Self {
        Self { cipher, layout }
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    /// The length of what `plain_len` bytes seal to, in bytes. If `ends`, the last chunk is the final one; if not,
    /// all chunks are full.
    pub(crate) const fn sealed_len(&self, plain_len: usize, ends: bool) -> usize {
        plain_len + (plain_len / self.layout.chunk_len() + ends as usize) * TAG_LEN
    }

    /// Seals `plain` as chunks `first`, `first` + 1, ... into `out`, whose length is [`Sealer::sealed_len`].
    pub(crate) fn seal(&self, first: ChunkIndex, plain: &[u8], ends: bool, out: &mut [u8]) {
        debug_assert_eq!(out.len(), self.sealed_len(plain.len(), ends));
        let mut index = Some(first);
        let mut next = || {
            let this = index.expect("chunker gives out no run past the last chunk");
            index = this.advance(1).ok();
            this
        };
        let (full, last) = plain.split_at(plain.len() - plain.len() % self.layout.chunk_len());
        let (full_out, last_out) = out.split_at_mut(self.sealed_len(full.len(), false));
        let chunks = full.chunks_exact(self.layout.chunk_len());
        for (chunk, out) in chunks.zip(full_out.chunks_exact_mut(self.layout.sealed_chunk_len())) {
            self.cipher.seal(next(), chunk, out);
        }
        if ends {
            self.cipher.seal(next(), last, last_out);
        }
    }

    /// Seals a batch into a pooled buffer and gives the plaintext's buffer back to the pool.
    pub(crate) fn seal_batch(&self, batch: PlainBatch, buffers: &BufferPool) -> SealedBatch {
        let mut sealed = buffers.take(self.sealed_len(batch.plain.len(), batch.ends));
        self.seal(batch.first, &batch.plain, batch.ends, &mut sealed);
        buffers.give_back(batch.plain);
        SealedBatch {
            first: batch.first,
            sealed,
            ends: batch.ends,
        }
    }
}
