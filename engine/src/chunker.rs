//! The only place that assigns chunk indices. No index is assigned twice, so no nonce is used twice.
//!
//! ```text
//! length unknown   bytes -> Chunker -> PlainBatch 0, PlainBatch 1, ..., the batch that ends
//! in parts         PartClaims -> PartChunker -> PlainBatch ...      (each part claimed once, in any order)
//! in running parts RunningChunks -> Span, Span, ..., the span that ends      (claimed in order, sealed in any)
//! length known     SpanCursor -> Span 0, Span 1, ..., the span that ends      (claimed by any thread, once each)
//! ```

mod parts;
mod running;

use std::mem;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

pub(crate) use self::parts::{PartChunker, PartClaims};
pub(crate) use self::running::RunningChunks;

use crate::batch::{PlainBatch, Slab, chunks_per_batch};
use crate::error::{Error, Result};
use crate::layout::{ChunkIndex, Layout, MAX_PLAINTEXT_LEN, TAG_LEN};

/// Cuts a stream of plaintext into numbered batches.
#[derive(Debug)]
pub(crate) struct Chunker {
    layout: Layout,
    /// The index of the first chunk in `pending`; `None` after the last possible chunk.
    next: Option<ChunkIndex>,
    pending: Slab,
}

impl Chunker {
    pub(crate) fn new(layout: Layout) -> Self {
        Self::starting_at(layout, ChunkIndex::ZERO)
    }

    /// A chunker whose first chunk is `first`; only `parts` may choose that.
    fn starting_at(layout: Layout, first: ChunkIndex) -> Self {
        Self {
            layout,
            next: Some(first),
            pending: Slab::default(),
        }
    }

    fn batch_len(&self) -> usize {
        chunks_per_batch(self.layout) * self.layout.chunk_len()
    }

    /// Takes bytes from the front of `input` until a batch is full, and returns that batch; `None` if `input` ends
    /// first.
    /// `spare` returns the buffer that the next batch begins in.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn push(&mut self, input: &mut &[u8], spare: impl FnOnce() -> Slab) -> Result<Option<PlainBatch>> {
        let room = self.batch_len() - self.pending.len();
        let (head, rest) = input.split_at(room.min(input.len()));
        self.pending.append(head);
        *input = rest;
        if self.pending.len() < self.batch_len() {
            return Ok(None);
        }
        self.take(self.batch_len(), spare()).map(Some)
    }

    /// Assigns indices to the complete chunks at the front of the next `available` bytes, at most one batch, so that
    /// they can be sealed without a copy. Returns the first index and their length in bytes; `None` if bytes are
    /// pending, which come first, or if there are too few for this to be worthwhile.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn claim(&mut self, available: usize) -> Result<Option<(ChunkIndex, usize)>> {
        /// With shorter runs, sinks would be called too often.
        const FEWEST_BYTES: usize = 64 * 1024;
        let len = available.min(self.batch_len()) / self.layout.chunk_len() * self.layout.chunk_len();
        if !self.pending.is_empty() || len < FEWEST_BYTES {
            return Ok(None);
        }
        self.assign(len).map(|first| Some((first, len)))
    }

    /// Takes the complete chunks that are pending, if there are any. A partial chunk stays.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn take_complete(&mut self) -> Result<Option<PlainBatch>> {
        let complete = self.pending.len() / self.layout.chunk_len() * self.layout.chunk_len();
        if complete == 0 {
            return Ok(None);
        }
        self.take(complete, Slab::default()).map(Some)
    }

    /// Returns the batch that ends the payload: the pending bytes. Its last chunk is shorter than a full one.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn finish(self) -> Result<PlainBatch> {
        let first = self.next.ok_or(Error::ObjectTooLarge)?;
        // The final chunk is one more, which `advance` checks against the limit.
        first.advance((self.pending.len() / self.layout.chunk_len()) as u64)?;
        check_len(self.layout, first, self.pending.len())?;
        Ok(PlainBatch {
            first,
            plain: self.pending,
            ends: true,
        })
    }

    /// Takes the first `len` pending bytes, whole chunks; the rest is moved into `next_buffer`.
    fn take(&mut self, len: usize, mut next_buffer: Slab) -> Result<PlainBatch> {
        let first = self.assign(len)?;
        next_buffer.truncate(0);
        next_buffer.append(&self.pending[len..]);
        let mut plain = mem::replace(&mut self.pending, next_buffer);
        plain.truncate(len);
        Ok(PlainBatch {
            first,
            plain,
            ends: false,
        })
    }

    /// Assigns indices to the whole chunks in the next `len` bytes; returns the first index.
    fn assign(&mut self, len: usize) -> Result<ChunkIndex> {
        let first = self.next.ok_or(Error::ObjectTooLarge)?;
        let chunks = (len / self.layout.chunk_len()) as u64;
        first.advance(chunks - 1)?;
        check_len(self.layout, first, len)?;
        self.next = first.advance(chunks).ok();
        Ok(first)
    }
}

fn check_len(layout: Layout, first: ChunkIndex, len: usize) -> Result<()> {
    if layout.plaintext_offset(first) + len as u64 > MAX_PLAINTEXT_LEN {
        return Err(Error::ObjectTooLarge);
    }
    Ok(())
}

/// A run of consecutive chunks of a payload of known length: the work of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: ChunkIndex,
    /// Where its plaintext begins, in bytes.
    pub(crate) plain_offset: u64,
    pub(crate) plain_len: usize,
    /// Where its sealed bytes begin, in bytes of the payload.
    pub(crate) sealed_offset: u64,
    pub(crate) sealed_len: usize,
    /// Whether its last chunk is the payload's final one.
    pub(crate) ends: bool,
}

impl Span {
    /// The lengths of input and output when sealing.
    pub(crate) const fn seal_lens(&self) -> (usize, usize) {
        (self.plain_len, self.sealed_len)
    }

    /// The lengths of input and output when opening.
    pub(crate) const fn open_lens(&self) -> (usize, usize) {
        (self.sealed_len, self.plain_len)
    }
}

/// The spans of a run of chunks, in order.
#[derive(Debug)]
pub(crate) struct Spans {
    layout: Layout,
    plaintext_len: u64,
    /// The chunks not yet returned.
    chunks: Range<u64>,
    chunk_count: u64,
}

impl Spans {
    /// The spans of a whole payload.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn all(layout: Layout, plaintext_len: u64) -> Result<Self> {
        let chunk_count = layout.chunk_count(plaintext_len)?;
        Ok(Self {
            layout,
            plaintext_len,
            chunks: 0..chunk_count,
            chunk_count,
        })
    }

    /// The spans of the chunks to open for `range`, which is within the plaintext: [`Layout::chunks_for`].
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn covering(layout: Layout, plaintext_len: u64, range: Range<u64>) -> Result<Self> {
        Ok(Self {
            chunks: layout.chunks_for(range, plaintext_len)?,
            ..Self::all(layout, plaintext_len)?
        })
    }

    /// The span of the final chunk alone.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn last(layout: Layout, plaintext_len: u64) -> Result<Self> {
        let mut spans = Self::all(layout, plaintext_len)?;
        spans.chunks.start = spans.chunk_count - 1;
        Ok(spans)
    }

    /// Splits two buffers, which all spans together fill, into one part of each for every span. `lens` returns the
    /// lengths of a span's two parts.
    pub(crate) fn share<'a>(
        self,
        mut from: &'a [u8],
        mut to: &'a mut [u8],
        lens: impl Fn(&Span) -> (usize, usize),
    ) -> Vec<(Span, &'a [u8], &'a mut [u8])> {
        self.map(|span| {
            let (from_len, to_len) = lens(&span);
            let (from_part, from_rest) = from.split_at(from_len);
            let (to_part, to_rest) = mem::take(&mut to).split_at_mut(to_len);
            (from, to) = (from_rest, to_rest);
            (span, from_part, to_part)
        })
        .collect()
    }

    fn step(&self) -> u64 {
        chunks_per_batch(self.layout) as u64
    }

    fn span(&self, first: u64, end: u64) -> Span {
        let ends = end == self.chunk_count;
        let first = ChunkIndex::new(first).expect("within a checked chunk count");
        let plain_offset = self.layout.plaintext_offset(first);
        let plain_end = if ends {
            self.plaintext_len
        } else {
            end * self.layout.chunk_len() as u64
        };
        let plain_len = usize::try_from(plain_end - plain_offset).expect("a batch fits into memory");
        let chunks = usize::try_from(end - first.get()).expect("a batch fits into memory");
        Span {
            first,
            plain_offset,
            plain_len,
            sealed_offset: self.layout.sealed_offset(first),
            sealed_len: plain_len + chunks * TAG_LEN,
            ends,
        }
    }
}

impl Iterator for Spans {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let first = self.chunks.start;
        if first >= self.chunks.end {
            return None;
        }
        let end = first.saturating_add(self.step()).min(self.chunks.end);
        self.chunks.start = end;
        Some(self.span(first, end))
    }
}

/// Hands out each item once, to any thread.
#[derive(Debug)]
pub(crate) struct Cursor<I>(Mutex<I>);

impl<I: Iterator> Cursor<I> {
    pub(crate) const fn new(items: I) -> Self {
        Self(Mutex::new(items))
    }

    /// The next unclaimed item; `None` if all are claimed.
    pub(crate) fn claim(&self) -> Option<I::Item> {
        // A panic in an iterator of ours would be a panic of the caller's work, too, which ends it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ChunkSize, MAX_CHUNKS};
    use proptest::prelude::*;

    const C: usize = 16 * 1024;

    fn layout() -> Layout {
        Layout::new(ChunkSize::KiB16)
    }

    /// All batches of `len` bytes pushed in steps, with a flush after each step if requested.
    fn batches(len: usize, step: usize, flush: bool) -> Vec<PlainBatch> {
        let mut chunker = Chunker::new(layout());
        let plain: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut batches = Vec::new();
        for mut piece in plain.chunks(step) {
            while !piece.is_empty() {
                batches.extend(chunker.push(&mut piece, Slab::default).unwrap());
            }
            if flush {
                batches.extend(chunker.take_complete().unwrap());
            }
        }
        batches.push(chunker.finish().unwrap());
        let joined: Vec<u8> = batches.iter().flat_map(|batch| batch.plain.iter().copied()).collect();
        assert!(joined == plain);
        batches
    }

    #[test]
    fn indices_follow_each_other_whatever_the_steps() {
        for len in [
            0,
            1,
            C - 1,
            C,
            C + 1,
            16 * C - 1,
            16 * C,
            16 * C + 1,
            40 * C,
            40 * C + 5,
        ] {
            for (step, flush) in [(1000, false), (C, true), (C + 1, true), (100 * C, false)] {
                let mut expected = 0;
                let all = batches(len, step, flush);
                for (number, batch) in all.iter().enumerate() {
                    assert_eq!(batch.first.get(), expected);
                    assert_eq!(batch.ends, number == all.len() - 1);
                    assert!(batch.ends || (batch.plain.len() % C == 0 && !batch.plain.is_empty()));
                    expected += (batch.plain.len() / C) as u64;
                }
            }
        }
    }

    #[test]
    fn claimed_and_gathered_chunks_are_numbered_together() {
        let mut chunker = Chunker::new(layout());
        // Too few bytes; then whole chunks, at most a batch of them.
        assert!(chunker.claim(4 * C - 1).unwrap().is_none());
        assert_eq!(chunker.claim(4 * C + 1).unwrap(), Some((ChunkIndex::ZERO, 4 * C)));
        let claimed = chunker.claim(100 * C).unwrap().unwrap();
        assert_eq!((claimed.0.get(), claimed.1), (4, 16 * C));
        // Pending bytes come first.
        assert!(
            chunker
                .push(&mut [0; C + 1].as_slice(), Slab::default)
                .unwrap()
                .is_none()
        );
        assert!(chunker.claim(100 * C).unwrap().is_none());
        assert_eq!(chunker.take_complete().unwrap().unwrap().first.get(), 20);
        assert_eq!(chunker.finish().unwrap().first.get(), 21);
    }

    #[test]
    fn the_last_index_is_assigned_once_and_no_index_after_it() {
        let at = |index| Chunker {
            layout: layout(),
            next: ChunkIndex::new(index).ok(),
            pending: {
                let mut slab = Slab::default();
                slab.append(&[0; C]);
                slab
            },
        };
        let mut chunker = at(MAX_CHUNKS - 2);
        assert_eq!(chunker.take_complete().unwrap().unwrap().first.get(), MAX_CHUNKS - 2);
        assert_eq!(chunker.finish().unwrap().first.get(), MAX_CHUNKS - 1);

        // A full chunk in the last place leaves none for the final chunk, and exceeds 4 PiB - 1 byte.
        assert!(matches!(at(MAX_CHUNKS - 1).take_complete(), Err(Error::ObjectTooLarge)));
        assert!(matches!(at(MAX_CHUNKS - 1).finish(), Err(Error::ObjectTooLarge)));
        assert!(matches!(at(MAX_CHUNKS).finish(), Err(Error::ObjectTooLarge)));

        let mut chunker = at(MAX_CHUNKS - 2);
        chunker.pending = Slab::default();
        assert!(matches!(chunker.claim(4 * C), Err(Error::ObjectTooLarge)));
    }

    #[test]
    fn a_cursor_hands_every_span_to_one_of_many_threads() {
        let plaintext_len = 1000 * C as u64 + 5;
        let cursor = Cursor::new(Spans::all(layout(), plaintext_len).unwrap());
        let mut claimed: Vec<Span> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| std::iter::from_fn(|| cursor.claim()).collect::<Vec<_>>()))
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        claimed.sort_by_key(|span| span.first);
        assert!(claimed.iter().copied().eq(Spans::all(layout(), plaintext_len).unwrap()));
        assert!(cursor.claim().is_none());
    }

    proptest! {
        #[test]
        fn spans_tile_the_plaintext_and_the_payload(size in 0usize..4, len in 0u64..80_000_000) {
            let layout = Layout::new(ChunkSize::ALL[size]);
            let (mut plain, mut sealed) = (0, layout.sealed_offset(ChunkIndex::ZERO));
            let mut ended = false;
            for span in Spans::all(layout, len).unwrap() {
                prop_assert!(!ended);
                prop_assert_eq!(span.plain_offset, plain);
                prop_assert_eq!(span.sealed_offset, sealed);
                plain += span.plain_len as u64;
                sealed += span.sealed_len as u64;
                ended = span.ends;
            }
            prop_assert!(ended);
            prop_assert_eq!(plain, len);
            prop_assert_eq!(sealed, layout.payload_len(len).unwrap());
        }
    }
}
