//! An object whose key has been found: what can be read without another key call.
//!
//! ```text
//! Unlocked --reader-----> DecryptReader    a stream
//!          --open, _into-> bytes in memory
//!          --range_reader-> RangeReader    anywhere (see `range`)
//!          --range--------> RangeOpener    one range, fetched by the caller
//!          --open_at------> a file         (see `file`)
//! ```

mod cache;
mod manifest;
pub(crate) mod runs;

use std::fmt;
use std::io::Read;
use std::sync::Arc;

pub use self::cache::UnlockedCache;
use self::manifest::UnlockedComposite;
use self::runs::Runs;
use crate::buffer::{buffer_len, new_buffer};
use crate::composite::CompositeKeys;
use crate::decrypt::{DecryptReader, Decryptor, check_prefix, explain_end};
use crate::error::{CompositeError, Error, Result};
use crate::executor::Executor;
use crate::header::{Header, ObjectHeader};
use crate::layout::PREFIX_LEN;
use crate::opener::Opener;
use crate::positioned::{PinnedVersion, read_full};
use crate::progress::Progress;

/// How many pieces are distributed over the threads at a time: each component has its own cipher, and those of all
/// components would take tens of megabytes.
const PIECES_AT_ONCE: usize = 4096;

/// An object whose key has been found, from [`Decryptor::unlock`]. Reads the object any number of times, from any
/// thread, without another key provider call.
///
/// It holds only the keys of this object. Clones share them; they are wiped when the last clone and the last reader are
/// dropped. To revoke access to an object, drop its `Unlocked` too.
///
/// Where a method takes an *object*, that includes an attached header; if the header is detached, it is the payload
/// alone. Lengths and offsets follow the same rule.
#[derive(Clone)]
#[must_use = "nothing was read yet"]
pub struct Unlocked {
    header: Arc<ObjectHeader>,
    /// Opens a plain payload's chunks; for a composite one, only its layout and offset are used.
    opener: Arc<Opener>,
    composite: Option<UnlockedComposite>,
    executor: Executor,
    progress: Progress,
}

/// The keys that unlocking derives from a data key.
pub(crate) struct UnlockedPayload {
    pub(crate) opener: Opener,
    pub(crate) composite: Option<CompositeKeys>,
}

impl Unlocked {
    pub(crate) fn new(header: ObjectHeader, payload: UnlockedPayload, decryptor: &Decryptor) -> Self {
        Self {
            header: Arc::new(header),
            opener: Arc::new(payload.opener),
            composite: payload.composite.map(UnlockedComposite::new),
            executor: decryptor.executor.clone(),
            progress: decryptor.progress.clone(),
        }
    }

    /// Sets where chunks are opened; by default, where the decryptor opens them.
    pub fn with_executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Sets the [`Progress`] that counts plaintext bytes and can cancel operations; by default, the decryptor's.
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// The header that opened the object.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.header.header()
    }

    /// The header as it was stored, with the faults of its copies.
    #[must_use]
    pub fn object_header(&self) -> &ObjectHeader {
        &self.header
    }

    /// The plaintext's length in bytes, according to the object's length in bytes. Storage can misreport that; reading
    /// to the end verifies it.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::ObjectTooLarge`] if no object has that length. Of a composite object:
    /// [`CompositeError::ManifestNotLoaded`](crate::error::CompositeError::ManifestNotLoaded);
    /// [`CompositeError::PayloadLength`](crate::error::CompositeError::PayloadLength) if the object has another length.
    pub fn plaintext_len(&self, object_len: u64) -> Result<u64> {
        let payload_len = self.opener.payload_len(object_len)?;
        if self.is_composite() {
            return self.composite_plaintext_len(payload_len);
        }
        self.opener.layout().plaintext_len(payload_len)
    }

    /// Opens the object; returns the plaintext.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::Truncated`], [`Error::TrailingData`], [`Error::HeaderOfAnotherPayload`],
    /// [`Error::Cancelled`].
    pub fn open(&self, object: &[u8]) -> Result<Vec<u8>> {
        if self.needs_manifest() {
            return self.load_manifest(object)?.open(object);
        }
        self.check_prefix_of(object)?;
        let opened = self.plaintext_len(object.len() as u64).and_then(|len| {
            let mut plaintext = new_buffer(len)?;
            self.open_chunks(object, &mut plaintext)?;
            Ok(plaintext)
        });
        opened.map_err(|error| explain_end(object, self, error))
    }

    /// Opens the object into `plaintext`; returns the plaintext's length in bytes. After an error `plaintext` holds no
    /// plaintext.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; as [`Unlocked::open`].
    pub fn open_into(&self, object: &[u8], plaintext: &mut [u8]) -> Result<usize> {
        if self.needs_manifest() {
            return self.load_manifest(object)?.open_into(object, plaintext);
        }
        self.check_prefix_of(object)?;
        let opened = self.plaintext_len(object.len() as u64).and_then(|need| {
            if (plaintext.len() as u64) < need {
                return Err(Error::BufferTooSmall {
                    need,
                    have: plaintext.len() as u64,
                });
            }
            let len = buffer_len(need)?;
            self.open_chunks(object, &mut plaintext[..len])?;
            Ok(len)
        });
        opened.map_err(|error| explain_end(object, self, error))
    }

    /// Returns a reader of the plaintext. `payload` yields the payload: the bytes after an attached header. The
    /// payload's first 56 bytes are read at once.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::HeaderOfAnotherPayload`], [`Error::Io`].
    pub fn reader<R: Read>(&self, mut payload: R) -> Result<DecryptReader<R>> {
        self.check_streamable()?;
        let mut prefix = [0; PREFIX_LEN];
        let have = read_full(&mut payload, &mut prefix)?;
        check_prefix(self.header(), &prefix[..have])?;
        Ok(DecryptReader::after_prefix(payload, self.clone()))
    }

    /// # Errors
    /// [`CompositeError::NotSeekable`] for a composite object.
    pub(crate) fn check_streamable(&self) -> Result<()> {
        if self.is_composite() {
            return Err(CompositeError::NotSeekable.into());
        }
        Ok(())
    }

    pub(crate) const fn opener(&self) -> &Arc<Opener> {
        &self.opener
    }

    pub(crate) const fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    fn check_prefix_of(&self, object: &[u8]) -> Result<()> {
        let start = buffer_len(self.opener.payload_start())?;
        let prefix = object.get(start..).unwrap_or_default();
        check_prefix(self.header(), &prefix[..prefix.len().min(PREFIX_LEN)])
    }

    /// Opens all chunks into `plaintext`, which has the plaintext's length.
    fn open_chunks(&self, object: &[u8], plaintext: &mut [u8]) -> Result<()> {
        self.check_padding(object, &PinnedVersion::default())?;
        let opened = self.open_pieces(object, plaintext);
        if opened.is_err() {
            plaintext.fill(0);
        }
        opened
    }

    fn open_pieces(&self, object: &[u8], plaintext: &mut [u8]) -> Result<()> {
        let runs = self.all_runs(plaintext.len() as u64)?;
        self.open_runs(runs, object, 0, plaintext)
    }

    /// Opens `runs` into `plaintext`, which has the length of all their chunks. `fetched` has the object's bytes from
    /// offset `fetched_from` on, as far as they are needed.
    pub(crate) fn open_runs(&self, runs: Runs, fetched: &[u8], fetched_from: u64, plaintext: &mut [u8]) -> Result<()> {
        let mut rest = plaintext;
        let mut pieces = self.pieces(runs);
        loop {
            let mut tasks = Vec::new();
            for piece in pieces.by_ref().take(PIECES_AT_ONCE) {
                let piece = piece?;
                let (plain, after) = rest.split_at_mut(piece.span.plain_len);
                rest = after;
                let from = buffer_len(piece.offset() - fetched_from)?;
                tasks.push((
                    &fetched[from - piece.lead()..from + piece.span.sealed_len],
                    piece,
                    plain,
                ));
            }
            if tasks.is_empty() {
                return Ok(());
            }
            self.executor.try_for_each(tasks, |(read, piece, plain)| {
                piece.open(read, plain)?;
                self.progress.advance(plain.len())
            })?;
        }
    }
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocked")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
