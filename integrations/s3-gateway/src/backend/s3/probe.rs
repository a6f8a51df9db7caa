//! What a store must do for the gateway to be safe on it, tried before anything relies on it.
//!
//! Stores take conditional headers that they do not know without an error, and answer as if there were no condition. Each
//! is therefore tried with a condition that does not hold.

use std::fmt;
use std::str::FromStr;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::copy::Source;
use super::{Attributes, Backend, BackendError, Body, Condition, Location, S3Backend, StoredRange, Tags, UploadedPart};

/// The `ETag` of nothing.
const NO_ETAG: &str = "00000000000000000000000000000000";
/// About as long as the header of a sealed object, and with what base64 has.
const METADATA_LEN: usize = 1600;
const FIRST: &[u8] = b"first";
const OTHER: &[u8] = b"other";

/// What the gateway asks of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// An upload is completed of the parts with the `ETag`s named, or not at all.
    PartEtags,
    /// `If-Match` on reads.
    GetIfMatch,
    /// Ranges of the last bytes.
    SuffixRanges,
    /// Metadata are returned as they were stored, 1,600 bytes of them at least.
    Metadata,
    /// A copy of an object onto itself replaces its metadata.
    ReplacedMetadata,
    /// `If-None-Match: *` on writes.
    PutIfAbsent,
    /// `If-Match` on writes.
    PutIfMatch,
    /// `If-None-Match: *` when an upload is completed.
    CompleteIfAbsent,
    /// `If-Match` when an upload is completed.
    CompleteIfMatch,
    /// `x-amz-copy-source-if-match`.
    CopyIfMatch,
    /// `If-Match` on copies of an object onto itself.
    SelfCopyIfMatch,
    /// `If-Match` on deletions.
    DeleteIfMatch,
    /// Tags of objects.
    Tags,
}

impl Requirement {
    /// All, the most important first.
    pub const ALL: [Self; 13] = [
        Self::PartEtags,
        Self::GetIfMatch,
        Self::SuffixRanges,
        Self::Metadata,
        Self::ReplacedMetadata,
        Self::PutIfAbsent,
        Self::PutIfMatch,
        Self::CompleteIfAbsent,
        Self::CompleteIfMatch,
        Self::CopyIfMatch,
        Self::SelfCopyIfMatch,
        Self::DeleteIfMatch,
        Self::Tags,
    ];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PartEtags => "part-etags",
            Self::GetIfMatch => "get-if-match",
            Self::SuffixRanges => "suffix-ranges",
            Self::Metadata => "metadata",
            Self::ReplacedMetadata => "replaced-metadata",
            Self::PutIfAbsent => "put-if-absent",
            Self::PutIfMatch => "put-if-match",
            Self::CompleteIfAbsent => "complete-if-absent",
            Self::CompleteIfMatch => "complete-if-match",
            Self::CopyIfMatch => "copy-if-match",
            Self::SelfCopyIfMatch => "self-copy-if-match",
            Self::DeleteIfMatch => "delete-if-match",
            Self::Tags => "tags",
        }
    }

    /// Whether the gateway can run without it, if the operator says so. It then refuses requests that need it, with two
    /// exceptions:
    ///
    /// - Without [`CopyIfMatch`](Self::CopyIfMatch), it looks at the version to copy before and after the copy.
    /// - Without [`SelfCopyIfMatch`](Self::SelfCopyIfMatch), it copies an object onto itself as an upload of one part,
    ///   which needs [`PutIfMatch`](Self::PutIfMatch) and [`CompleteIfMatch`](Self::CompleteIfMatch). Without one of these
    ///   as well, a write that the store acknowledges between the gateway's look at the object and the end of the copy
    ///   can be undone: the object then has the earlier payload, with the new attributes.
    pub fn can_be_waived(self) -> bool {
        use Requirement::{CompleteIfAbsent, CompleteIfMatch, CopyIfMatch, PutIfAbsent, PutIfMatch};
        let waivable = [PutIfAbsent, PutIfMatch, CompleteIfAbsent, CompleteIfMatch, CopyIfMatch];
        waivable.contains(&self) || self.is_optional()
    }

    /// Whether it is waived in any case: many stores lack it, and the gateway has another way, or few clients ask for it.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::SelfCopyIfMatch | Self::DeleteIfMatch | Self::Tags)
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|requirement| requirement.name() == name);
        found.filter(|requirement| requirement.can_be_waived()).ok_or_else(|| {
            let all = Self::ALL.into_iter().filter(|requirement| requirement.can_be_waived());
            let all = all.map(Self::name).collect::<Vec<_>>().join(", ");
            format!("{name:?} is not one of the features that a store may lack: {all}")
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PartEtags => "check the ETags of parts when an upload is completed",
            Self::GetIfMatch => "honour If-Match on GetObject",
            Self::SuffixRanges => "return ranges of an object's last bytes",
            Self::Metadata => "keep an object's metadata",
            Self::ReplacedMetadata => "replace an object's metadata by a copy onto itself",
            Self::PutIfAbsent => "honour If-None-Match: * on PutObject",
            Self::PutIfMatch => "honour If-Match on PutObject",
            Self::CompleteIfAbsent => "honour If-None-Match: * on CompleteMultipartUpload",
            Self::CompleteIfMatch => "honour If-Match on CompleteMultipartUpload",
            Self::CopyIfMatch => "honour x-amz-copy-source-if-match on CopyObject",
            Self::SelfCopyIfMatch => "honour If-Match on CopyObject",
            Self::DeleteIfMatch => "honour If-Match on DeleteObject",
            Self::Tags => "keep an object's tags",
        })
    }
}

/// Why the gateway does not run on a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProbeError {
    /// The store does not do all that it must.
    Unfit(Vec<Requirement>),
    /// The store could not be tried.
    Failed(BackendError),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(missing) => {
                let all = missing.iter().map(|missing| format!("{missing} ({})", missing.name()));
                let all = all.collect::<Vec<_>>().join(", does not ");
                write!(f, "the store cannot be used: it does not {all}")?;
                if missing.iter().all(|missing| missing.can_be_waived()) {
                    f.write_str(
                        "; the gateway runs without, and refuses requests that need it, if these are waived by name",
                    )?;
                }
                Ok(())
            }
            Self::Failed(error) => write!(f, "the store could not be probed: {error}"),
        }
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unfit(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

impl From<BackendError> for ProbeError {
    fn from(error: BackendError) -> Self {
        Self::Failed(error)
    }
}

impl S3Backend {
    /// [`probe`](Self::probe)s the store in its first bucket, or in a new one that is deleted again if it has none.
    ///
    /// # Errors
    /// As of [`probe`](Self::probe).
    pub async fn probe_any(&self, waived: &[Requirement]) -> Result<(), ProbeError> {
        if let Some((bucket, _)) = self.buckets().await?.first() {
            return self.probe(bucket, waived).await;
        }
        let bucket = format!("sealstone-probe-{:016x}", random()?);
        self.create_bucket(&bucket).await?;
        let probed = self.probe(&bucket, waived).await;
        let deleted = self.delete_bucket(&bucket).await;
        probed?;
        Ok(deleted?)
    }

    /// Tries whether the store does what the gateway needs, with a few small objects in this bucket, whose keys begin with
    /// `.sealstone/probe/`. They are deleted in the end. Requests that need what the store lacks are refused from now on.
    ///
    /// # Errors
    /// [`ProbeError::Unfit`] names all that the store lacks and that is not waived.
    pub async fn probe(&self, bucket: &str, waived: &[Requirement]) -> Result<(), ProbeError> {
        let probe = Probe::new(self, bucket)?;
        let lacks = probe.run().await;
        probe.clean().await;
        let lacks = lacks?;
        let is_waived =
            |missing: &Requirement| missing.is_optional() || missing.can_be_waived() && waived.contains(missing);
        let (_, unfit): (Vec<_>, Vec<_>) = lacks.iter().partition(|missing| is_waived(missing));
        if !unfit.is_empty() {
            return Err(ProbeError::Unfit(unfit));
        }
        // A second probe finds the same.
        let _ = self.lacks.set(lacks);
        Ok(())
    }
}

fn random() -> Result<u64, BackendError> {
    getrandom::u64().map_err(|error| BackendError::Other(error.into()))
}

pub(super) struct Probe<'a> {
    store: &'a S3Backend,
    object: Location,
    copy: Location,
    tagged: Location,
}

impl<'a> Probe<'a> {
    pub(super) fn new(store: &'a S3Backend, bucket: &str) -> Result<Self, BackendError> {
        let place = format!(".sealstone/probe/{:016x}/", random()?);
        Ok(Self {
            store,
            object: Location::new(bucket, format!("{place}object")),
            copy: Location::new(bucket, format!("{place}copy")),
            tagged: Location::new(bucket, format!("{place}tagged")),
        })
    }

    /// What the store lacks.
    async fn run(&self) -> Result<Vec<Requirement>, BackendError> {
        self.put(FIRST, Condition::None).await?;
        let mut lacks = Vec::new();
        for requirement in Requirement::ALL {
            if !self.holds(requirement).await? {
                lacks.push(requirement);
            }
        }
        Ok(lacks)
    }

    pub(super) async fn holds(&self, requirement: Requirement) -> Result<bool, BackendError> {
        match requirement {
            Requirement::PartEtags => self.part_etags().await,
            Requirement::GetIfMatch => self.get_if_match().await,
            Requirement::SuffixRanges => self.suffix_ranges().await,
            Requirement::Metadata => self.keeps_metadata().await,
            Requirement::ReplacedMetadata => self.replaces_metadata().await,
            Requirement::PutIfAbsent => self.put_if_absent().await,
            Requirement::PutIfMatch => self.put_if_match().await,
            Requirement::CompleteIfAbsent => self.complete_if(Condition::Absent).await,
            Requirement::CompleteIfMatch => self.complete_if(Condition::Match(NO_ETAG.to_owned())).await,
            Requirement::CopyIfMatch => self.copy_if_match().await,
            Requirement::SelfCopyIfMatch => self.self_copy_if_match().await,
            Requirement::DeleteIfMatch => self.delete_if_match().await,
            Requirement::Tags => self.keeps_tags().await,
        }
    }

    async fn clean(&self) {
        for at in [&self.object, &self.copy, &self.tagged] {
            // The objects are small, and the names tell what they are.
            let _ = self.store.delete(at, Condition::None).await;
        }
    }

    async fn put(&self, bytes: &'static [u8], condition: Condition) -> Result<String, BackendError> {
        let metadata = metadata('+');
        self.store
            .put(&self.object, body(bytes), metadata, Tags::new(), condition)
            .await
    }

    async fn put_if_absent(&self) -> Result<bool, BackendError> {
        refused(self.put(OTHER, Condition::Absent).await)
    }

    async fn put_if_match(&self) -> Result<bool, BackendError> {
        if !refused(self.put(OTHER, Condition::Match(NO_ETAG.to_owned())).await)? {
            return Ok(false);
        }
        let etag = self.etag().await?;
        done(self.put(OTHER, Condition::Match(etag)).await)
    }

    async fn keeps_metadata(&self) -> Result<bool, BackendError> {
        self.put(FIRST, Condition::None).await?;
        Ok(self.store.head(&self.object).await?.attributes.metadata == metadata('+').metadata)
    }

    async fn suffix_ranges(&self) -> Result<bool, BackendError> {
        self.put(FIRST, Condition::None).await?;
        let found = match self.store.get(&self.object, StoredRange::Suffix(2), None).await {
            Ok(found) => found,
            Err(error) => return done::<()>(Err(error)),
        };
        let read = found.bytes.try_collect::<Vec<_>>().await;
        Ok(read.is_ok_and(|pieces| FIRST.ends_with(&pieces.concat())))
    }

    async fn get_if_match(&self) -> Result<bool, BackendError> {
        let bytes = StoredRange::Bytes(0..2);
        refused(self.store.get(&self.object, bytes, Some(NO_ETAG)).await)
    }

    async fn copy_if_match(&self) -> Result<bool, BackendError> {
        let (from, to) = (&self.object, &self.copy);
        let copied = self
            .store
            .copy(from, NO_ETAG, to, metadata('/'), None, Condition::None)
            .await;
        refused(copied)
    }

    async fn self_copy_if_match(&self) -> Result<bool, BackendError> {
        let (at, etag) = (&self.object, self.etag().await?);
        let source = Source { at, etag: &etag };
        refused(
            self.store
                .copy_at_once(source, at, &metadata('/'), None, Some(NO_ETAG))
                .await,
        )
    }

    async fn replaces_metadata(&self) -> Result<bool, BackendError> {
        let (at, etag) = (&self.object, self.etag().await?);
        let copied = self
            .store
            .copy(at, &etag, at, metadata('/'), None, Condition::None)
            .await;
        if !done(copied)? {
            return Ok(false);
        }
        Ok(self.store.head(at).await?.attributes.metadata == metadata('/').metadata)
    }

    async fn part_etags(&self) -> Result<bool, BackendError> {
        let upload = self.upload().await?;
        let replaced = self.part(&upload, FIRST).await?;
        self.part(&upload, OTHER).await?;
        let completed = self.complete(&upload, replaced, Condition::None).await;
        match completed {
            // Several codes are in use.
            Err(BackendError::InvalidPart | BackendError::Precondition) => Ok(true),
            completed => refused(completed),
        }
    }

    async fn complete_if(&self, condition: Condition) -> Result<bool, BackendError> {
        let upload = self.upload().await?;
        let part = self.part(&upload, OTHER).await?;
        refused(self.complete(&upload, part, condition).await)
    }

    async fn upload(&self) -> Result<String, BackendError> {
        self.store.create_upload(&self.object, metadata('+'), Tags::new()).await
    }

    async fn part(&self, upload: &str, bytes: &'static [u8]) -> Result<UploadedPart, BackendError> {
        let etag = self.store.put_part(&self.object, upload, 1, body(bytes)).await?;
        Ok(UploadedPart { number: 1, etag })
    }

    /// Completes the upload, or else drops it.
    async fn complete(&self, upload: &str, part: UploadedPart, condition: Condition) -> Result<String, BackendError> {
        let completed = self
            .store
            .complete_upload(&self.object, upload, &[part], condition)
            .await;
        if completed.is_err() {
            let _ = self.store.abort_upload(&self.object, upload).await;
        }
        completed
    }

    async fn keeps_tags(&self) -> Result<bool, BackendError> {
        let tags = Tags::from([("a b".to_owned(), "c+d=e".to_owned())]);
        let put = self
            .store
            .put(&self.tagged, body(FIRST), metadata('+'), tags.clone(), Condition::None)
            .await;
        if !done(put)? {
            return Ok(false);
        }
        match self.store.tags(&self.tagged).await {
            Ok(found) => Ok(found == tags),
            Err(error) => done::<()>(Err(error)),
        }
    }

    async fn delete_if_match(&self) -> Result<bool, BackendError> {
        let deleted = self
            .store
            .delete(&self.object, Condition::Match(NO_ETAG.to_owned()))
            .await;
        match deleted {
            // A version that is not there is not deleted.
            Ok(()) => Ok(self.store.head(&self.object).await.is_ok()),
            deleted => refused(deleted),
        }
    }

    async fn etag(&self) -> Result<String, BackendError> {
        Ok(self.store.head(&self.object).await?.etag)
    }
}

/// Whether the store has refused a condition that does not hold.
fn refused<T>(result: Result<T, BackendError>) -> Result<bool, BackendError> {
    match result {
        Err(BackendError::Precondition) => Ok(true),
        result => done(result).map(|_| false),
    }
}

/// Whether the store can do it. That it could not be asked is an error.
fn done<T>(result: Result<T, BackendError>) -> Result<bool, BackendError> {
    match result {
        Ok(_) => Ok(true),
        Err(BackendError::Precondition | BackendError::InvalidPart) => Ok(false),
        Err(BackendError::TooLarge(_) | BackendError::MetadataTooLarge(_)) => Ok(false),
        Err(BackendError::Unsupported(_) | BackendError::Other(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn body(bytes: &'static [u8]) -> Body {
    Body {
        len: bytes.len() as u64,
        bytes: stream::iter([Ok(bytes.into())]).boxed(),
    }
}

fn metadata(fill: char) -> Attributes {
    let value = fill.to_string().repeat(METADATA_LEN);
    Attributes {
        metadata: [("sealstone-header".to_owned(), value)].into(),
        ..Attributes::default()
    }
}
