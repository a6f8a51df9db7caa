//! Finds the end of an object that other bytes follow: on a device, in a padded file.
//!
//! ```text
//! chunk 0 | chunk 1 | ... | final chunk | anything ...
//! opens     opens           does not open at full length: its end is searched for
//! ```

use crate::error::{CompositeError, Error, Result};
use crate::layout::{ChunkIndex, MAX_CHUNKS, PREFIX_LEN};
use crate::opener::Opener;
use crate::positioned::{ReadAt, read_full_at};
use crate::unlocked::Unlocked;

impl Unlocked {
    /// Finds the end of the object in `source`, which other bytes may follow. Returns the object's length in bytes, or
    /// its payload's if the header is detached. Reads about 40 chunks at most.
    ///
    /// The final chunk that was found has been verified, but few of the chunks before it: open that many bytes to
    /// verify the rest.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`] or [`Error::Truncated`] if no final chunk was found; [`CompositeError::NoEndSearch`];
    /// [`Error::Io`].
    pub fn find_end(&self, source: &(impl ReadAt + ?Sized)) -> Result<u64> {
        if self.is_composite() {
            return Err(CompositeError::NoEndSearch.into());
        }
        find_end(source, self.opener())
    }
}

/// Returns [`Error::TrailingData`] instead of `error` if other bytes follow the object in `source`.
pub(crate) fn explain(source: &(impl ReadAt + ?Sized), unlocked: &Unlocked, error: Error) -> Error {
    if unlocked.is_composite() || !matches!(error, Error::ChunkAltered { .. } | Error::Truncated { .. }) {
        return error;
    }
    match (find_end(source, unlocked.opener()), source.size()) {
        (Ok(end), Ok(size)) if end < size => Error::TrailingData { offset: end },
        _ => error,
    }
}

fn find_end(source: &(impl ReadAt + ?Sized), opener: &Opener) -> Result<u64> {
    let layout = opener.layout();
    let size = source.size().map_err(Error::io("asking for the input's length"))?;
    let body = size.saturating_sub(opener.payload_start() + PREFIX_LEN as u64);
    // Chunks open at full length up to the final one; nothing after that does.
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

/// The bytes of `source` where a full chunk would be; fewer at its end.
fn piece_at(source: &(impl ReadAt + ?Sized), opener: &Opener, index: ChunkIndex) -> Result<Vec<u8>> {
    let layout = opener.layout();
    let mut piece = vec![0; layout.sealed_chunk_len()];
    let len = read_full_at(source, &mut piece, opener.payload_start() + layout.sealed_offset(index))?;
    piece.truncate(len);
    Ok(piece)
}
