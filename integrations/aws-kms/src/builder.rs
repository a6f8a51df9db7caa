//! The settings of providers and clients.

use std::time::Duration;

use aws_config::SdkConfig;
use sealstone::error::{ProviderError, ProviderErrorClass};

use crate::KmsKey;
use crate::calls::Calls;
use crate::client::KmsClient;
use crate::endpoint::{EXPOSED, is_exposed};
use crate::errors::failure;
use crate::limit::Limit;
use crate::provider::AwsKms;
use crate::service::Service;
use crate::settings::{Settings, is_url};

/// The settings of an [`AwsKms`] or a [`KmsClient`]. Everything else is configured as for every AWS tool: by the
/// environment, the profile, or the role of the machine or container.
#[derive(Debug, Clone)]
#[must_use = "nothing is built yet"]
pub struct KmsBuilder<T> {
    settings: Settings,
    region: Option<String>,
    max_concurrent: Option<usize>,
    max_per_second: Option<u32>,
    target: T,
}

/// Builds an [`AwsKms`].
pub type AwsKmsBuilder = KmsBuilder<SlotKey>;

/// Builds a [`KmsClient`].
pub type KmsClientBuilder = KmsBuilder<AnyKey>;

/// The key of an [`AwsKms`], and the keys whose slots it may rewrap.
#[derive(Debug, Clone)]
pub struct SlotKey {
    key: KmsKey,
    sources: Vec<KmsKey>,
}

/// No key: a [`KmsClient`] names one with each call.
#[derive(Debug, Clone)]
pub struct AnyKey(());

impl AwsKms {
    /// Builds a provider of this key, with the configuration of every AWS tool: credentials, profile, region, endpoint.
    pub const fn builder(key: KmsKey) -> AwsKmsBuilder {
        let sources = Vec::new();
        KmsBuilder::new(SlotKey { key, sources })
    }
}

impl KmsClient {
    /// Builds a client with the configuration of every AWS tool: credentials, profile, region, endpoint.
    pub const fn builder() -> KmsClientBuilder {
        KmsBuilder::new(AnyKey(()))
    }
}

impl<T> KmsBuilder<T> {
    const fn new(target: T) -> Self {
        Self {
            settings: Settings {
                allowed: None,
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
            target,
        }
    }

    /// Sets the configuration to start from, instead of the environment's: for programs with their own credentials. Its
    /// retries and timeouts are not used.
    pub fn config(mut self, config: SdkConfig) -> Self {
        self.settings.config = Some(config);
        self
    }

    /// Sets the endpoint of KMS, such as `http://127.0.0.1:4599` for a local one. The default is AWS's own endpoint of
    /// the region, or the one configured by `AWS_ENDPOINT_URL_KMS` or the profile.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.settings.endpoint_url = Some(url.into());
        self
    }

    /// Allows a plain `http://` endpoint on another machine, wherever it is configured. Anyone on the network path can
    /// read the data keys in its responses. Without this, only endpoints on this machine may do without TLS.
    pub const fn allow_insecure_endpoint(mut self) -> Self {
        self.settings.insecure_endpoint = true;
        self
    }

    /// Sets the region, for keys that are not named with one.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the profile of the AWS configuration files, instead of `AWS_PROFILE`.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.settings.profile = Some(name.into());
        self
    }

    /// Sets the only keys that may be used, by their key ARNs. A slot that names another key causes no call, and a
    /// response for another key, such as one that an alias was moved to, is refused.
    pub fn allow_only(mut self, keys: impl IntoIterator<Item = KmsKey>) -> Self {
        self.settings.allowed = Some(keys.into_iter().collect());
        self
    }

    /// Sets how many calls may be in progress at once; at least 1. No limit by default.
    pub const fn max_concurrent(mut self, calls: usize) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Sets how many calls are started per second, evenly spaced; at least 1. No limit by default. Retries do not
    /// count: they are few and far apart.
    pub const fn max_per_second(mut self, calls: u32) -> Self {
        self.max_per_second = Some(calls);
        self
    }

    /// Sets the time for a whole call, including waiting and retries. 30 seconds by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the time for one attempt. 5 seconds by default.
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = timeout;
        self
    }

    /// Sets the time to connect. 3 seconds by default.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how many attempts a call may take, at least 1; 4 by default. Throttling and failures of the service or the
    /// network are retried, each time after a random wait whose bound starts at a second and doubles.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The service with these settings, for `key` if there is one.
    fn service(self, key: Option<&KmsKey>) -> Result<(Service, T), ProviderError> {
        let mut settings = self.settings;
        let refused = |message: String| Err(failure(ProviderErrorClass::Configuration, key, message));
        if let Some(allowed) = &settings.allowed {
            if let Some(other) = allowed.iter().find(|allowed| !allowed.is_key_arn()) {
                return refused(format!(
                    "allowed keys are named by their key ARNs, and {other} is not one"
                ));
            }
            if key.is_some_and(|key| key.is_key_arn() && !allowed.contains(key)) {
                return refused("it is not one of the allowed keys".to_owned());
            }
        }
        let own = key.and_then(KmsKey::region);
        if let (Some(own), Some(region)) = (own, &self.region)
            && own != region
        {
            return refused(format!("it is a key of {own}, and the region to call is {region}"));
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
        settings.region = own.map(str::to_owned).or(self.region);
        let limit = Limit::new(self.max_concurrent, self.max_per_second);
        Ok((Service::new(settings, limit), self.target))
    }
}

impl AwsKmsBuilder {
    /// Sets other keys that slots may be rewrapped from, by KMS itself and without revealing the data key. Slots of
    /// other keys are unwrapped and wrapped.
    ///
    /// The caller must name these keys because a slot cannot be trusted: otherwise a forged header could make KMS use
    /// any key, and that key's owner would learn the caller and the encryption context.
    pub fn rewraps_from(mut self, keys: impl IntoIterator<Item = KmsKey>) -> Self {
        self.target.sources = keys.into_iter().collect();
        self
    }

    /// Builds the provider. It makes no call yet: the first call looks up credentials and configuration.
    ///
    /// # Errors
    /// Class `Configuration` for contradictory settings, and for an endpoint that is insecure or not a URL; class
    /// `Unavailable` if its thread cannot be started.
    pub fn build(self) -> Result<AwsKms, ProviderError> {
        let key = self.target.key.clone();
        let (service, SlotKey { key, sources }) = self.service(Some(&key))?;
        AwsKms::new(Calls { service, key, sources })
    }
}

impl KmsClientBuilder {
    /// Builds the client. It makes no call yet: the first call looks up credentials and configuration.
    ///
    /// # Errors
    /// As [`AwsKmsBuilder::build`].
    pub fn build(self) -> Result<KmsClient, ProviderError> {
        let (service, AnyKey(())) = self.service(None)?;
        KmsClient::new(service)
    }
}
