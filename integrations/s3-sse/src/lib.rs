//! S3's server-side encryption with sealstone, for storage systems: SSE-S3, SSE-KMS with and without bucket keys,
//! SSE-C.
//!
//! ```text
//!          key                               slot's provider      encryption context (values supplied, names stored)
//! SSE-S3   the service's key ring, rotating  local                aws:s3:arn = arn:aws:s3:::bucket/key
//! SSE-KMS  a key of a key service            the service's        the same, and the caller's own pairs
//!          the same, with bucket keys        intermediate         aws:s3:arn = arn:aws:s3:::bucket, s3:key = key, ...
//! SSE-C    comes with each request           raw                  aws:s3:arn = arn:aws:s3:::bucket/key
//!
//! a bucket key, as the key service sees it                        aws:s3:arn = arn:aws:s3:::bucket, and its mark:
//!                                                                 sealstone:key = intermediate@v1
//!
//! PUT   ServerSide --encryptor(name)-----------> NewObject: payload to the store, header.to_metadata() beside it
//! GET   metadata --Header::from_metadata, Mode::of--> ServerSide --decryptor(name, header)--> Unlocked
//! COPY  ServerSide --copying(name, header, to)--> Rewrap: another header for the same payload
//! ```
//!
//! The context's values come from the object's location, so that an object moved by anyone else does not open. They are
//! not stored: even the longest name takes no room in the metadata.
//!
//! ```
//! use std::sync::Arc;
//! use sealstone::{Header, KeyRing};
//! use sealstone_s3_sse::{CustomerKey, Mode, ObjectName, ServerSide, SseError};
//!
//! let ring = Arc::new(KeyRing::in_memory("sse-s3")?);
//! let name = ObjectName::new("photos", "2026/11/cat.jpg")?;
//!
//! // PUT without encryption headers: SSE-S3.
//! let (header, object) = ServerSide::s3(ring.clone()).encryptor(&name).begin()?.detach();
//! let metadata = header.to_metadata()?;
//! let mut payload = Vec::new();
//! object.pipe(&b"a cat"[..], &mut payload)?;
//!
//! // GET: the request's customer headers, which are absent here, and the object's metadata.
//! let header = Header::from_metadata(&metadata)?;
//! let sse = match CustomerKey::from_headers(None, None, None)? {
//!     Some(key) => ServerSide::customer(key),
//!     None => match Mode::of(&header)? {
//!         Mode::S3 => ServerSide::s3(ring),
//!         mode => return Err(format!("this store has no key service: {mode:?}").into()),
//!     },
//! };
//! assert_eq!(sse.decryptor(&name, &header)?.unlock(header.clone())?.open(&payload)?, b"a cat");
//! assert_eq!(sse.response_headers(&header)["x-amz-server-side-encryption"], "AES256");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate uses nothing but sealstone's public API.

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

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::keys::IntermediateKeys;
use sealstone::rewrap::SlotChoice;
use sealstone::{
    Decryptor, EncryptionContext, Encryptor, ExpectedContext, Header, KeyProvider, KeyRing, RawKey, Rewrap,
};

/// The ids of sealstone's own providers. Every other id is a key service's.
const LOCAL: &str = KeyRing::ID;
const RAW: &str = RawKey::ID;
const INTERMEDIATE: &str = IntermediateKeys::ID;
/// That of `Passphrase`, a type that this crate does not need.
const PASSPHRASE: &str = "passphrase";

/// The context key that S3 binds every object to: its ARN, or with bucket keys its bucket's.
pub const ARN_PAIR: &str = "aws:s3:arn";
/// The context key for an object's key, where [`ARN_PAIR`] names the bucket only.
pub const OBJECT_KEY_PAIR: &str = "s3:key";

/// An object's bucket and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    bucket: String,
    key: String,
}

impl ObjectName {
    /// The object `key` in `bucket`.
    ///
    /// # Errors
    /// [`SseError::BucketName`] if the bucket's name is empty or contains a `/`, so that two objects could share an
    /// ARN.
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

/// How an object is encrypted, according to its header. Only opening the object proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// SSE-S3: under the service's key ring.
    S3,
    /// SSE-KMS.
    Kms {
        /// The key service's key, as its provider names it: the ARN for AWS. The caller decides whether it may be used.
        key_id: String,
        /// Whether a bucket key is used.
        bucket_key: bool,
    },
    /// SSE-C: under a key that each request brings.
    Customer,
}

impl Mode {
    /// The mode of the object with this header.
    ///
    /// # Errors
    /// [`SseError::NotServerSide`] if it has several slots, or one that no mode creates.
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

    /// SSE-KMS: one call to the key service for each object. The provider chooses the key: one of the customer's, or
    /// the one that AWS manages (`alias/aws/s3`).
    ///
    /// # Errors
    /// Class `Configuration` if `kms` is one of sealstone's own providers: the object's mode could not be determined
    /// later.
    pub fn kms(kms: Arc<dyn KeyProvider>) -> Result<Self, ProviderError> {
        check_key_service(kms.id())?;
        Ok(Self::new(kms, Kind::Kms))
    }

    /// SSE-KMS with bucket keys: a few calls to the key service for each bucket. `keys` come from [`bucket_keys`]. Keep
    /// them: they are the cache.
    ///
    /// # Errors
    /// As [`ServerSide::kms`].
    pub fn kms_with_bucket_keys(keys: Arc<IntermediateKeys>) -> Result<Self, ProviderError> {
        check_key_service(keys.inner().id())?;
        Ok(Self::new(keys, Kind::BucketKeys))
    }

    /// SSE-C: under the key that came with the request. It is not stored; the header contains its fingerprint.
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

    /// Also binds objects to these pairs, such as those of [`context_from_header`] or the object's version. An object
    /// opens if it has these pairs; it may store others.
    ///
    /// # Errors
    /// [`SseError::Context`] if [`ARN_PAIR`], [`OBJECT_KEY_PAIR`] or [`EncryptionContext::RESERVED_KEY`] is among them.
    pub fn with_context(mut self, context: EncryptionContext) -> Result<Self, SseError> {
        if [ARN_PAIR, OBJECT_KEY_PAIR, EncryptionContext::RESERVED_KEY]
            .iter()
            .any(|key| context.value(key).is_some())
        {
            return Err(SseError::Context("a key that the store sets itself"));
        }
        self.context = context;
        Ok(self)
    }

    /// Seals the object `name`.
    #[must_use]
    pub fn encryptor(&self, name: &ObjectName) -> Encryptor {
        Encryptor::new(self.key.clone()).with_context(self.object_context(name))
    }

    /// Unlocks the object `name`, given its header. Calls no key yet: pass the header to [`Decryptor::unlock`].
    ///
    /// # Errors
    /// [`SseError::CustomerKeyRequired`], [`SseError::CustomerKeyNotApplicable`], [`SseError::WrongCustomerKey`] for
    /// a request that does not match the object; [`SseError::OtherMode`], [`SseError::NotServerSide`].
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

    /// Makes the header of a copy in the mode `to` at the place `at`; the payload is copied unchanged. A copy onto
    /// itself changes the mode or the key, or takes the newest version of a key. As in S3, the copy has only the pairs
    /// of `to`.
    ///
    /// # Errors
    /// As [`ServerSide::decryptor`].
    pub fn copying(&self, name: &ObjectName, header: &Header, to: &Self, at: &ObjectName) -> Result<Rewrap, SseError> {
        Ok(Rewrap::new(self.decryptor(name, header)?)
            .replace(SlotChoice::Key(self.key.clone()), to.key.clone())
            .with_context(to.object_context(at))
            .only_from_expected())
    }

    /// The response headers that describe an object's encryption, without the context: see [`context_to_header`].
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

/// Bucket keys of the key service `kms`: one for each bucket, bound to its ARN. Their age and number can be limited.
///
/// # Errors
/// As [`ServerSide::kms`].
pub fn bucket_keys(kms: Arc<dyn KeyProvider>) -> Result<IntermediateKeys, ProviderError> {
    check_key_service(kms.id())?;
    IntermediateKeys::new(kms, [ARN_PAIR])
}

/// Parses the request header [`names::CONTEXT`]: base64 of a JSON object of strings. The pair that S3 adds itself may
/// be among them and is dropped. Duplicate keys are refused, because readers disagree about which value counts.
///
/// # Errors
/// [`SseError::Context`] if the header is anything else.
pub fn context_from_header(value: &str, name: &ObjectName) -> Result<EncryptionContext, SseError> {
    let bytes = Base64::decode_vec(value).map_err(|_| SseError::Context("not base64"))?;
    let DistinctPairs(mut pairs) = serde_json::from_slice(&bytes)
        .map_err(|_| SseError::Context("not a JSON object of strings with distinct keys"))?;
    if let Some(arn) = pairs.remove(ARN_PAIR)
        && arn != name.arn()
        && arn != name.bucket_arn()
    {
        return Err(SseError::Context("the ARN of another object"));
    }
    let context: EncryptionContext = pairs.into_iter().collect();
    let valid = context.validate();
    valid.map_err(|_| SseError::Context("a pair that no object can have"))?;
    Ok(context)
}

/// The value of the response header [`names::CONTEXT`] to a PUT: the pairs that the object stores, `None` if it stores
/// none.
#[must_use]
pub fn context_to_header(header: &Header) -> Option<String> {
    let stored = header.context().iter();
    let pairs: BTreeMap<&str, &str> = stored.filter_map(|(key, value)| Some((key, value?))).collect();
    let json = serde_json::to_vec(&pairs).ok().filter(|_| !pairs.is_empty());
    json.map(|json| Base64::encode_string(&json))
}

/// Whether a provider's id is not one of sealstone's own.
fn is_key_service(provider: &str) -> bool {
    ![LOCAL, RAW, INTERMEDIATE, PASSPHRASE].contains(&provider)
}

fn check_key_service(provider: &str) -> Result<(), ProviderError> {
    if is_key_service(provider) {
        return Ok(());
    }
    let message = "one of sealstone's own providers is not a key service: SSE-KMS objects would look like others";
    Err(ProviderError::new(ProviderErrorClass::Configuration, provider, message))
}

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
