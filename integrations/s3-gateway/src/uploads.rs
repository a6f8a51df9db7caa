//! Multipart uploads. All that the gateway knows of one is in the store, so that any instance continues it.
//!
//! ```text
//! .sealstone/uploads/TOKEN/upload            the sealed object's header and the store's upload id, sealed under the ring
//!                         /parts/PART        empty: its name has the receipt of a part, where its sealed bytes are, and
//!                                            its checksum, masked
//!                         /staged/ID         the sealed bytes of a part that is too short for any but the last
//!
//! completion: parts of the store's upload, and as its last one: a staged part | padding | manifest
//! ```
//!
//! The client's upload id has the token and the header's commitment. What the store says of an upload is not trusted:
//! the header is sealed under the ring and compared with the commitment, lengths come from receipts, and a part is the
//! one whose `ETag` the client names.

mod completion;
mod control;
mod part;
mod secret;
mod sweep;

pub use self::completion::{CompletedPart, Completion, completion_id};
pub use self::control::{Upload, UploadId};
pub use self::part::{Part, PartBytes};
pub use self::secret::UploadSecret;
pub use self::sweep::{all, sweep};

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::backend::{Attributes, Backend, BackendError, Body, Condition, ListRequest, Location, Tags, hex, single};
use crate::objects::ObjectError;

/// The least plaintext of all parts but the last, in bytes, as in S3.
pub const MIN_PART: u64 = 5 << 20;

/// The most parts of an upload, as in S3.
pub const MAX_PARTS: u16 = 10_000;

/// Where everything about uploads is.
pub(crate) const PREFIX: &str = ".sealstone/uploads/";

/// Why an upload cannot be continued.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadError {
    /// There is none with this id, or it is another object's.
    NoSuchUpload,
    /// A part does not exist, or has another `ETag` or checksum.
    InvalidPart(u16),
    /// The parts are not in ascending order.
    InvalidPartOrder,
    /// This part is too short for one that others follow.
    PartTooSmall(u16),
    /// No part number is free for the object's end.
    NoRoomForEnd,
    /// The store or the object.
    Object(ObjectError),
}

impl<E: Into<ObjectError>> From<E> for UploadError {
    fn from(error: E) -> Self {
        Self::Object(error.into())
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUpload => f.write_str("the upload does not exist"),
            Self::InvalidPart(number) => write!(f, "part {number} does not exist, or is another one"),
            Self::InvalidPartOrder => f.write_str("the parts are not in ascending order"),
            Self::PartTooSmall(number) => write!(f, "part {number} is shorter than 5 MiB, and others follow it"),
            Self::NoRoomForEnd => f.write_str("no part number is free for the end of the object"),
            Self::Object(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Object(error) => Some(error),
            _ => None,
        }
    }
}

/// Stores bytes of the gateway's own.
async fn store(backend: &dyn Backend, at: &Location, bytes: Bytes) -> Result<(), BackendError> {
    let body = Body {
        len: bytes.len() as u64,
        bytes: single(bytes),
    };
    let stored = backend.put(at, body, Attributes::default(), Tags::new(), Condition::None);
    stored.await.map(drop)
}

/// More than any upload has: each part may be uploaded ten times.
const MAX_KEYS: usize = 10 * MAX_PARTS as usize;

/// All keys that begin with `prefix`.
async fn keys(backend: &dyn Backend, bucket: &str, prefix: &str) -> Result<Vec<String>, BackendError> {
    let mut request = ListRequest {
        prefix: prefix.to_owned(),
        max: 1000,
        ..ListRequest::default()
    };
    let mut keys = Vec::new();
    loop {
        let page = backend.list(bucket, &request).await?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        request.token = page.next;
        if request.token.is_none() {
            return Ok(keys);
        }
        if keys.len() > MAX_KEYS {
            return Err(BackendError::Other("a listing of an upload does not end".into()));
        }
    }
}

/// How many of the gateway's own objects are deleted at a time.
const DELETIONS: usize = 16;

/// Deletes all keys that begin with `prefix`.
pub(crate) async fn delete_all(backend: &dyn Backend, bucket: &str, prefix: &str) -> Result<(), BackendError> {
    let deletions = keys(backend, bucket, prefix).await?.into_iter().map(|key| async move {
        let at = Location::new(bucket, key);
        match backend.delete(&at, Condition::None).await {
            Ok(()) | Err(BackendError::NoSuchKey) => Ok(()),
            Err(error) => Err(error),
        }
    });
    stream::iter(deletions).buffer_unordered(DELETIONS).try_collect().await
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}
