//! Why the wrapper, and not the store inside it, refused an operation.

use std::fmt;

use sealstone::Error;

/// Why an [`EncryptedStore`](crate::v0_14::EncryptedStore) refused an operation. It is the `source` of the
/// `object_store::Error` that the operation returns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreError {
    /// The store's settings are not what they seem to be.
    Settings {
        /// Why not.
        reason: &'static str,
    },
    /// A part of an upload was not sent: its future was dropped, or failed.
    MissingPart {
        /// The object's path.
        location: String,
    },
    /// The object's metadata has no header: it is not encrypted, or its header is attached.
    NoHeader {
        /// The object's path.
        location: String,
    },
    /// The object has an attached header, and this store's headers are in metadata.
    AttachedHeader {
        /// The object's path.
        location: String,
    },
    /// The object has another chunk size than the store.
    OtherChunkSize {
        /// The object's path.
        location: String,
        /// The object's chunk size, in bytes.
        found: usize,
        /// The store's, in bytes.
        expected: usize,
    },
    /// The object is a composite one, which this store does not read.
    Composite {
        /// The object's path.
        location: String,
    },
    /// No object that this store writes has the length that is stored.
    Length {
        /// The object's path.
        location: String,
        /// The stored length, in bytes.
        stored_len: u64,
    },
    /// The store listed an object that is not under the prefix.
    OutsidePrefix {
        /// The object's path, as the store has it.
        location: String,
    },
    /// The object was replaced while it was read.
    Changed {
        /// The object's path.
        location: String,
    },
    /// The inner store returned other bytes than were asked for.
    OtherBytes {
        /// The object's path.
        location: String,
    },
    /// The caller's attributes have the metadata key that the header takes.
    ReservedMetadata {
        /// The object's path.
        location: String,
    },
    /// The object's context has a key that the store's has too.
    ContextConflict {
        /// The object's path.
        location: String,
        /// The key.
        key: String,
    },
    /// A copy that must not replace anything, and that the store cannot make by itself, is too large for memory.
    CopyTooLarge {
        /// The source's path.
        location: String,
        /// The most that is held in memory, in bytes.
        limit: u64,
    },
    /// A conditional write of an object that is too large for one request: parts have no precondition.
    TooLargeToReplace {
        /// The object's path.
        location: String,
        /// The most that one request takes, in bytes.
        limit: u64,
    },
    /// The object could not be sealed or opened.
    Sealstone {
        /// The object's path.
        location: String,
        /// Why.
        error: Error,
    },
}

impl StoreError {
    pub(crate) fn sealstone(location: impl fmt::Display, error: Error) -> Self {
        Self::Sealstone {
            location: location.to_string(),
            error,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings { reason } => f.write_str(reason),
            Self::MissingPart { location } => write!(
                f,
                "{location}: a part was not sent, so the upload cannot be completed; abort it and begin again"
            ),
            Self::NoHeader { location } => write!(
                f,
                "{location}: its metadata has no sealstone header; it is not encrypted, or its header is attached"
            ),
            Self::AttachedHeader { location } => write!(
                f,
                "{location}: it is encrypted, with an attached header, which this store does not read"
            ),
            Self::OtherChunkSize {
                location,
                found,
                expected,
            } => write!(
                f,
                "{location}: it has chunks of {found} bytes, and this store's objects have {expected}"
            ),
            Self::Composite { location } => {
                write!(
                    f,
                    "{location}: it is a composite object, which this store does not read"
                )
            }
            Self::Length { location, stored_len } => write!(
                f,
                "{location}: no object of this store is {stored_len} bytes long; it is truncated, or not encrypted"
            ),
            Self::OutsidePrefix { location } => {
                write!(f, "{location}: the store listed it, but it is not under the prefix")
            }
            Self::Changed { location } => write!(f, "{location}: it was replaced while it was read; try again"),
            Self::OtherBytes { location } => {
                write!(f, "{location}: the store returned other bytes than were asked for")
            }
            Self::ReservedMetadata { location } => write!(
                f,
                "{location}: the metadata key {} is the header's; use another",
                sealstone::format::METADATA_KEY
            ),
            Self::ContextConflict { location, key } => {
                write!(
                    f,
                    "{location}: the store's encryption context already has the key {key:?}"
                )
            }
            Self::CopyTooLarge { location, limit } => write!(
                f,
                "{location}: a copy that replaces nothing goes through memory in this store, up to {limit} bytes"
            ),
            Self::TooLargeToReplace { location, limit } => write!(
                f,
                "{location}: over {limit} bytes it can only be written in parts, which have no precondition; \
                 allow that while nothing else writes"
            ),
            Self::Sealstone { location, error } => write!(f, "{location}: {error}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sealstone { error, .. } => Some(error),
            _ => None,
        }
    }
}
