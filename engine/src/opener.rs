//! Sealed chunks to plaintext: no byte of a chunk is released before its tag has verified.

use crate::batch::{BufferPool, OpenedBatch, SealedBatch};
use crate::cipher::ChunkCipher;
use crate::error::{CompositeError, Error, Result};
use crate::layout::{ChunkIndex, Layout, TAG_LEN};

/// Opens the chunks of one payload, or of one component.
#[derive(Debug)]
pub(crate) struct Opener {
    cipher: ChunkCipher,
    layout: Layout,
    /// Where the payload begins in the object, in bytes, because errors name offsets in the object.
    payload_start: u64,
    /// Which component of a composite object this is the payload of: errors name it.
    component: Option<usize>,
}

impl Opener {
    pub(crate) const fn new(cipher: ChunkCipher, layout: Layout, payload_start: u64) -> Self {
        Self {
            cipher,
            layout,
            payload_start,
            component: None,
        }
    }

    /// Opens component `component` of a composite object.
    pub(crate) const fn of_component(mut self, component: usize) -> Self {
        self.component = Some(component);
        self
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) const fn payload_start(&self) -> u64 {
        self.payload_start
    }

    /// The payload's length in an object of `object_len` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the object ends before its payload.
    pub(crate) fn payload_len(&self, object_len: u64) -> Result<u64> {
        let payload_len = object_len.checked_sub(self.payload_start);
        payload_len.ok_or(Error::Truncated { after: 0 })
    }

    /// The length that `sealed_len` sealed bytes open to, in bytes.
    pub(crate) const fn plain_len(&self, sealed_len: usize) -> usize {
        sealed_len - sealed_len.div_ceil(self.layout.sealed_chunk_len()) * TAG_LEN
    }

    /// Opens `sealed` as chunks `first`, `first` + 1, ... into `out`, whose length is [`Opener::plain_len`]. If `ends`,
    /// the last chunk is the final one, at least 16 bytes and shorter than a full one; otherwise all are full.
    ///
    /// Every chunk that does not open is reported as altered, without a search for an earlier end of the object: in
    /// ranged reads, the search would let damaged storage cost a server hundreds of times as much as an intact chunk.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], with `out` cleared; [`Error::ObjectTooLarge`].
    pub(crate) fn open(&self, first: ChunkIndex, sealed: &[u8], ends: bool, out: &mut [u8]) -> Result<()> {
        let opened = self.open_prefix(first, sealed, ends, out, Self::altered);
        opened.map_err(|failure| cleared(out, failure))
    }

    /// Like [`Opener::open`], but searches a chunk that does not open for an earlier end of the object.
    ///
    /// # Errors
    /// As [`Opener::open`]; [`Error::TrailingData`].
    pub(crate) fn open_explained(&self, first: ChunkIndex, sealed: &[u8], ends: bool, out: &mut [u8]) -> Result<()> {
        let opened = self.open_prefix(first, sealed, ends, out, Self::explain);
        opened.map_err(|failure| cleared(out, failure))
    }

    /// After a failure `out` keeps the plaintext of the chunks before the failed one. `explain` returns the error of
    /// that one.
    fn open_prefix(
        &self,
        first: ChunkIndex,
        sealed: &[u8],
        ends: bool,
        out: &mut [u8],
        explain: fn(&Self, ChunkIndex, &[u8]) -> Error,
    ) -> Result<(), Failure> {
        debug_assert_eq!(out.len(), self.plain_len(sealed.len()));
        debug_assert_eq!(ends, !sealed.len().is_multiple_of(self.layout.sealed_chunk_len()));
        let mut verified = 0;
        for (number, chunk) in (0..).zip(sealed.chunks(self.layout.sealed_chunk_len())) {
            let index = first.advance(number).map_err(|error| Failure { verified, error })?;
            let piece = &mut out[verified..verified + chunk.len() - TAG_LEN];
            self.cipher.open(index, chunk, piece).map_err(|_| Failure {
                verified,
                error: explain(self, index, chunk),
            })?;
            verified += piece.len();
        }
        Ok(())
    }

    /// Opens full chunks into `out`; returns how many bytes of `out` are verified plaintext, and the error of the chunk
    /// after them if that does not open. The rest of `out` is cleared.
    pub(crate) fn open_beginning(&self, first: ChunkIndex, sealed: &[u8], out: &mut [u8]) -> (usize, Option<Error>) {
        match self.open_prefix(first, sealed, false, out, Self::explain) {
            Ok(()) => (out.len(), None),
            Err(Failure { verified, error }) => {
                out[verified..].fill(0);
                (verified, Some(error))
            }
        }
    }

    /// Opens a batch into a pooled buffer and returns the sealed bytes' buffer to the pool.
    pub(crate) fn open_batch(&self, batch: SealedBatch, buffers: &BufferPool) -> OpenedBatch {
        let mut plain = buffers.take(self.plain_len(batch.sealed.len()));
        let opened = self.open_prefix(batch.first, &batch.sealed, batch.ends, &mut plain, Self::explain);
        buffers.give_back(batch.sealed);
        match opened {
            Ok(()) => OpenedBatch { plain, failure: None },
            Err(Failure { verified, error }) => {
                plain[verified..].fill(0);
                plain.truncate(verified);
                OpenedBatch {
                    plain,
                    failure: Some(error),
                }
            }
        }
    }

    /// The error of a chunk that does not open. If a prefix of it opens as a final chunk, the object is complete and
    /// other bytes follow it. The search only makes the error more precise, and decides nothing else.
    fn explain(&self, index: ChunkIndex, sealed: &[u8]) -> Error {
        // Where a component ends, the manifest says.
        if self.component.is_some() {
            return self.altered(index, sealed);
        }
        let longest = sealed.len().min(self.layout.chunk_len() + TAG_LEN - 1);
        match self.cipher.find_end(index, &sealed[..longest]) {
            Some(end) if end < sealed.len() => Error::TrailingData {
                offset: self.offset(index) + end as u64,
            },
            _ => self.altered(index, sealed),
        }
    }

    fn altered(&self, index: ChunkIndex, _: &[u8]) -> Error {
        let (chunk, offset) = (index.get(), self.offset(index));
        match self.component {
            Some(component) => Error::Composite(CompositeError::ChunkAltered {
                component,
                chunk,
                offset,
            }),
            None => Error::ChunkAltered { chunk, offset },
        }
    }

    /// Where the object ends, in bytes, if a prefix of `piece` is its final chunk, `index`.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], or [`Error::Truncated`] if there are too few bytes for a final chunk.
    pub(crate) fn find_end(&self, index: ChunkIndex, piece: &[u8]) -> Result<u64> {
        if piece.len() < TAG_LEN {
            return Err(Error::Truncated {
                after: self.layout.plaintext_offset(index),
            });
        }
        let longest = piece.len().min(self.layout.chunk_len() + TAG_LEN - 1);
        let end = self.cipher.find_end(index, &piece[..longest]);
        end.map(|end| self.offset(index) + end as u64)
            .ok_or_else(|| self.altered(index, piece))
    }

    /// Whether `sealed` opens as chunk `index` into `out`, whose length is that of `sealed` minus 16 bytes.
    pub(crate) fn opens(&self, index: ChunkIndex, sealed: &[u8], out: &mut [u8]) -> bool {
        self.cipher.open(index, sealed, out).is_ok()
    }

    /// Where chunk `index` begins in the object.
    fn offset(&self, index: ChunkIndex) -> u64 {
        self.payload_start + self.layout.sealed_offset(index)
    }
}

/// Clears the output, so that nothing is released; returns the error.
fn cleared(out: &mut [u8], failure: Failure) -> Error {
    out.fill(0);
    failure.error
}

/// Why a run of chunks does not open.
struct Failure {
    /// Plaintext bytes in the chunks before the failed one.
    verified: usize,
    error: Error,
}
