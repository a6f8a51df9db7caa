//! A bucket's settings: how it encrypts objects whose requests do not say, and what it denies.
//!
//! ```text
//! .sealstone/encryption    settings as JSON, sealed under the ring for this bucket
//! .sealstone/policy
//! ```
//!
//! A store can withhold settings or return older ones, but cannot make any: objects are sealed under no key that the
//! gateway's users did not choose at some time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealstone::{EncryptionContext, KeyRing};
use sealstone_s3_sse::{ARN_PAIR, ObjectName};

use crate::backend::{Backend, BackendError, Condition, Location};
use crate::objects::ObjectError;
use crate::own;

/// The context key that tells settings from other objects of the gateway's own.
const SETTING_PAIR: &str = "setting";

/// How long another instance's change may go unnoticed.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// How many settings are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A kind of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The default encryption.
    Encryption,
    /// The policy.
    Policy,
}

impl Setting {
    const fn name(self) -> &'static str {
        match self {
            Self::Encryption => "encryption",
            Self::Policy => "policy",
        }
    }

    fn location(self, bucket: &str) -> Location {
        Location::new(bucket, format!(".sealstone/{}", self.name()))
    }

    fn context(self, bucket: &str) -> Result<EncryptionContext, BackendError> {
        let name = ObjectName::new(bucket, "").map_err(|_| BackendError::InvalidName(bucket.to_owned()))?;
        Ok(EncryptionContext::new()
            .with_supplied(ARN_PAIR, name.bucket_arn())
            .with_supplied(SETTING_PAIR, self.name()))
    }
}

/// When settings were read, and what they were.
type Remembered = BTreeMap<(String, Setting), (Instant, Option<Arc<[u8]>>)>;

/// The settings of buckets, as they were read lately.
#[derive(Debug, Default)]
pub struct BucketSettings {
    read: Mutex<Remembered>,
}

impl BucketSettings {
    /// The bucket's settings of this kind; `None` if it has none.
    ///
    /// # Errors
    /// [`ObjectError`], and if they were altered.
    pub async fn get(
        &self,
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        bucket: &str,
        setting: Setting,
    ) -> Result<Option<Arc<[u8]>>, ObjectError> {
        if let Some((read, value)) = self.lock().get(&(bucket.to_owned(), setting))
            && read.elapsed() < FRESH_FOR
        {
            return Ok(value.clone());
        }
        let context = setting.context(bucket)?;
        let value = match own::read(backend, &setting.location(bucket), ring, context).await {
            Ok(plain) => Some(Arc::from(&plain[..])),
            Err(ObjectError::Store(BackendError::NoSuchKey)) => None,
            Err(error) => return Err(error),
        };
        self.remember(bucket, setting, value.clone());
        Ok(value)
    }

    /// Replaces the bucket's settings of this kind, or removes them.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn set(
        &self,
        backend: &dyn Backend,
        ring: &Arc<KeyRing>,
        bucket: &str,
        setting: Setting,
        value: Option<Vec<u8>>,
    ) -> Result<(), ObjectError> {
        let at = setting.location(bucket);
        if let Some(value) = &value {
            own::write(backend, &at, ring, setting.context(bucket)?, value).await?;
        } else {
            backend.delete(&at, Condition::None).await?;
        }
        self.remember(bucket, setting, value.map(Arc::from));
        Ok(())
    }

    /// Forgets a bucket that was deleted.
    pub fn forget(&self, bucket: &str) {
        self.lock().retain(|(known, _), _| known != bucket);
    }

    fn remember(&self, bucket: &str, setting: Setting, value: Option<Arc<[u8]>>) {
        let mut read = self.lock();
        if read.len() >= MAX_REMEMBERED {
            read.clear();
        }
        read.insert((bucket.to_owned(), setting), (Instant::now(), value));
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
