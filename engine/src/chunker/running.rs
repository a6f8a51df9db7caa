//! Running parts: runs of chunks handed out in order, each as long as the caller chooses.
//!
//! ```text
//! next_part(3)   next_part(5)      last_part(any length)
//! chunk 0 .. 2   chunk 3 .. 7      chunk 8 .. and the final chunk
//! ```

use crate::buffer::buffer_len;
use crate::chunker::{Span, check_len};
use crate::error::{Error, PartError, Result};
use crate::layout::{ChunkIndex, Layout};

/// The chunks that were not handed out yet.
#[derive(Debug)]
pub(crate) struct RunningChunks {
    layout: Layout,
    /// `None` after the last possible chunk.
    next: Option<ChunkIndex>,
}

impl RunningChunks {
    pub(crate) const fn new(layout: Layout) -> Self {
        Self {
            layout,
            next: Some(ChunkIndex::ZERO),
        }
    }

    /// Hands out the next `chunks` chunks, all of them full.
    ///
    /// # Errors
    /// [`PartError::Size`] if `chunks` is 0 or more than memory can hold; [`Error::ObjectTooLarge`].
    pub(crate) fn claim(&mut self, chunks: u64) -> Result<Span> {
        let chunk_len = self.layout.chunk_len();
        let part_len = chunks.saturating_mul(chunk_len as u64);
        let wrong = PartError::Size { part_len, chunk_len };
        let plain_len = buffer_len(part_len).map_err(|_| wrong)?;
        if chunks == 0 {
            return Err(wrong.into());
        }
        let first = self.next.ok_or(Error::ObjectTooLarge)?;
        first.advance(chunks - 1)?;
        let span = self.span(first, plain_len, false)?;
        self.next = first.advance(chunks).ok();
        Ok(span)
    }

    /// Hands out all remaining chunks: those of the last `plain_len` bytes of plaintext, and the final one.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn claim_last(self, plain_len: usize) -> Result<Span> {
        let first = self.next.ok_or(Error::ObjectTooLarge)?;
        first.advance((plain_len / self.layout.chunk_len()) as u64)?;
        self.span(first, plain_len, true)
    }

    fn span(&self, first: ChunkIndex, plain_len: usize, ends: bool) -> Result<Span> {
        check_len(self.layout, first, plain_len)?;
        Ok(Span {
            first,
            plain_offset: self.layout.plaintext_offset(first),
            plain_len,
            sealed_offset: self.layout.sealed_offset(first),
            sealed_len: self.layout.sealed_len(plain_len, ends),
            ends,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ChunkSize, MAX_CHUNKS};

    #[test]
    fn chunks_are_handed_out_once_up_to_the_last_possible_one() {
        let layout = Layout::new(ChunkSize::KiB16);
        let mut running = RunningChunks::new(layout);
        assert!(matches!(running.claim(0), Err(Error::Part(PartError::Size { .. }))));
        assert!(running.claim(u64::MAX).is_err());
        let firsts = [3, 1, 7].map(|chunks| running.claim(chunks).unwrap().first.get());
        assert_eq!(firsts, [0, 3, 4]);
        assert!(running.claim(MAX_CHUNKS - 10).is_err());
        let last = running.claim_last(100).unwrap();
        assert_eq!((last.first.get(), last.ends, last.sealed_len), (11, true, 116));

        let mut full = RunningChunks::new(layout);
        full.claim(MAX_CHUNKS - 1).unwrap();
        assert!(full.claim(2).is_err());
        assert_eq!(full.claim_last(5).unwrap().first.get(), MAX_CHUNKS - 1);
    }
}
