//! A reader that opens: an object in, verified plaintext out.
//!
//! ```text
//! source -> SealedBatch -> Ordered(Opener) -> OpenedBatch -> read
//! ```

use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;

use super::{Decryptor, plaintext_len};
use crate::batch::{BufferPool, OpenedBatch, SealedBatch, Slab, batch_memory, chunks_per_batch};
use crate::chunker::Spans;
use crate::error::{Error, Result};
use crate::executor::{Executor, Ordered};
use crate::header::AttachedHeader;
use crate::layout::{ChunkIndex, MAX_PLAINTEXT_LEN, TAG_LEN};
use crate::opener::Opener;
use crate::positioned::read_full;
use crate::progress::Progress;

/// Reads an object's plaintext from a stream.
///
/// Every byte it gives was verified, and end of file means that the final chunk was. Before that a consumer has a
/// verified beginning only: do not act on it as if it were the whole. After an error every call gives that error
/// again.
///
/// On the caller's thread, each complete chunk that the source has is given at once. With a pool, some batches of
/// 256 KiB are read ahead.
pub struct DecryptReader<R> {
    source: R,
    header: Option<AttachedHeader>,
    opener: Arc<Opener>,
    executor: Executor,
    opening: Ordered<OpenedBatch>,
    buffers: BufferPool,
    progress: Progress,
    /// The chunk that the source stands at.
    next: ChunkIndex,
    /// The beginning of that chunk, already read.
    partial: Slab,
    /// What the source's end means, once it was met.
    end: Option<End>,
    current: Slab,
    /// What to fail with when `current` was given away.
    upcoming: Option<Error>,
    /// How much of `current` was given away.
    given: usize,
    /// The plaintext offset of the byte that is given next.
    position: u64,
    /// The plaintext's length, once a seek verified the end.
    verified_len: Option<u64>,
    failed: Option<Error>,
}

/// How the source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Final,
    Truncated,
}

impl<R> DecryptReader<R> {
    pub(crate) fn new(source: R, opener: Opener, decryptor: &Decryptor, header: Option<AttachedHeader>) -> Self {
        let opening = Ordered::new(decryptor.executor.clone(), batch_memory(opener.layout()));
        Self {
            source,
            header,
            opener: Arc::new(opener),
            executor: decryptor.executor.clone(),
            buffers: BufferPool::new(2 * opening.limit()),
            opening,
            progress: decryptor.progress.clone(),
            next: ChunkIndex::ZERO,
            partial: Slab::default(),
            end: None,
            current: Slab::default(),
            upcoming: None,
            given: 0,
            position: 0,
            verified_len: None,
            failed: None,
        }
    }

    /// The attached header that the stream began with; `None` if the header was stored apart.
    #[must_use]
    pub const fn header(&self) -> Option<&AttachedHeader> {
        self.header.as_ref()
    }

    /// The plaintext offset of the byte that is read next: without seeking, the number of verified bytes given.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    fn failed(&mut self, error: Error) -> Error {
        self.failed.get_or_insert(error).clone()
    }
}

impl<R: Read> DecryptReader<R> {
    /// The next verified plaintext, as much as is there, without a copy; `None` at the verified end.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::Truncated`], [`Error::TrailingData`], [`Error::Io`].
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        if !self.fill()? {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.current).into_bytes(self.given);
        self.given = 0;
        self.position += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Makes `current` have bytes to give; `false` at the verified end.
    fn fill(&mut self) -> Result<bool> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while self.given == self.current.len() {
            let next = match self.upcoming.take() {
                Some(error) => Err(error),
                None => self.next_batch(),
            };
            match next {
                Ok(Some(batch)) => {
                    let used = std::mem::replace(&mut self.current, batch.plain);
                    self.buffers.give_back(used);
                    self.upcoming = batch.failure;
                    self.given = 0;
                }
                Ok(None) => return Ok(false),
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(true)
    }

    fn next_batch(&mut self) -> Result<Option<OpenedBatch>> {
        while self.end.is_none() && !self.opening.is_full() {
            if let Some(batch) = self.read_batch()? {
                let (opener, buffers) = (self.opener.clone(), self.buffers.clone());
                self.opening.submit(move || opener.open_batch(batch, &buffers));
            }
        }
        match (self.opening.next(), self.end) {
            (Some(batch), _) => {
                self.progress.advance(batch.plain.len())?;
                Ok(Some(batch))
            }
            (None, Some(End::Truncated)) => Err(Error::Truncated {
                after: self.opener.layout().plaintext_offset(self.next),
            }),
            (None, _) => Ok(None),
        }
    }

    /// Reads the next chunks; `None` if the source ends and has none.
    fn read_batch(&mut self) -> Result<Option<SealedBatch>> {
        let chunk_len = self.opener.layout().sealed_chunk_len();
        let full_len = chunks_per_batch(self.opener.layout()) * chunk_len;
        let mut sealed = self.buffers.take(full_len);
        sealed[..self.partial.len()].copy_from_slice(&self.partial);
        let mut filled = self.partial.len();
        while filled < full_len {
            // A pool is worth whole batches; without one, a chunk that is there is not kept waiting.
            if self.executor.is_serial() && filled >= chunk_len {
                break;
            }
            match self.source.read(&mut sealed[filled..]) {
                Ok(0) => return self.last_batch(sealed, filled),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io("reading the input", error)),
            }
        }
        let whole = filled / chunk_len * chunk_len;
        self.partial.truncate(0);
        self.partial.append(&sealed[whole..filled]);
        sealed.truncate(whole);
        self.batch(sealed, false).map(Some)
    }

    /// The batch at the source's end, where `sealed[..filled]` is all that is left.
    fn last_batch(&mut self, mut sealed: Slab, filled: usize) -> Result<Option<SealedBatch>> {
        let chunk_len = self.opener.layout().sealed_chunk_len();
        self.partial.truncate(0);
        let ends = filled % chunk_len >= TAG_LEN;
        self.end = Some(if ends { End::Final } else { End::Truncated });
        sealed.truncate(if ends { filled } else { filled / chunk_len * chunk_len });
        if sealed.is_empty() {
            return Ok(None);
        }
        self.batch(sealed, ends).map(Some)
    }

    fn batch(&mut self, sealed: Slab, ends: bool) -> Result<SealedBatch> {
        let first = self.next;
        let plain_end = self.opener.layout().plaintext_offset(first) + self.opener.plain_len(sealed.len()) as u64;
        if plain_end > MAX_PLAINTEXT_LEN {
            return Err(Error::ObjectTooLarge);
        }
        let full_chunks = sealed.len() / self.opener.layout().sealed_chunk_len();
        self.next = first.advance(full_chunks as u64)?;
        Ok(SealedBatch { first, sealed, ends })
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let available = self.fill_buf()?;
        let len = available.len().min(buf.len());
        buf[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: Read> BufRead for DecryptReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.current[self.given..])
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.current.len() - self.given);
        self.given += amount;
        self.position += amount as u64;
    }
}

impl<R: Read + Seek> DecryptReader<R> {
    /// The plaintext's length, verified by opening the final chunk.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::Truncated`], [`Error::TrailingData`], [`Error::Io`].
    pub fn verified_len(&mut self) -> Result<u64> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let position = self.position;
        self.verify_end()
            .and_then(|len| self.move_to(position).map(|()| len))
            .map_err(|error| self.failed(error))
    }

    /// Opens the final chunk if it was not yet. Leaves the source anywhere.
    fn verify_end(&mut self) -> Result<u64> {
        if let Some(len) = self.verified_len {
            return Ok(len);
        }
        let object_len = self
            .source
            .seek(SeekFrom::End(0))
            .map_err(Error::io("seeking in the input"))?;
        let len = plaintext_len(object_len, &self.opener)?;
        for span in Spans::last(self.opener.layout(), len)? {
            self.seek_source(span.sealed_offset)?;
            let mut sealed = vec![0; span.sealed_len];
            let have = read_full(&mut self.source, &mut sealed)?;
            if have < sealed.len() {
                return Err(Error::SourceChanged { expected: object_len });
            }
            let mut plain = vec![0; span.plain_len];
            self.opener.open(span.first, &sealed, span.ends, &mut plain)?;
        }
        self.verified_len = Some(len);
        Ok(len)
    }

    /// Makes the byte at plaintext offset `position` the next one.
    fn move_to(&mut self, position: u64) -> Result<()> {
        let layout = self.opener.layout();
        let len = self.verify_end()?;
        // From the end on there is nothing to read, and the end is verified.
        let chunk = layout.chunk_at(position.min(len))?;
        self.opening = Ordered::new(self.executor.clone(), batch_memory(layout));
        self.partial.truncate(0);
        self.end = (position >= len).then_some(End::Final);
        self.next = chunk;
        (self.given, self.position) = (0, position);
        self.current.truncate(0);
        self.upcoming = None;
        self.seek_source(layout.sealed_offset(chunk))?;
        let skip = position.min(len) - layout.plaintext_offset(chunk);
        if self.end.is_none() && skip > 0 && self.fill()? {
            let skip = usize::try_from(skip).map_err(|_| Error::ObjectTooLarge)?;
            if skip > self.current.len() {
                return Err(Error::SourceChanged { expected: len });
            }
            self.given = skip;
        }
        Ok(())
    }

    fn seek_source(&mut self, payload_offset: u64) -> Result<()> {
        let target = SeekFrom::Start(self.opener.payload_start() + payload_offset);
        self.source.seek(target).map_err(Error::io("seeking in the input"))?;
        Ok(())
    }
}

/// Seeks in the plaintext. The object must begin at the source's offset 0. The first seek opens the final chunk, so
/// that no position is counted from an end that was not verified.
impl<R: Read + Seek> Seek for DecryptReader<R> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        let len = self.verify_end().map_err(|error| self.failed(error))?;
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let Some(position) = position else {
            let position = self.position;
            self.move_to(position).map_err(|error| self.failed(error))?;
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a seek to before the start",
            ));
        };
        self.move_to(position).map_err(|error| self.failed(error))?;
        Ok(position)
    }
}

impl<R> fmt::Debug for DecryptReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptReader")
            .field("position", &self.position)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
