//! Opens the manifest from the bytes at an object's end.

use std::ops::Range;

use subtle::ConstantTimeEq;

use super::keys::CompositeKeys;
use super::manifest::{LENGTH_LEN, Manifest, sealed_len_limits};
use crate::buffer::{buffer_len, new_buffer};
use crate::chunker::{Span, Spans};
use crate::error::{CompositeError, Error, Result};
use crate::layout::PREFIX_LEN;
use crate::positioned::{PinnedVersion, ReadAt, read_full_at};

/// What is read at first, in bytes.
const TAIL_LEN: u64 = 64 * 1024;

/// The last bytes of an object of `object_len` bytes, which usually contain its manifest.
pub(crate) fn manifest_tail(payload_start: u64, object_len: u64) -> Range<u64> {
    let start = payload_start.min(object_len);
    object_len.saturating_sub(TAIL_LEN).max(start)..object_len
}

/// Reads and opens the manifest of the object in `source`, in one read or two.
///
/// # Errors
/// As [`open_manifest`]; [`Error::SourceChanged`], [`Error::SourceVersionChanged`], [`Error::Io`].
pub(crate) fn read_manifest(
    keys: &CompositeKeys,
    payload_start: u64,
    source: &(impl ReadAt + ?Sized),
    version: &PinnedVersion,
) -> Result<Manifest> {
    let size = source.size().map_err(Error::io("asking for the input's length"))?;
    let payload_len = size.checked_sub(payload_start).ok_or(Error::Truncated { after: 0 })?;
    let tail = manifest_tail(payload_start, size);
    let bytes = read_range(source, tail.clone(), version)?;
    match open_manifest(keys, payload_start, payload_len, tail.start, &bytes) {
        Err(Error::NotFetched { start, end }) => {
            let bytes = read_range(source, start..end, version)?;
            let opened = open_manifest(keys, payload_start, payload_len, start, &bytes);
            opened.map_err(|error| match error {
                // The manifest's length was another one at the first read.
                Error::NotFetched { .. } => Error::SourceChanged { expected: size },
                other => other,
            })
        }
        opened => opened,
    }
}

fn read_range(source: &(impl ReadAt + ?Sized), range: Range<u64>, version: &PinnedVersion) -> Result<Vec<u8>> {
    let mut bytes = new_buffer(range.end - range.start)?;
    let have = read_full_at(source, &mut bytes, range.start)?;
    version.check(source)?;
    if have < bytes.len() {
        return Err(Error::SourceChanged { expected: range.end });
    }
    Ok(bytes)
}

/// Opens the manifest of a payload that begins at `payload_start` in its object and has `payload_len` bytes. `tail`
/// begins at `offset` in the object and reaches to its end.
///
/// # Errors
/// [`Error::NotFetched`] names the bytes that are needed, if `tail` does not contain them; [`Error::Truncated`];
/// [`CompositeError::ManifestLength`], [`CompositeError::ManifestAltered`], [`CompositeError::InvalidManifest`],
/// [`CompositeError::PayloadLength`].
pub(crate) fn open_manifest(
    keys: &CompositeKeys,
    payload_start: u64,
    payload_len: u64,
    offset: u64,
    tail: &[u8],
) -> Result<Manifest> {
    let end = payload_start + payload_len;
    let limits = sealed_len_limits(keys.layout(), payload_len).ok_or(Error::Truncated { after: 0 })?;
    let (before, length) = tail
        .split_last_chunk::<LENGTH_LEN>()
        .filter(|_| offset.saturating_add(tail.len() as u64) == end)
        .ok_or(Error::NotFetched {
            start: end - LENGTH_LEN as u64,
            end,
        })?;
    let sealed_len = u64::from(u32::from_be_bytes(*length));
    let possible = limits.start <= sealed_len && sealed_len <= limits.end;
    if !possible || keys.layout().plaintext_len(sealed_len).is_err() {
        let (len, limit) = (sealed_len, limits.end);
        return Err(CompositeError::ManifestLength { len, limit }.into());
    }
    let Some(start) = before.len().checked_sub(buffer_len(sealed_len)?) else {
        return Err(Error::NotFetched {
            start: end - LENGTH_LEN as u64 - sealed_len,
            end,
        });
    };
    let manifest = Manifest::parse(keys.core(), &open(keys, &before[start..])?)?;
    if manifest.payload_len() != payload_len {
        return Err(Error::Composite(CompositeError::PayloadLength {
            expected: manifest.payload_len(),
            found: payload_len,
        }));
    }
    Ok(manifest)
}

/// Opens a sealed manifest. Its length has been checked.
fn open(keys: &CompositeKeys, sealed: &[u8]) -> Result<Vec<u8>> {
    let altered = || Error::from(CompositeError::ManifestAltered);
    let (prefix, chunks) = sealed.split_first_chunk::<PREFIX_LEN>().ok_or_else(altered)?;
    let salt = prefix.first_chunk().expect("a prefix begins with a salt");
    let (opener, expected) = keys.manifest_opener(salt);
    if !bool::from(expected.ct_eq(prefix)) {
        return Err(altered());
    }
    let len = opener.layout().plaintext_len(sealed.len() as u64)?;
    let mut plain = new_buffer(len)?;
    for (span, sealed, plain) in Spans::all(opener.layout(), len)?.share(chunks, &mut plain, Span::open_lens) {
        opener
            .open(span.first, sealed, span.ends, plain)
            .map_err(|_| altered())?;
    }
    Ok(plain)
}
