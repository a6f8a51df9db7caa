//! A bucket's configuration: how it encrypts objects whose requests do not say.
//!
//! ```text
//! .sealstone/encryption    the configuration as JSON, sealed under the ring for this bucket
//! ```
//!
//! A store can withhold it or return an older one, but cannot make one: objects are sealed under no key that the
//! gateway's users did not choose at some time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sealstone::{Decryptor, EncryptionContext, Encryptor, ExpectedContext, KeyRing};
use sealstone_s3_sse::{ARN_PAIR, ObjectName};
use serde::{Deserialize, Serialize};

use crate::backend::{Attributes, Backend, BackendError, Body, Condition, Location, StoredRange, Tags, single};
use crate::objects::ObjectError;
use crate::sse::{BucketDefault, DefaultMode};

/// Where the configuration is.
const KEY: &str = ".sealstone/encryption";

/// The context key that tells it from other objects of the gateway's own.
const CONFIGURATION_PAIR: &str = "configuration";

/// The longest configuration, in bytes.
const MAX_LEN: u64 = 64 * 1024;

/// How long another instance's change may go unnoticed.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// How many buckets are remembered.
const MAX_BUCKETS: usize = 10_000;

/// The configurations of buckets, as they were read lately.
#[derive(Debug, Default)]
pub struct BucketDefaults {
    read: Mutex<BTreeMap<String, (Instant, Option<BucketDefault>)>>,
}

/// A configuration's plaintext.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    kms: bool,
    key: Option<String>,
    bucket_keys: bool,
    blocks_customer_keys: bool,
}

impl BucketDefaults {
    /// The bucket's configuration; `None` if it has none.
    ///
    /// # Errors
    /// [`ObjectError`], and if the configuration was altered.
    pub async fn get(
        &self,
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        bucket: &str,
    ) -> Result<Option<BucketDefault>, ObjectError> {
        let now = Instant::now();
        if let Some((read, default)) = self.lock().get(bucket)
            && now.duration_since(*read) < FRESH_FOR
        {
            return Ok(default.clone());
        }
        let default = match read(backend, bucket).await {
            Ok(sealed) => Some(open(ring, bucket, &sealed)?),
            Err(ObjectError::Store(BackendError::NoSuchKey)) => None,
            Err(error) => return Err(error),
        };
        self.remember(bucket, default.clone());
        Ok(default)
    }

    /// Replaces the bucket's configuration, or removes it.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn set(
        &self,
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        bucket: &str,
        default: Option<BucketDefault>,
    ) -> Result<(), ObjectError> {
        let at = Location::new(bucket, KEY);
        if let Some(default) = &default {
            let sealed = seal(ring, bucket, default)?;
            let body = Body {
                len: sealed.len() as u64,
                bytes: single(sealed.into()),
            };
            let (attributes, tags) = (Attributes::default(), Tags::new());
            backend.put(&at, body, attributes, tags, Condition::None).await?;
        } else {
            backend.delete(&at, Condition::None).await?;
        }
        self.remember(bucket, default);
        Ok(())
    }

    /// Forgets a bucket that was deleted.
    pub fn forget(&self, bucket: &str) {
        self.lock().remove(bucket);
    }

    fn remember(&self, bucket: &str, default: Option<BucketDefault>) {
        let mut read = self.lock();
        if read.len() >= MAX_BUCKETS {
            read.clear();
        }
        read.insert(bucket.to_owned(), (Instant::now(), default));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, Option<BucketDefault>)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(backend: &dyn Backend, bucket: &str) -> Result<Vec<u8>, ObjectError> {
    let at = Location::new(bucket, KEY);
    let mut stored = backend.get(&at, StoredRange::Bytes(0..MAX_LEN), None).await?;
    let mut bytes = Vec::new();
    while let Some(item) = stored.bytes.try_next().await.map_err(BackendError::Body)? {
        bytes.extend_from_slice(&item);
        if bytes.len() as u64 > MAX_LEN {
            return Err(ObjectError::OtherBytes);
        }
    }
    Ok(bytes)
}

fn seal(ring: &Arc<KeyRing>, bucket: &str, default: &BucketDefault) -> Result<Vec<u8>, ObjectError> {
    let (kms, key, bucket_keys) = match &default.mode {
        DefaultMode::S3 => (false, None, false),
        DefaultMode::Kms { key, bucket_keys } => (true, key.clone(), *bucket_keys),
    };
    let stored = Stored {
        kms,
        key,
        bucket_keys,
        blocks_customer_keys: default.blocks_customer_keys,
    };
    let plain = serde_json::to_vec(&stored).map_err(|error| BackendError::Other(error.into()))?;
    let context = context(bucket)?;
    Ok(Encryptor::new(ring.clone()).with_context(context).seal(&plain)?)
}

fn open(ring: &Arc<KeyRing>, bucket: &str, sealed: &[u8]) -> Result<BucketDefault, ObjectError> {
    let context = ExpectedContext::Contains(context(bucket)?);
    let plain = Decryptor::new(ring.clone()).with_context(context).open(sealed)?;
    let stored: Stored = serde_json::from_slice(&plain).map_err(|error| BackendError::Other(error.into()))?;
    let mode = if stored.kms {
        DefaultMode::Kms {
            key: stored.key,
            bucket_keys: stored.bucket_keys,
        }
    } else {
        DefaultMode::S3
    };
    Ok(BucketDefault {
        mode,
        blocks_customer_keys: stored.blocks_customer_keys,
    })
}

fn context(bucket: &str) -> Result<EncryptionContext, BackendError> {
    let name = ObjectName::new(bucket, "").map_err(|_| BackendError::InvalidName(bucket.to_owned()))?;
    Ok(EncryptionContext::new()
        .with_supplied(ARN_PAIR, name.bucket_arn())
        .with_supplied(CONFIGURATION_PAIR, "encryption"))
}
