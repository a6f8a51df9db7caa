//! What an [`AwsKms`] can be told.

use std::time::Duration;

use aws_config::SdkConfig;
use sealstone::{ProviderError, ProviderErrorClass};

use crate::KmsKey;
use crate::endpoint::{EXPOSED, is_exposed};
use crate::errors::failure;
use crate::limit::Limit;
use crate::provider::AwsKms;
use crate::settings::{Settings, is_url};

/// Settings of an [`AwsKms`]. What is not set here comes from where every AWS tool takes it: the environment, the
/// profile, the machine's or container's role.
#[derive(Debug, Clone)]
#[must_use = "nothing is made yet"]
pub struct AwsKmsBuilder {
    settings: Settings,
    region: Option<String>,
    max_concurrent: Option<usize>,
    max_per_second: Option<u32>,
}

impl AwsKms {
    /// For this key, with the configuration of every AWS tool: credentials, profile, region, endpoint.
    pub const fn builder(key: KmsKey) -> AwsKmsBuilder {
        AwsKmsBuilder::new(key)
    }
}

impl AwsKmsBuilder {
    const fn new(key: KmsKey) -> Self {
        Self {
            settings: Settings {
                key,
                allowed: None,
                sources: Vec::new(),
                region: None,
                timeout: Duration::from_secs(30),
                config: None,
                endpoint_url: None,
                insecure_endpoint: false,
                profile: None,
                attempt_timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(3),
                max_attempts: 4,
            },
            region: None,
            max_concurrent: None,
            max_per_second: None,
        }
    }

    /// The configuration to begin with, in the place of the environment's: for programs that have one, with
    /// credentials of their own. Its retries and timeouts are not used.
    pub fn config(mut self, config: SdkConfig) -> Self {
        self.settings.config = Some(config);
        self
    }

    /// Where KMS is asked, such as `http://127.0.0.1:4599` for a local one. By default AWS's own endpoint of the
    /// region, or what `AWS_ENDPOINT_URL_KMS` or the profile says.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.settings.endpoint_url = Some(url.into());
        self
    }

    /// Allows an endpoint of plain `http://` on another machine, wherever it is configured: whoever is on the way reads
    /// the data keys in its answers. Without this, only an endpoint of this machine may be without TLS.
    pub const fn allow_insecure_endpoint(mut self) -> Self {
        self.settings.insecure_endpoint = true;
        self
    }

    /// The region of a key that is not named with one.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The profile of the AWS configuration files to use, in the place of `AWS_PROFILE`.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.settings.profile = Some(name.into());
        self
    }

    /// The only keys that may be used, by their key ARNs. A slot that names another one gets no call, and what KMS
    /// answers for another one, such as what an alias has come to stand for, is refused.
    pub fn allow_only(mut self, keys: impl IntoIterator<Item = KmsKey>) -> Self {
        self.settings.allowed = Some(keys.into_iter().collect());
        self
    }

    /// Other keys that slots may be rewrapped from, by KMS and without the data key leaving it. Slots of keys that
    /// are not named here are unwrapped and wrapped.
    ///
    /// These are named by the caller because a slot cannot be believed: KMS would be asked for whatever key a forged
    /// header names, and tell that key's owner the caller and the encryption context.
    pub fn rewraps_from(mut self, keys: impl IntoIterator<Item = KmsKey>) -> Self {
        self.settings.sources = keys.into_iter().collect();
        self
    }

    /// How many calls may be under way at the same time; at least 1. By default there is no limit.
    pub const fn max_concurrent(mut self, calls: usize) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// How many calls are begun in a second, evenly spread; at least 1. By default there is no limit. Attempts after
    /// a failed one are not counted: they are few, and far apart.
    pub const fn max_per_second(mut self, calls: u32) -> Self {
        self.max_per_second = Some(calls);
        self
    }

    /// How long a call may take as a whole, with all waiting and all attempts. By default 30 seconds.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How long one attempt may take. By default 5 seconds.
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = timeout;
        self
    }

    /// How long connecting may take. By default 3 seconds.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How often a call is tried; at least once. By default 4 times. What may be tried again is throttling, failures
    /// of the service, and what the network does; before each attempt is a random wait whose bound doubles, from a
    /// second on.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The provider. It calls nothing yet: credentials and configuration are looked for at the first call.
    ///
    /// # Errors
    /// Class `Configuration` for settings that contradict each other, and an endpoint that is no URL or an insecure one;
    /// class `Unavailable` if its thread cannot be
    /// started.
    pub fn build(self) -> Result<AwsKms, ProviderError> {
        let mut settings = self.settings;
        let key = &settings.key;
        let refused = |message: String| Err(failure(ProviderErrorClass::Configuration, key, message));
        if let Some(allowed) = &settings.allowed {
            if let Some(other) = allowed.iter().find(|allowed| !allowed.is_key_arn()) {
                return refused(format!("keys are allowed by their key ARNs, and {other} is not one"));
            }
            if key.is_key_arn() && !allowed.contains(key) {
                return refused("it is not one of the allowed keys".to_owned());
            }
        }
        if let (Some(own), Some(region)) = (key.region(), &self.region)
            && own != region
        {
            return refused(format!("it is a key of {own}, and the region to ask is {region}"));
        }
        if let Some(url) = &settings.endpoint_url
            && !is_url(url)
        {
            return refused(format!(
                "its endpoint {url:?} is not a URL that begins with http:// or https://"
            ));
        }
        if let Some(url) = &settings.endpoint_url
            && !settings.insecure_endpoint
            && is_exposed(url)
        {
            return refused(EXPOSED.to_owned());
        }
        settings.region = key.region().map(str::to_owned).or(self.region);
        AwsKms::new(settings, Limit::new(self.max_concurrent, self.max_per_second))
    }
}
