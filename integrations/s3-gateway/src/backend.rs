//! Where sealed objects are stored: what the gateway asks of a store, in any form.
//!
//! ```text
//! gateway --sealed payload, Attributes--> Backend --> a directory, an S3 store
//! ```
//!
//! A backend knows nothing of keys or plaintext: every length and every range is of the stored payload, every `ETag` its
//! own. Nothing that it returns is trusted; whatever decides about plaintext is verified by the layers above.

#[cfg(unix)]
mod disk;
mod listing;
mod memory;
#[cfg(feature = "s3")]
mod s3;

#[cfg(unix)]
pub use self::disk::DiskBackend;
pub use self::memory::MemoryBackend;
#[cfg(feature = "s3")]
pub use self::s3::{ProbeError, Requirement, S3Backend, S3Config};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// The bytes of a payload on their way from or to a store.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Bytes to store, whose number is known before the first.
pub struct Body {
    /// The number of bytes. A store fails the request if `bytes` ends before or after it.
    pub len: u64,
    /// The bytes. An error aborts the request, and nothing is stored.
    pub bytes: ByteStream,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len)
    }
}

/// A stream of these bytes.
pub(crate) fn single(bytes: Bytes) -> ByteStream {
    let item = (!bytes.is_empty()).then_some(Ok(bytes));
    Box::pin(futures_util::stream::iter(item))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
            text
        })
}

/// What is stored with an object beside its payload. Nothing here is secret, and nothing is authenticated by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Standard HTTP headers, by lower-case name: those of [`CONTENT_HEADERS`].
    pub content: BTreeMap<String, String>,
    /// Metadata pairs, among them the header of the sealed object. Names are lower-case and have no prefix.
    pub metadata: BTreeMap<String, String>,
}

/// The standard headers that stores keep with an object.
pub const CONTENT_HEADERS: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// An object's tags.
pub type Tags = BTreeMap<String, String>;

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

impl Location {
    /// The object `key` in `bucket`.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
        }
    }
}

/// One version of a stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The store's `ETag`, without quotes. Two versions of an object never have the same.
    pub etag: String,
    /// The payload's length in bytes.
    pub len: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// What is stored beside the payload.
    pub attributes: Attributes,
}

/// Which bytes of a payload to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredRange {
    /// These bytes; an end after the payload's is cut off.
    Bytes(Range<u64>),
    /// The last bytes, at most this many.
    Suffix(u64),
}

impl StoredRange {
    /// The range in a payload of `len` bytes.
    pub(crate) fn within(&self, len: u64) -> Range<u64> {
        match self {
            Self::Bytes(range) => {
                let start = range.start.min(len);
                start..range.end.clamp(start, len)
            }
            Self::Suffix(last) => len.saturating_sub(*last)..len,
        }
    }
}

/// The response to a read.
pub struct StoredBytes {
    /// The object that the bytes belong to.
    pub object: StoredObject,
    /// Where the bytes are in the payload.
    pub range: Range<u64>,
    /// The bytes.
    pub bytes: ByteStream,
}

impl fmt::Debug for StoredBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBytes")
            .field("object", &self.object)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// What must be true of the object that a write replaces. Checked by the store, atomically with the write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is none.
    Absent,
    /// It has this `ETag` of the store.
    Match(String),
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRequest {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Keys that contain this after the prefix are grouped.
    pub delimiter: Option<String>,
    /// Only keys and groups after this one, in the order of their bytes.
    pub start_after: Option<String>,
    /// Continues a listing: [`ListPage::next`].
    pub token: Option<String>,
    /// At most this many keys and groups, from 1 to 1,000.
    pub max: usize,
}

/// A page of a listing, in the order of the keys' bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// The groups, each with the delimiter at its end.
    pub prefixes: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

impl ListPage {
    /// The last key or group.
    pub(crate) fn last(&self) -> Option<String> {
        let key = self.objects.last().map(|object| &object.key);
        key.max(self.prefixes.last()).cloned()
    }
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The object's key.
    pub key: String,
    /// As [`StoredObject::etag`].
    pub etag: String,
    /// The payload's length in bytes.
    pub len: u64,
    /// When it was stored.
    pub modified: SystemTime,
}

/// A part of an upload, as its completion names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1 to 10,000.
    pub number: u16,
    /// The `ETag` that [`Backend::put_part`] returned.
    pub etag: String,
}

/// A multipart upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUpload {
    /// The key of its object.
    pub key: String,
    /// Its id in the store.
    pub id: String,
    /// When it began.
    pub began: SystemTime,
}

/// A store of sealed payloads.
///
/// Writes are atomic and durable: when a method returns, the whole object is stored, and until then the old one is.
/// A future that is dropped leaves the old object or the new.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The buckets, with the time of their creation, in the order of their names.
    async fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError>;

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`BackendError::BucketExists`].
    async fn create_bucket(&self, bucket: &str) -> Result<(), BackendError>;

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::BucketNotEmpty`].
    async fn delete_bucket(&self, bucket: &str) -> Result<(), BackendError>;

    /// When the bucket was created, if the store knows.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    async fn head_bucket(&self, bucket: &str) -> Result<Option<SystemTime>, BackendError>;

    /// Stores an object, and returns its `ETag`.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::Precondition`].
    async fn put(
        &self,
        at: &Location,
        body: Body,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<String, BackendError>;

    /// Looks an object up.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`].
    async fn head(&self, at: &Location) -> Result<StoredObject, BackendError>;

    /// Reads bytes of an object; with `etag`, of that version only.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`], [`BackendError::Precondition`].
    async fn get(&self, at: &Location, range: StoredRange, etag: Option<&str>) -> Result<StoredBytes, BackendError>;

    /// Deletes an object. It is no error if there is none.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::Precondition`].
    async fn delete(&self, at: &Location, condition: Condition) -> Result<(), BackendError>;

    /// Stores the payload of the version `etag` of `from` at `to` as well, with other attributes, and without moving it
    /// through this process. Onto itself, it changes the attributes. Returns the new object's `ETag`, which is `etag`
    /// where the store keeps it. The tags are copied if `tags` is `None`.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`], [`BackendError::Precondition`].
    async fn copy(
        &self,
        from: &Location,
        etag: &str,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError>;

    /// Lists objects.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    async fn list(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError>;

    /// An object's tags.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`].
    async fn tags(&self, at: &Location) -> Result<Tags, BackendError>;

    /// Replaces an object's tags.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`], [`BackendError::NoSuchKey`].
    async fn set_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError>;

    /// Begins a multipart upload, and returns its id in the store.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    async fn create_upload(&self, at: &Location, attributes: Attributes, tags: Tags) -> Result<String, BackendError>;

    /// Uploads a part, and returns its `ETag`. A part that was uploaded before under the number is replaced.
    ///
    /// # Errors
    /// [`BackendError::NoSuchUpload`].
    async fn put_part(&self, at: &Location, upload: &str, number: u16, body: Body) -> Result<String, BackendError>;

    /// Makes the object of these parts, in this order, and returns its `ETag`. Each part must be the one that has the
    /// `ETag` given; all but the last have at least 5 MiB.
    ///
    /// # Errors
    /// [`BackendError::NoSuchUpload`], [`BackendError::InvalidPart`], [`BackendError::Precondition`].
    async fn complete_upload(
        &self,
        at: &Location,
        upload: &str,
        parts: &[UploadedPart],
        condition: Condition,
    ) -> Result<String, BackendError>;

    /// Drops an upload and its parts.
    ///
    /// # Errors
    /// [`BackendError::NoSuchUpload`].
    async fn abort_upload(&self, at: &Location, upload: &str) -> Result<(), BackendError>;

    /// The uploads of a bucket that are in progress, whose ids may have been lost; none if the store cannot list them.
    ///
    /// # Errors
    /// [`BackendError::NoSuchBucket`].
    async fn uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        let _ = bucket;
        Ok(Vec::new())
    }
}

/// Why a store refuses a request, or fails.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendError {
    /// The bucket does not exist.
    NoSuchBucket,
    /// The object does not exist.
    NoSuchKey,
    /// The upload does not exist: it was completed or aborted.
    NoSuchUpload,
    /// A part of a completion does not exist, or has another `ETag`.
    InvalidPart,
    /// The bucket exists already.
    BucketExists,
    /// The bucket contains objects.
    BucketNotEmpty,
    /// The object's version is not the expected one.
    Precondition,
    /// The store takes no name of this form.
    InvalidName(String),
    /// The object or part is larger than the store takes in one request.
    TooLarge(String),
    /// The attributes are larger than the store keeps with an object.
    MetadataTooLarge(String),
    /// The store does not allow it.
    Denied(String),
    /// The store cannot do it.
    Unsupported(String),
    /// The store is full.
    Full,
    /// The store asks for fewer requests.
    Throttled(String),
    /// The store cannot be reached, or does not respond in time.
    Unavailable(String),
    /// The body to store failed, or has another length.
    Body(io::Error),
    /// Anything else.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchBucket => f.write_str("the bucket does not exist"),
            Self::NoSuchKey => f.write_str("the object does not exist"),
            Self::NoSuchUpload => f.write_str("the upload does not exist"),
            Self::InvalidPart => f.write_str("a part does not exist, or was uploaded again"),
            Self::BucketExists => f.write_str("the bucket exists"),
            Self::BucketNotEmpty => f.write_str("the bucket contains objects"),
            Self::Precondition => f.write_str("the object has changed"),
            Self::InvalidName(name) => write!(f, "the store does not take the name {name:?}"),
            Self::TooLarge(reason) => write!(f, "the store does not take as much in one request: {reason}"),
            Self::MetadataTooLarge(reason) => write!(f, "the store does not keep attributes of this size: {reason}"),
            Self::Denied(reason) => write!(f, "the store does not allow it: {reason}"),
            Self::Unsupported(reason) => write!(f, "the store cannot do it: {reason}"),
            Self::Full => f.write_str("the store is full"),
            Self::Throttled(reason) => write!(f, "the store throttles requests: {reason}"),
            Self::Unavailable(reason) => write!(f, "the store is unavailable: {reason}"),
            Self::Body(error) => write!(f, "the bytes to store: {error}"),
            Self::Other(error) => write!(f, "the store: {error}"),
        }
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body(error) => Some(error),
            Self::Other(error) => Some(&**error),
            _ => None,
        }
    }
}
