//! The keys that the gateway uses: the ring of SSE-S3, and the key service of SSE-KMS.

use std::sync::Arc;
use std::time::Duration;

use sealstone::KeyRing;

/// How to reach AWS KMS, and which of its keys may be used. What is not set is configured as for every AWS tool.
#[derive(Debug, Clone, Default)]
pub struct KmsSettings {
    /// The URL of AWS KMS.
    pub endpoint_url: Option<String>,
    /// Allow an `http://` URL of another machine.
    pub insecure_endpoint: bool,
    /// The region of keys that are named without one.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// The key of requests that name none, instead of `alias/aws/s3`.
    pub default_key: Option<String>,
    /// The only keys that may be used, by their ARNs; all if empty.
    pub allowed_keys: Vec<String>,
    /// How many calls may be in progress at once.
    pub max_concurrent: Option<usize>,
    /// How many calls are started per second.
    pub max_per_second: Option<u32>,
}

/// The keys that the gateway uses.
#[derive(Debug, Clone)]
pub struct Keys {
    ring: Arc<KeyRing>,
    kms: Option<KmsSettings>,
    cached_for: Duration,
}

impl Keys {
    /// The ring for SSE-S3, and the key service for SSE-KMS; without one, SSE-KMS is refused.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>, kms: Option<KmsSettings>) -> Self {
        Self {
            ring,
            kms,
            cached_for: Duration::from_secs(5 * 60),
        }
    }

    /// Sets how long the keys of objects that were read are kept in memory, 5 minutes by default. A permission that is
    /// revoked takes effect after this time.
    #[must_use]
    pub const fn cached_for(mut self, age: Duration) -> Self {
        self.cached_for = age;
        self
    }
}
