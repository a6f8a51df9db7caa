//! Seeking. The end is verified first, so that positions are never relative to an unverified end.

use std::io::SeekFrom;

use super::{End, OpenMachine};
use crate::batch::batch_memory;
use crate::chunker::{Span, Spans};
use crate::error::{Error, Result};
use crate::executor::Ordered;

impl OpenMachine {
    /// The plaintext's length, if it was verified.
    pub(crate) const fn verified_len(&self) -> Option<u64> {
        self.verified_len
    }

    /// The final chunk of an object of `object_len` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if no object has that length; [`Error::ObjectTooLarge`].
    pub(crate) fn final_span(&self, object_len: u64) -> Result<Span> {
        let payload_len = self.opener.payload_len(object_len)?;
        let len = self.opener.layout().plaintext_len(payload_len)?;
        let last = Spans::last(self.opener.layout(), len)?.next();
        Ok(last.expect("every payload has a final chunk"))
    }

    /// Opens the final chunk; returns the plaintext's length. `sealed` holds the bytes that the source had of the
    /// chunk.
    ///
    /// # Errors
    /// [`Error::SourceChanged`], [`Error::ChunkAltered`], [`Error::TrailingData`].
    pub(crate) fn verify_end(&mut self, object_len: u64, span: Span, sealed: &[u8]) -> Result<u64> {
        if sealed.len() < span.sealed_len {
            return Err(Error::SourceChanged { expected: object_len });
        }
        let mut plain = vec![0; span.plain_len];
        self.opener.open_explained(span.first, sealed, span.ends, &mut plain)?;
        Ok(*self.verified_len.insert(span.plain_offset + span.plain_len as u64))
    }

    /// The position that a seek leads to; `None` before the start.
    pub(crate) fn target(&self, seek: SeekFrom, verified_len: u64) -> Option<u64> {
        match seek {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => verified_len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        }
    }

    /// Makes the byte at plaintext offset `position` the next one; returns the offset in the object to continue reading
    /// the source from.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`].
    pub(crate) fn move_to(&mut self, position: u64, verified_len: u64) -> Result<u64> {
        let layout = self.opener.layout();
        // From the end on, nothing has to be read, and the end is verified.
        let within = position.min(verified_len);
        let chunk = layout.chunk_at(within)?;
        self.opening = Ordered::new(self.executor.clone(), batch_memory(layout));
        self.have = 0;
        self.end = (position >= verified_len).then_some(End::Complete);
        self.next = chunk;
        self.upcoming = None;
        self.current.truncate(0);
        (self.given, self.position) = (0, position);
        self.skip = usize::try_from(within - layout.plaintext_offset(chunk)).map_err(|_| Error::ObjectTooLarge)?;
        Ok(self.source_offset(layout.sealed_offset(chunk)))
    }

    /// Where a byte of the payload is in the object.
    pub(crate) fn source_offset(&self, payload_offset: u64) -> u64 {
        self.opener.payload_start() + payload_offset
    }

    pub(super) fn source_changed(&self) -> Error {
        let payload_len = self.verified_len.map(|len| self.opener.layout().payload_len(len));
        match payload_len {
            Some(Ok(len)) => Error::SourceChanged {
                expected: self.source_offset(len),
            },
            Some(Err(error)) => error,
            None => unreachable!("a seek verifies the end first, and a range skips less than its first chunk has"),
        }
    }
}
