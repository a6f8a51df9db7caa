//! The keys that the gateway uses: the ring of SSE-S3, and the key service of SSE-KMS.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_config::SdkConfig;
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::keys::IntermediateKeys;
use sealstone::{Decryptor, KeyRing, UnlockedCache};
use sealstone_aws_kms::{AwsKms, KmsKey};
use sealstone_s3_sse::bucket_keys;

/// The key of requests for SSE-KMS that name none, as in S3.
pub const DEFAULT_KMS_KEY: &str = "alias/aws/s3";

/// How many key service keys the gateway remembers clients of. Requests choose keys, so there must be a limit.
const MAX_PROVIDERS: usize = 1000;

/// How to reach AWS KMS, and which of its keys may be used. What is not set is configured as for every AWS tool.
#[derive(Debug, Clone, Default)]
pub struct KmsSettings {
    /// The configuration of AWS's clients, instead of the environment's and the files'.
    pub config: Option<SdkConfig>,
    /// The URL of AWS KMS.
    pub endpoint_url: Option<String>,
    /// Allow an `http://` URL of another machine.
    pub insecure_endpoint: bool,
    /// The region of keys that are named without one.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// The key of requests that name none, instead of [`DEFAULT_KMS_KEY`].
    pub default_key: Option<String>,
    /// The only keys that may be used, by their ARNs; all if empty.
    pub allowed_keys: Vec<String>,
    /// The only AWS accounts whose keys may be used; all if empty. A store can name any key in an object's header, and
    /// with it choose whose log shows that it is read.
    pub allowed_accounts: Vec<String>,
    /// How many calls may be in progress at once.
    pub max_concurrent: Option<usize>,
    /// How many calls are started per second.
    pub max_per_second: Option<u32>,
}

impl KmsSettings {
    /// A key that is not named by an ARN is one of the gateway's own account.
    fn check_account(&self, key: &str) -> Result<(), ProviderError> {
        let account = key.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(3));
        match account {
            Some(account)
                if !self.allowed_accounts.is_empty() && !self.allowed_accounts.iter().any(|known| known == account) =>
            {
                let message = format!("keys of account {account} are not allowed");
                Err(ProviderError::new(ProviderErrorClass::Denied, AwsKms::ID, message).with_key_id(key))
            }
            _ => Ok(()),
        }
    }
}

/// The keys that the gateway uses.
pub struct Keys {
    ring: RwLock<Arc<KeyRing>>,
    kms: Option<KmsSettings>,
    providers: Mutex<BTreeMap<String, Provider>>,
    unlocked: UnlockedCache,
}

/// A key of the key service, and its bucket keys.
#[derive(Clone)]
struct Provider {
    kms: Arc<AwsKms>,
    bucket_keys: Arc<IntermediateKeys>,
}

impl Keys {
    /// The ring for SSE-S3, and the key service for SSE-KMS; without one, SSE-KMS is refused.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>, kms: Option<KmsSettings>) -> Self {
        let unlocked = UnlockedCache::new(Decryptor::new(ring.clone()));
        Self {
            ring: RwLock::new(ring),
            kms,
            providers: Mutex::default(),
            unlocked,
        }
    }

    /// Sets how long the keys of objects that were read are kept in memory, 5 minutes by default. A permission that is
    /// revoked takes effect after this time. With zero, nothing is kept.
    #[must_use]
    pub fn cached_for(mut self, age: Duration) -> Self {
        self.unlocked = self.unlocked.with_max_age(age);
        if age.is_zero() {
            self.unlocked = self.unlocked.with_max_objects(0);
        }
        self
    }

    /// Replaces the ring, after a rotation.
    pub fn set_ring(&self, ring: Arc<KeyRing>) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// The ring for SSE-S3.
    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Unlocked objects, so that the key service is not called for each range.
    pub(crate) const fn unlocked(&self) -> &UnlockedCache {
        &self.unlocked
    }

    /// The key that requests for SSE-KMS use if they name none.
    pub(crate) fn default_kms_key(&self) -> &str {
        let configured = self.kms.as_ref().and_then(|kms| kms.default_key.as_deref());
        configured.unwrap_or(DEFAULT_KMS_KEY)
    }

    /// A key of the key service: an ARN, an id or an alias.
    ///
    /// # Errors
    /// Class `Configuration` if there is no key service, or the key's name is invalid; class `Denied` if the key is not
    /// one of the allowed ones.
    pub(crate) fn kms(&self, key: &str) -> Result<Arc<AwsKms>, ProviderError> {
        Ok(self.provider(key)?.kms)
    }

    /// The bucket keys under a key of the key service.
    ///
    /// # Errors
    /// As [`Keys::kms`].
    pub(crate) fn bucket_keys(&self, key: &str) -> Result<Arc<IntermediateKeys>, ProviderError> {
        Ok(self.provider(key)?.bucket_keys)
    }

    fn provider(&self, key: &str) -> Result<Provider, ProviderError> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = providers.get(key) {
            return Ok(provider.clone());
        }
        let provider = self.new_provider(key)?;
        if providers.len() >= MAX_PROVIDERS {
            providers.pop_first();
        }
        providers.insert(key.to_owned(), provider.clone());
        Ok(provider)
    }

    fn new_provider(&self, key: &str) -> Result<Provider, ProviderError> {
        let settings = self.kms.as_ref().ok_or_else(|| {
            let message = "this gateway has no key service";
            ProviderError::new(ProviderErrorClass::Configuration, AwsKms::ID, message)
        })?;
        settings.check_account(key)?;
        let mut builder = AwsKms::builder(key.parse::<KmsKey>()?);
        if let Some(config) = &settings.config {
            builder = builder.config(config.clone());
        }
        if let Some(url) = &settings.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        if settings.insecure_endpoint {
            builder = builder.allow_insecure_endpoint();
        }
        if let Some(region) = &settings.region
            && key.parse::<KmsKey>()?.region().is_none()
        {
            builder = builder.region(region);
        }
        if let Some(profile) = &settings.profile {
            builder = builder.profile(profile);
        }
        if !settings.allowed_keys.is_empty() {
            let allowed: Result<Vec<KmsKey>, _> = settings.allowed_keys.iter().map(|key| key.parse()).collect();
            builder = builder.allow_only(allowed?);
        }
        if let Some(calls) = settings.max_concurrent {
            builder = builder.max_concurrent(calls);
        }
        if let Some(calls) = settings.max_per_second {
            builder = builder.max_per_second(calls);
        }
        let kms = Arc::new(builder.build()?);
        let bucket_keys = Arc::new(bucket_keys(kms.clone())?);
        Ok(Provider { kms, bucket_keys })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("kms", &self.kms).finish_non_exhaustive()
    }
}
