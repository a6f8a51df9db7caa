//! What a client of KMS is made of.

use std::fmt;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use sealstone::{ProviderError, ProviderErrorClass};

use crate::KmsKey;
use crate::errors::failure;

/// What calls of KMS are made with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) key: KmsKey,
    /// Key ARNs; `None` for all.
    pub(crate) allowed: Option<Vec<KmsKey>>,
    /// Keys whose slots may be wrapped anew under `key`.
    pub(crate) sources: Vec<KmsKey>,
    /// `None` for that of the environment.
    pub(crate) region: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) config: Option<SdkConfig>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_attempts: u32,
}

impl Settings {
    /// The client, with the rest of its configuration from the environment.
    ///
    /// # Errors
    /// Class `Configuration` if there is no region.
    pub(crate) async fn connect(&self) -> Result<Client, ProviderError> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => self.load().await,
        };
        if self.region.is_none() && config.region().is_none() {
            let message = "no region is known; name the key with @REGION, or set AWS_REGION";
            return Err(failure(ProviderErrorClass::Configuration, &self.key, message));
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.attempt_timeout)
            .build();
        let has_version = config.behavior_version().is_some();
        let mut config = aws_sdk_kms::config::Builder::from(&config)
            .retry_config(RetryConfig::standard().with_max_attempts(self.max_attempts))
            .timeout_config(timeouts);
        // The client panics without one.
        if !has_version {
            config = config.behavior_version(BehaviorVersion::latest());
        }
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            config = config.endpoint_url(url);
        }
        Ok(Client::from_conf(config.build()))
    }

    async fn load(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        // Known, it need not be asked of the machine.
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        loader.load().await
    }
}

/// Nothing of a configuration that may hold credentials.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("key", &self.key)
            .field("allowed", &self.allowed)
            .field("sources", &self.sources)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("profile", &self.profile)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
