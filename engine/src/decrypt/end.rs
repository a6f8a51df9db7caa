//! Where an object ends that other bytes follow: on a device, in a padded file.
//!
//! ```text
//! chunk 0 | chunk 1 | ... | final chunk | anything ...
//! opens     opens           does not, at its full length: its end is looked for
//! ```

use crate::error::{Error, Result};
use crate::layout::{ChunkIndex, MAX_CHUNKS, PREFIX_LEN};
use crate::opener::Opener;
use crate::positioned::{ReadAt, read_full_at};
use crate::unlocked::Unlocked;

impl Unlocked {
    /// Finds where the object in `source` ends, if other bytes may follow it: its length in bytes, or that of its
    /// payload if the header is detached. About 40 chunks are read at most.
    ///
    /// The final chunk that was found has verified, and few of those before it: open as many bytes to know the rest.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`] or [`Error::Truncated`] if no final chunk was found; [`Error::Io`].
    pub fn find_end(&self, source: &(impl ReadAt + ?Sized)) -> Result<u64> {
        find_end(source, self.opener())
    }
}

/// A more precise error, if what is wrong with the object in `source` is that other bytes follow it.
pub(crate) fn explain(source: &(impl ReadAt + ?Sized), opener: &Opener, error: Error) -> Error {
    if !matches!(error, Error::ChunkAltered { .. } | Error::Truncated { .. }) {
        return error;
    }
    match (find_end(source, opener), source.size()) {
        (Ok(end), Ok(size)) if end < size => Error::TrailingData { offset: end },
        _ => error,
    }
}

fn find_end(source: &(impl ReadAt + ?Sized), opener: &Opener) -> Result<u64> {
    let layout = opener.layout();
    let size = source.size().map_err(Error::io("asking for the input's length"))?;
    let body = size.saturating_sub(opener.payload_start() + PREFIX_LEN as u64);
    // Full chunks open up to the final one; what is read as chunks after that does not.
    let (mut first, mut end) = (0, (body / layout.sealed_chunk_len() as u64).min(MAX_CHUNKS - 1));
    while first < end {
        let middle = first + (end - first) / 2;
        if opens(source, opener, ChunkIndex::new(middle)?)? {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    let index = ChunkIndex::new(first)?;
    let piece = piece_at(source, opener, index)?;
    opener.find_end(index, &piece)
}

fn opens(source: &(impl ReadAt + ?Sized), opener: &Opener, index: ChunkIndex) -> Result<bool> {
    let sealed = piece_at(source, opener, index)?;
    let layout = opener.layout();
    let mut plain = vec![0; layout.chunk_len()];
    let opens = sealed.len() == layout.sealed_chunk_len() && opener.opens(index, &sealed, &mut plain);
    plain.fill(0);
    Ok(opens)
}

/// What `source` has where a full chunk would be.
fn piece_at(source: &(impl ReadAt + ?Sized), opener: &Opener, index: ChunkIndex) -> Result<Vec<u8>> {
    let layout = opener.layout();
    let mut piece = vec![0; layout.sealed_chunk_len()];
    let len = read_full_at(source, &mut piece, opener.payload_start() + layout.sealed_offset(index))?;
    piece.truncate(len);
    Ok(piece)
}
