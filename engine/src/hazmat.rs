//! Sealing and opening under keys of the caller's choice. Misuse destroys both secrecy and integrity.
//!
//! Requirements: a data key is 32 uniformly random bytes; a salt is random, and is never used again with the same data
//! key. Two payloads sealed under the same data key and salt repeat every nonce.
//!
//! For tests with fixed vectors, and for programs that hold an object's data key but have no provider.

use crate::buffer::new_buffer;
use crate::chunker::{Span, Spans};
use crate::cipher::{Backend, ChunkCipher};
use crate::data_key::{ContentKeys, DataKey};
use crate::encrypt::{Encryptor, NewObject};
use crate::error::{Error, Result};
use crate::layout::{ChunkSize, Layout, PREFIX_LEN, SALT_LEN};
use crate::opener::Opener;
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
