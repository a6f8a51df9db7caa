//! The control object of an upload, and its id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use sealstone::format::COMMITMENT_LEN;
use sealstone::{EncryptionContext, Header, KeyRing};
use sealstone_s3_sse::{ARN_PAIR, ObjectName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{PREFIX, UploadError, UploadSecret, delete_all, from_millis, hex, millis};
use crate::backend::{Attributes, Backend, BackendError, Condition, Location, Tags};
use crate::objects::{ChecksumAlgorithm, ObjectError};
use crate::own;

/// The context key that binds a control object to its upload.
const UPLOAD_PAIR: &str = "upload";

/// What a client knows of its upload: where it is, and the commitment of the header that parts are sealed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId {
    token: [u8; 16],
    commitment: [u8; COMMITMENT_LEN],
}

impl UploadId {
    /// Parses an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16 + COMMITMENT_LEN];
        let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
        let (token, commitment) = decoded.split_first_chunk()?;
        Some(Self {
            token: *token,
            commitment: commitment.try_into().ok()?,
        })
    }

    /// The id as clients have it.
    #[must_use]
    pub fn to_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&[&self.token[..], &self.commitment].concat())
    }

    /// The commitment that parts are sealed under.
    #[must_use]
    pub const fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    /// Where the upload's objects are.
    pub(super) fn prefix(&self) -> String {
        prefix(&hex(&self.token))
    }
}

fn prefix(token: &str) -> String {
    format!("{PREFIX}{token}/")
}

/// An upload in progress.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The object that it will be.
    pub at: Location,
    /// The header of that object.
    pub header: Header,
    /// The upload's id in the store.
    pub in_store: String,
    /// The algorithm of its parts' checksums, and whether the object's is one of theirs.
    pub checksum: Option<(ChecksumAlgorithm, bool)>,
    /// When it began.
    pub initiated: SystemTime,
    pub(super) secret: UploadSecret,
}

/// A control object's plaintext.
#[derive(Debug, Serialize, Deserialize)]
struct Control {
    key: String,
    header: BTreeMap<String, String>,
    in_store: String,
    checksum: Option<(String, bool)>,
    initiated: u64,
    secret: String,
}

impl Upload {
    /// Begins an upload in the store.
    ///
    /// # Errors
    /// [`UploadError::Object`].
    pub async fn create(
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        at: &Location,
        header: &Header,
        checksum: Option<(ChecksumAlgorithm, bool)>,
        attributes: Attributes,
        tags: Tags,
    ) -> Result<Self, UploadError> {
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(|error| BackendError::Other(error.into()))?;
        let in_store = backend.create_upload(at, attributes, tags).await?;
        let upload = Self {
            id: UploadId {
                token,
                commitment: *header.commitment(),
            },
            at: at.clone(),
            header: header.clone(),
            in_store,
            checksum,
            initiated: SystemTime::now(),
            secret: UploadSecret::new().map_err(|error| BackendError::Other(error.into()))?,
        };
        let control = Control {
            key: at.key.clone(),
            header: header.to_metadata()?,
            in_store: upload.in_store.clone(),
            checksum: checksum.map(|(algorithm, composite)| (algorithm.name().to_owned(), composite)),
            initiated: millis(upload.initiated),
            secret: Base64UrlUnpadded::encode_string(upload.secret.bytes()),
        };
        let plain = serde_json::to_vec(&control).map_err(|error| BackendError::Other(error.into()))?;
        let plain = Zeroizing::new(plain);
        let context = context(&at.bucket, &hex(&token))?;
        own::write(backend, &control_at(&at.bucket, &hex(&token)), ring, context, &plain).await?;
        Ok(upload)
    }

    /// Looks up the upload `id` of the object `at`.
    ///
    /// # Errors
    /// [`UploadError::NoSuchUpload`]; [`UploadError::Object`] if its control object was altered.
    pub async fn load(
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        at: &Location,
        id: &str,
    ) -> Result<Self, UploadError> {
        let id = UploadId::parse(id).ok_or(UploadError::NoSuchUpload)?;
        let upload = Self::of_token(backend, ring, &at.bucket, &hex(&id.token)).await?;
        // The id came from the client, whom the store cannot speak for.
        if upload.id != id || upload.at != *at {
            return Err(UploadError::NoSuchUpload);
        }
        Ok(upload)
    }

    /// The upload that is stored under this token.
    pub(super) async fn of_token(
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        bucket: &str,
        token: &str,
    ) -> Result<Self, UploadError> {
        let context = context(bucket, token)?;
        let plain = match own::read(backend, &control_at(bucket, token), ring, context).await {
            Err(ObjectError::Store(BackendError::NoSuchKey)) => return Err(UploadError::NoSuchUpload),
            plain => plain?,
        };
        let control: Control = serde_json::from_slice(&plain).map_err(|error| BackendError::Other(error.into()))?;
        let header = Header::from_metadata(&control.header)?;
        let secret = Zeroizing::new(Base64UrlUnpadded::decode_vec(&control.secret).unwrap_or_default());
        let secret = UploadSecret::from_slice(&secret);
        let checksum = control.checksum.and_then(|(name, composite)| {
            let algorithm = ChecksumAlgorithm::named(&name)?;
            Some((algorithm, composite))
        });
        Ok(Self {
            id: UploadId {
                token: token_bytes(token).ok_or(UploadError::NoSuchUpload)?,
                commitment: *header.commitment(),
            },
            at: Location::new(bucket, control.key),
            header,
            in_store: control.in_store,
            checksum,
            initiated: from_millis(control.initiated),
            secret: secret.ok_or(ObjectError::OtherBytes)?,
        })
    }

    /// Drops the upload and its parts.
    ///
    /// # Errors
    /// [`UploadError::Object`].
    pub async fn abort(&self, backend: &dyn Backend) -> Result<(), UploadError> {
        match backend.abort_upload(&self.at, &self.in_store).await {
            Ok(()) | Err(BackendError::NoSuchUpload) => self.forget(backend).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what the gateway stored of the upload, first what makes it an upload: a sweep finds the rest.
    pub(super) async fn forget(&self, backend: &dyn Backend) -> Result<(), UploadError> {
        match backend
            .delete(&control_at(&self.at.bucket, &hex(&self.id.token)), Condition::None)
            .await
        {
            Ok(()) | Err(BackendError::NoSuchKey) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(delete_all(backend, &self.at.bucket, &self.id.prefix()).await?)
    }
}

fn control_at(bucket: &str, token: &str) -> Location {
    Location::new(bucket, format!("{}upload", prefix(token)))
}

fn context(bucket: &str, token: &str) -> Result<EncryptionContext, UploadError> {
    let name = ObjectName::new(bucket, "").map_err(|_| BackendError::InvalidName(bucket.to_owned()))?;
    Ok(EncryptionContext::new()
        .with_supplied(ARN_PAIR, name.bucket_arn())
        .with_supplied(UPLOAD_PAIR, token))
}

fn token_bytes(token: &str) -> Option<[u8; 16]> {
    let digits = token.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}
