//! Seals plaintext into chunks. Stateless: the caller chooses their indices, which only `chunker` assigns.

use std::ops::Deref;

use zeroize::Zeroize;

use crate::batch::{BufferPool, PlainBatch, SealedBatch};
use crate::cipher::ChunkCipher;
use crate::error::{Error, Result};
use crate::layout::{ChunkIndex, Layout};
use crate::sys::{Process, process};

/// Seals the chunks of one payload.
#[derive(Debug)]
pub(crate) struct Sealer {
    cipher: ChunkCipher,
    layout: Layout,
    /// Opens each chunk again before it is released, if requested.
    verifier: Option<ChunkCipher>,
    /// The process that created it. A fork has a copy, which knows the same key and would use the same indices.
    process: Process,
    /// A chunk to alter between sealing and verifying.
    #[cfg(test)]
    pub(crate) sabotaged: Option<u64>,
}

impl Sealer {
    pub(crate) fn new(cipher: ChunkCipher, layout: Layout) -> Self {
        Self {
            cipher,
            layout,
            verifier: None,
            process: process(),
            #[cfg(test)]
            sabotaged: None,
        }
    }

    /// Has `verifier` open what was sealed. It is derived separately, starting from the data key, so that it does not
    /// share a fault of the sealing cipher.
    pub(crate) fn with_verifier(mut self, verifier: ChunkCipher) -> Self {
        self.verifier = Some(verifier);
        self
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    /// The length that `plain_len` bytes seal to, in bytes. If `ends`, the last chunk is the final one; otherwise all
    /// chunks are full.
    pub(crate) const fn sealed_len(&self, plain_len: usize, ends: bool) -> usize {
        self.layout.sealed_len(plain_len, ends)
    }

    /// Checks that this is still the process that created the sealer.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.process == process() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }

    /// Seals `plain` as chunks `first`, `first` + 1, ... into `out`, whose length is [`Sealer::sealed_len`].
    ///
    /// # Errors
    /// [`Error::Forked`]; [`Error::SealedWrongly`], with `out` cleared, only if there is a verifier.
    pub(crate) fn seal(&self, first: ChunkIndex, plain: &[u8], ends: bool, out: &mut [u8]) -> Result<()> {
        self.check_process()?;
        debug_assert_eq!(out.len(), self.sealed_len(plain.len(), ends));
        self.for_each_chunk(first, plain, ends, out, |index, chunk, out| {
            self.cipher.seal(index, chunk, out);
            #[cfg(test)]
            self.sabotage(index, out);
            Ok(())
        })?;
        let Some(verifier) = &self.verifier else {
            return Ok(());
        };
        // One buffer for all chunks, which are still in the processor's cache.
        let mut opened = vec![0; self.layout.chunk_len().min(plain.len())];
        let verified = self.for_each_chunk(first, plain, ends, out, |index, chunk, sealed| {
            let opened = &mut opened[..chunk.len()];
            match verifier.open(index, sealed, opened) {
                Ok(()) if opened == chunk => Ok(()),
                _ => Err(Error::SealedWrongly { chunk: index.get() }),
            }
        });
        opened.zeroize();
        verified.inspect_err(|_| out.fill(0))
    }

    /// Passes each chunk's index, plaintext and sealed bytes to `work`.
    fn for_each_chunk(
        &self,
        first: ChunkIndex,
        plain: &[u8],
        ends: bool,
        out: &mut [u8],
        mut work: impl FnMut(ChunkIndex, &[u8], &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut index = Some(first);
        let mut next = || {
            let this = index.expect("chunker assigns no run past the last chunk");
            index = this.advance(1).ok();
            this
        };
        let (full, last) = plain.split_at(plain.len() - plain.len() % self.layout.chunk_len());
        let (full_out, last_out) = out.split_at_mut(self.sealed_len(full.len(), false));
        let chunks = full.chunks_exact(self.layout.chunk_len());
        for (chunk, out) in chunks.zip(full_out.chunks_exact_mut(self.layout.sealed_chunk_len())) {
            work(next(), chunk, out)?;
        }
        if ends {
            work(next(), last, last_out)?;
        }
        Ok(())
    }

    /// Seals a batch into a pooled buffer; also returns the buffer of the plaintext.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub(crate) fn seal_batch<P: Deref<Target = [u8]>>(
        &self,
        batch: PlainBatch<P>,
        buffers: &BufferPool,
    ) -> Result<(SealedBatch, P)> {
        let mut sealed = buffers.take(self.sealed_len(batch.plain.len(), batch.ends));
        self.seal(batch.first, &batch.plain, batch.ends, &mut sealed)?;
        let sealed = SealedBatch {
            first: batch.first,
            sealed,
            ends: batch.ends,
        };
        Ok((sealed, batch.plain))
    }

    #[cfg(test)]
    fn sabotage(&self, index: ChunkIndex, sealed: &mut [u8]) {
        if self.sabotaged == Some(index.get()) {
            sealed[0] ^= 1;
        }
    }
}
