//! Sealing and opening under keys of the caller's choice. Misuse destroys both secrecy and integrity.
//!
//! Requirements: a data key is 32 uniformly random bytes; a salt is random, and is never used again with the same data
//! key. Two payloads sealed under the same data key and salt repeat every nonce.
//!
//! For tests with fixed vectors, and for programs that hold an object's data key but have no provider.

use std::sync::Arc;

use crate::buffer::new_buffer;
use crate::chunker::{PartClaims, Span, Spans};
use crate::cipher::{Backend, ChunkCipher};
use crate::data_key::{ContentKeys, DataKey};
use crate::encrypt::parts::{PartWriter, SealedPart};
use crate::encrypt::{Encryptor, NewObject, Shared};
use crate::error::{Error, Result};
use crate::layout::{ChunkSize, Layout, PREFIX_LEN, SALT_LEN};
use crate::opener::Opener;
use crate::progress::Progress;
use crate::sealer::Sealer;
use crate::suite::Suite;

/// The parameters of a payload that it does not store.
#[derive(Debug, Clone, Copy)]
pub struct PayloadParameters<'a> {
    /// The AEAD.
    pub suite: Suite,
    /// The chunk size.
    pub chunk_size: ChunkSize,
    /// The `context` input of C2SP chunked encryption.
    pub context: &'a [u8],
    /// The implementation of the AEAD.
    pub backend: Backend,
}

/// Begins a new object under this data key and salt. The encryptor's providers wrap the data key.
///
/// # Errors
/// As [`Encryptor::begin`].
pub fn begin(encryptor: &Encryptor, data_key: &DataKey, salt: [u8; SALT_LEN]) -> Result<NewObject> {
    pollster::block_on(encryptor.begin_with(data_key, salt))
}

/// Seals a payload, without a header.
///
/// # Errors
/// [`Error::ObjectTooLarge`].
pub fn seal_payload(
    data_key: &DataKey,
    salt: [u8; SALT_LEN],
    parameters: PayloadParameters<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let (layout, keys) = derive(data_key, &salt, parameters);
    let sealer = Sealer::new(ChunkCipher::new(parameters.backend, parameters.suite, &keys), layout);
    let mut payload = new_buffer(layout.payload_len(plaintext.len() as u64)?)?;
    payload[..SALT_LEN].copy_from_slice(&salt);
    payload[SALT_LEN..PREFIX_LEN].copy_from_slice(keys.commitment());
    let spans = Spans::all(layout, plaintext.len() as u64)?;
    for (span, plain, sealed) in spans.share(plaintext, &mut payload[PREFIX_LEN..], Span::seal_lens) {
        sealer.seal(span.first, plain, span.ends, sealed)?;
    }
    Ok(payload)
}

/// A part's position in its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlace {
    /// The part's number, from 0.
    pub number: u64,
    /// Bytes of plaintext in every part but the last: a multiple of the chunk size, the same for all parts.
    pub part_len: u64,
    /// Whether it is the last part, which may have less plaintext, or none.
    pub ends: bool,
}

/// Seals one part of a payload, for workers in several processes that share an object's data key and salt. Part 0
/// begins with the payload's first 56 bytes. The parts joined in order are the payload that [`seal_payload`] returns.
///
/// Nothing here checks the following requirements. All parts are sealed with the same `part_len` and parameters. Under
/// one data key and salt, each number is sealed once, or again with exactly the same plaintext. Exactly one part is the
/// last, and no part after it is ever sealed. If a worker may have failed after its sealed bytes left it, and cannot
/// prove that its plaintext is still the same, start the object again under another data key. Within one process,
/// [`NewObject::parts`] ensures all of this.
///
/// # Errors
/// [`PartError::Size`](crate::error::PartError::Size), [`PartError::Length`](crate::error::PartError::Length),
/// [`Error::ObjectTooLarge`].
pub fn seal_part(
    data_key: &DataKey,
    salt: [u8; SALT_LEN],
    parameters: PayloadParameters<'_>,
    place: PartPlace,
    plaintext: &[u8],
) -> Result<SealedPart> {
    let (layout, keys) = derive(data_key, &salt, parameters);
    let shared = Arc::new(Shared {
        claims: PartClaims::new(layout, place.part_len)?,
        sealer: Sealer::new(ChunkCipher::new(parameters.backend, parameters.suite, &keys), layout),
        start: [&salt[..], keys.commitment()].concat().into(),
        progress: Progress::new(),
    });
    let part = PartWriter::new(shared, place.number)?;
    if place.ends {
        part.seal_last(plaintext)
    } else {
        part.seal(plaintext)
    }
}

/// Opens a payload, without a header.
///
/// # Errors
/// [`Error::CommitmentMismatch`], [`Error::Truncated`], [`Error::ChunkAltered`], [`Error::TrailingData`].
pub fn open_payload(data_key: &DataKey, parameters: PayloadParameters<'_>, payload: &[u8]) -> Result<Vec<u8>> {
    let (salt, rest) = payload.split_first_chunk().ok_or(Error::Truncated { after: 0 })?;
    let (commitment, chunks) = rest.split_first_chunk().ok_or(Error::Truncated { after: 0 })?;
    let (layout, keys) = derive(data_key, salt, parameters);
    if !keys.commits_to(commitment) {
        return Err(Error::CommitmentMismatch {
            slot: "the caller's data key".into(),
        });
    }
    let opener = Opener::new(ChunkCipher::new(parameters.backend, parameters.suite, &keys), layout, 0);
    let mut plaintext = new_buffer(layout.plaintext_len(payload.len() as u64)?)?;
    let spans = Spans::all(layout, plaintext.len() as u64)?;
    for (span, sealed, plain) in spans.share(chunks, &mut plaintext, Span::open_lens) {
        opener.open_explained(span.first, sealed, span.ends, plain)?;
    }
    Ok(plaintext)
}

fn derive(data_key: &DataKey, salt: &[u8; SALT_LEN], parameters: PayloadParameters<'_>) -> (Layout, ContentKeys) {
    let PayloadParameters {
        suite,
        chunk_size,
        context,
        ..
    } = parameters;
    let keys = ContentKeys::derive(data_key, suite, chunk_size, salt, context);
    (Layout::new(chunk_size), keys)
}
