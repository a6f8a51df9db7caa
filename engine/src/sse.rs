//! S3's server-side encryption, for storage systems that choose a mode for each object.
//!
//! ```text
//!          key                               slot's provider      encryption context (values supplied, names stored)
//! SSE-S3   the service's key ring, rotating  local                aws:s3:arn = arn:aws:s3:::bucket/key
//! SSE-KMS  a key of a key service            the service's        the same, and the caller's own pairs
//!          the same, with bucket keys        intermediate         aws:s3:arn = arn:aws:s3:::bucket, s3:key = key, ...
//! SSE-C    comes with each request           raw                  aws:s3:arn = arn:aws:s3:::bucket/key
//!
//! a bucket key, as the key service sees it                        aws:s3:arn = arn:aws:s3:::bucket, and what marks it:
//!                                                                 sealstone:key = intermediate@v1
//!
//! PUT   ServerSide --encryptor(name)-----------> NewObject: payload to the store, header.to_metadata() beside it
//! GET   metadata --Header::from_metadata, Mode::of--> ServerSide --decryptor(name, header)--> any reader
//! COPY  ServerSide --copying(name, header, to)--> Rewrap: another header for the same payload
//! ```
//!
//! The context's values come from where the object is, so that an object moved by anybody else does not open. They are
//! not stored: the longest name takes no room in the metadata.
//!
//! ```
//! use std::sync::Arc;
//! use sealstone::{Header, KeyRing, sse::{CustomerKey, Mode, ObjectName, ServerSide, SseError}};
//!
//! let ring = Arc::new(KeyRing::in_memory("sse-s3")?);
//! let name = ObjectName::new("photos", "2026/11/cat.jpg")?;
//!
//! // PUT without encryption headers: SSE-S3.
//! let (header, object) = ServerSide::s3(ring.clone()).encryptor(&name).begin()?.detach();
//! let metadata = header.to_metadata()?;
//! let payload = object.writer(Vec::new())?.finish()?;
//!
//! // GET: the request's three customer headers, of which there are none here, and the object's metadata.
//! let header = Header::from_metadata(&metadata)?;
//! let sse = match CustomerKey::from_headers(None, None, None)? {
//!     Some(key) => ServerSide::customer(key),
//!     None => match Mode::of(&header)? {
//!         Mode::S3 => ServerSide::s3(ring),
//!         mode => return Err(format!("this store has no key service: {mode:?}").into()),
//!     },
//! };
//! assert_eq!(sse.decryptor(&name, &header)?.unlock(header.clone())?.open(&payload)?, b"");
//! assert_eq!(sse.response_headers(&header)["x-amz-server-side-encryption"], "AES256");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod customer;
mod error;
pub mod names;
mod pairs;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64ct::{Base64, Encoding};

pub use self::customer::CustomerKey;
pub use self::error::SseError;
use self::pairs::DistinctPairs;

use crate::context::{EncryptionContext, ExpectedContext, RESERVED_KEY};
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::Header;
use crate::provider::{IntermediateKeys, KeyProvider, KeyRing, RawKey};
use crate::registry;
use crate::rewrap::{Rewrap, SlotChoice};

/// The context key that S3 binds every object by: its ARN, or with bucket keys that of its bucket.
pub const ARN_PAIR: &str = "aws:s3:arn";
/// The context key of an object's key, where [`ARN_PAIR`] names the bucket only.
pub const OBJECT_KEY_PAIR: &str = "s3:key";

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    bucket: String,
    key: String,
}

impl ObjectName {
    /// The object `key` in `bucket`.
    ///
    /// # Errors
    /// [`SseError::BucketName`] if the bucket's name is empty or has a `/`: two objects could have one ARN.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Result<Self, SseError> {
        let bucket = bucket.into();
        if bucket.is_empty() || bucket.contains('/') {
            return Err(SseError::BucketName);
        }
        Ok(Self {
            bucket,
            key: key.into(),
        })
    }

    /// The object's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("{}/{}", self.bucket_arn(), self.key)
    }

    /// The bucket's ARN.
    #[must_use]
    pub fn bucket_arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }
}

/// How an object is encrypted. The header says it, and nothing proves it before the object opens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// SSE-S3: under the service's key ring.
    S3,
    /// SSE-KMS.
    Kms {
        /// The key service's key, as its provider names it: for AWS the ARN. Whether it may be used is for the caller
        /// to say.
        key_id: String,
        /// Whether a bucket key stands between.
        bucket_key: bool,
    },
    /// SSE-C: under a key that comes with each request.
    Customer,
}

impl Mode {
    /// The mode of the object with this header.
    ///
    /// # Errors
    /// [`SseError::NotServerSide`] if it has several slots, or one that no mode makes.
    pub fn of(header: &Header) -> Result<Self, SseError> {
        let [slot] = header.slots() else {
            return Err(SseError::NotServerSide);
        };
        match slot.provider.as_str() {
            KeyRing::ID => Ok(Self::S3),
            RawKey::ID => Ok(Self::Customer),
            IntermediateKeys::ID => match slot.key_id.split_once(':') {
                Some((inner, key_id)) if is_key_service(inner) => Ok(Self::Kms {
                    key_id: key_id.to_owned(),
                    bucket_key: true,
                }),
                _ => Err(SseError::NotServerSide),
            },
            provider if is_key_service(provider) => Ok(Self::Kms {
                key_id: slot.key_id.clone(),
                bucket_key: false,
            }),
            _ => Err(SseError::NotServerSide),
        }
    }
}

/// A mode with its key: seals and opens any number of objects.
#[derive(Debug, Clone)]
pub struct ServerSide {
    key: Arc<dyn KeyProvider>,
    kind: Kind,
    context: EncryptionContext,
}

#[derive(Debug, Clone)]
enum Kind {
    S3,
    Kms,
    BucketKeys,
    Customer(CustomerKey),
}

impl ServerSide {
    /// SSE-S3: under the newest version of the ring's sealing key. After [`KeyRing::rotate`], take the new ring: it
    /// opens what the old one sealed.
    #[must_use]
    pub fn s3(ring: Arc<KeyRing>) -> Self {
        Self::new(ring, Kind::S3)
    }

    /// SSE-KMS: one call of the key service for each object. Which of the service's keys it is, one of the customer's
    /// or the one that AWS manages (`alias/aws/s3`), is a matter of the provider.
    ///
    /// # Errors
    /// Class `Configuration` if `kms` is a provider of this crate: the object's mode could not be told later.
    pub fn kms(kms: Arc<dyn KeyProvider>) -> Result<Self, ProviderError> {
        check_key_service(kms.id())?;
        Ok(Self::new(kms, Kind::Kms))
    }

    /// SSE-KMS with bucket keys: a few calls of the key service for each bucket. `keys` come from [`bucket_keys`],
    /// and are kept: they are the cache.
    ///
    /// # Errors
    /// As [`ServerSide::kms`].
    pub fn kms_with_bucket_keys(keys: Arc<IntermediateKeys>) -> Result<Self, ProviderError> {
        check_key_service(keys.inner().id())?;
        Ok(Self::new(keys, Kind::BucketKeys))
    }

    /// SSE-C: under the key that came with the request. It is not kept; the header tells a fingerprint of it.
    #[must_use]
    pub fn customer(key: CustomerKey) -> Self {
        Self::new(key.provider(), Kind::Customer(key))
    }

    fn new(key: Arc<dyn KeyProvider>, kind: Kind) -> Self {
        Self {
            key,
            kind,
            context: EncryptionContext::new(),
        }
    }

    /// Binds objects to these pairs too, such as those of [`context_from_header`], or the object's version. Objects are
    /// opened with all pairs that they store; those given here they must have.
    ///
    /// # Errors
    /// [`SseError::Context`] if [`ARN_PAIR`], [`OBJECT_KEY_PAIR`] or the key that marks bucket keys is among them.
    pub fn with_context(mut self, context: EncryptionContext) -> Result<Self, SseError> {
        if [ARN_PAIR, OBJECT_KEY_PAIR, RESERVED_KEY]
            .iter()
            .any(|key| context.value(key).is_some())
        {
            return Err(SseError::Context("a key that is the store's own"));
        }
        self.context = context;
        Ok(self)
    }

    /// Seals the object `name`.
    #[must_use]
    pub fn encryptor(&self, name: &ObjectName) -> Encryptor {
        Encryptor::new(self.key.clone()).with_context(self.object_context(name))
    }

    /// Unlocks the object `name`, whose header this is. No key was called yet.
    ///
    /// # Errors
    /// [`SseError::CustomerKeyRequired`], [`SseError::CustomerKeyNotApplicable`], [`SseError::WrongCustomerKey`] for
    /// a request that does not fit the object; [`SseError::OtherMode`], [`SseError::NotServerSide`].
    pub fn decryptor(&self, name: &ObjectName, header: &Header) -> Result<Decryptor, SseError> {
        match (Mode::of(header)?, &self.kind) {
            (Mode::Customer, Kind::Customer(key)) if !key.fits(header) => return Err(SseError::WrongCustomerKey),
            (Mode::Customer, Kind::Customer(_))
            | (Mode::S3, Kind::S3)
            | (Mode::Kms { bucket_key: false, .. }, Kind::Kms)
            | (Mode::Kms { bucket_key: true, .. }, Kind::BucketKeys) => {}
            (Mode::Customer, _) => return Err(SseError::CustomerKeyRequired),
            (_, Kind::Customer(_)) => return Err(SseError::CustomerKeyNotApplicable),
            (mode, _) => return Err(SseError::OtherMode(mode)),
        }
        let context = ExpectedContext::Contains(self.object_context(name));
        Ok(Decryptor::new(self.key.clone()).with_context(context))
    }

    /// The header of a copy, in any mode and at any place, `to` and `at`: the payload is copied as it is. Copied onto
    /// itself, an object gets another mode, another key, or the newest version of its own. Pairs of the original that
    /// `to` does not have are not the copy's, as in S3.
    ///
    /// # Errors
    /// As [`ServerSide::decryptor`].
    pub fn copying(&self, name: &ObjectName, header: &Header, to: &Self, at: &ObjectName) -> Result<Rewrap, SseError> {
        Ok(Rewrap::new(self.decryptor(name, header)?)
            .replace(SlotChoice::Key(self.key.clone()), to.key.clone())
            .with_context(to.object_context(at))
            .only_from_expected())
    }

    /// What S3 answers about an object's encryption, to every request. The context is not among it: see
    /// [`context_to_header`].
    #[must_use]
    pub fn response_headers(&self, header: &Header) -> BTreeMap<&'static str, String> {
        let mut headers = BTreeMap::new();
        match (&self.kind, Mode::of(header)) {
            (Kind::Customer(key), _) => {
                headers.insert(names::CUSTOMER_ALGORITHM, names::AES256.to_owned());
                headers.insert(names::CUSTOMER_KEY_MD5, key.md5().to_owned());
            }
            (_, Ok(Mode::Kms { key_id, bucket_key })) => {
                headers.insert(names::SERVER_SIDE_ENCRYPTION, names::AWS_KMS.to_owned());
                headers.insert(names::KMS_KEY_ID, key_id);
                if bucket_key {
                    headers.insert(names::BUCKET_KEY_ENABLED, "true".to_owned());
                }
            }
            _ => {
                headers.insert(names::SERVER_SIDE_ENCRYPTION, names::AES256.to_owned());
            }
        }
        headers
    }

    fn object_context(&self, name: &ObjectName) -> EncryptionContext {
        let context = self.context.clone();
        match self.kind {
            Kind::BucketKeys => context
                .with_supplied(ARN_PAIR, name.bucket_arn())
                .with_supplied(OBJECT_KEY_PAIR, &name.key),
            _ => context.with_supplied(ARN_PAIR, name.arn()),
        }
    }
}

/// Bucket keys of the key service `kms`: one for each bucket, bound to its ARN. Ages and numbers can be set on them.
///
/// # Errors
/// As [`ServerSide::kms`].
pub fn bucket_keys(kms: Arc<dyn KeyProvider>) -> Result<IntermediateKeys, ProviderError> {
    check_key_service(kms.id())?;
    IntermediateKeys::new(kms, [ARN_PAIR])
}

/// The pairs in the request header [`names::CONTEXT`]: base64 of JSON, text to text. The pair that S3 would add itself
/// may be among them, and is left out. A key that stands there twice is refused: one reader of the header would take
/// the first value, another the last.
///
/// # Errors
/// [`SseError::Context`] if the header is anything else.
pub fn context_from_header(value: &str, name: &ObjectName) -> Result<EncryptionContext, SseError> {
    let bytes = Base64::decode_vec(value).map_err(|_| SseError::Context("no base64"))?;
    let DistinctPairs(mut pairs) = serde_json::from_slice(&bytes)
        .map_err(|_| SseError::Context("no JSON object of text to text, or one with a key twice"))?;
    if let Some(arn) = pairs.remove(ARN_PAIR)
        && arn != name.arn()
        && arn != name.bucket_arn()
    {
        return Err(SseError::Context("another object's ARN"));
    }
    let context: EncryptionContext = pairs.into_iter().collect();
    let valid = context.validate();
    valid.map_err(|_| SseError::Context("a pair that no object can have"))?;
    Ok(context)
}

/// The value of the response header [`names::CONTEXT`], which S3 answers a PUT with: the pairs that the object stores.
/// `None` if there are none.
#[must_use]
pub fn context_to_header(header: &Header) -> Option<String> {
    let stored = header.context().iter();
    let pairs: BTreeMap<&str, &str> = stored.filter_map(|(key, value)| Some((key, value?))).collect();
    let json = serde_json::to_vec(&pairs).ok().filter(|_| !pairs.is_empty());
    json.map(|json| Base64::encode_string(&json))
}

/// Whether a provider's id is none of this crate's own.
fn is_key_service(provider: &str) -> bool {
    ![KeyRing::ID, RawKey::ID, registry::PASSPHRASE, IntermediateKeys::ID].contains(&provider)
}

fn check_key_service(provider: &str) -> Result<(), ProviderError> {
    if is_key_service(provider) {
        return Ok(());
    }
    let message = "a provider of this crate is no key service: SSE-KMS objects could not be told from others";
    Err(ProviderError::new(ProviderErrorClass::Configuration, provider, message))
}
