//! Sealed objects in a store: sealed while they are uploaded, opened while they are downloaded.
//!
//! ```text
//! plaintext --component--> sealed bytes --+
//!                       padding, manifest +--> Backend                    sealing
//!
//! Backend --last 64 KiB--> manifest --which bytes--> Backend --> plaintext    reading
//! ```
//!
//! Nothing here knows of S3's requests: keys and checksums come from the layers above.

mod note;
mod reading;
mod sealing;

pub use self::note::{Checksum, ChecksumAlgorithm, Note};
pub use self::reading::{Ending, OpenObject};
pub(crate) use self::sealing::exactly;
pub use self::sealing::{Plaintext, label, seal};

use std::fmt;

use sealstone::composite::plaintext_len_of_padded;
use sealstone::format::ChunkSize;
use sealstone::{Error, Header};

use crate::backend::{BackendError, StoredObject};

/// The chunk size of every object that the gateway stores: listings derive plaintext lengths from it, so it never
/// changes. It divides S3's smallest part.
pub const CHUNK_SIZE: ChunkSize = ChunkSize::KiB64;

/// The plaintext length of a stored object, in bytes, from the length that the store reports; `None` if no object of
/// the gateway has this length.
#[must_use]
pub fn plaintext_len(stored_len: u64) -> Option<u64> {
    plaintext_len_of_padded(CHUNK_SIZE, stored_len).ok()
}

/// The sealed object's header in an object's metadata.
///
/// # Errors
/// [`ObjectError::NotSealed`] if it has none; [`ObjectError::Sealed`] if it is damaged.
pub fn header(stored: &StoredObject) -> Result<Header, ObjectError> {
    let pairs = &stored.attributes.metadata;
    if !pairs.keys().any(|key| sealstone::format::is_metadata_key(key)) {
        return Err(ObjectError::NotSealed);
    }
    let header = Header::from_metadata(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
    if header.chunk_size() != CHUNK_SIZE {
        return Err(ObjectError::NotSealed);
    }
    Ok(header)
}

/// Why an object cannot be written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ObjectError {
    /// The store refuses or fails.
    Store(BackendError),
    /// The object was not stored by the gateway: it has no header, or one of another form.
    NotSealed,
    /// It cannot be sealed or opened.
    Sealed(Error),
    /// The store returned other bytes than it was asked for, or of another version.
    OtherBytes,
}

impl From<BackendError> for ObjectError {
    fn from(error: BackendError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for ObjectError {
    fn from(error: Error) -> Self {
        Self::Sealed(error)
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::NotSealed => f.write_str("the stored object was not written by this gateway"),
            Self::Sealed(error) => error.fmt(f),
            Self::OtherBytes => f.write_str("the store returned other bytes than it was asked for"),
        }
    }
}

impl std::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Sealed(error) => Some(error),
            _ => None,
        }
    }
}
