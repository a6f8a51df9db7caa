//! The settings of a KMS client.

use std::fmt;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use sealstone::error::{ProviderError, ProviderErrorClass};

use crate::endpoint::RefuseExposed;
use crate::errors::failure;
use crate::{KmsKey, environment};

/// How to call KMS.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The only keys that may be used, by key ARN; `None` allows all.
    pub(crate) allowed: Option<Vec<KmsKey>>,
    /// `None` means the environment's.
    pub(crate) region: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) config: Option<SdkConfig>,
    pub(crate) endpoint_url: Option<String>,
    /// Whether plain HTTP to another machine is allowed.
    pub(crate) insecure_endpoint: bool,
    pub(crate) profile: Option<String>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_attempts: u32,
}

impl Settings {
    /// Creates the client, with the rest of its configuration from the environment. Errors name `key`.
    ///
    /// # Errors
    /// Class `Configuration` for a missing or impossible region, and for an endpoint that is not a URL.
    pub(crate) async fn connect(&self, key: Option<&KmsKey>) -> Result<Client, ProviderError> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => self.load().await,
        };
        let refused = |message: String| Err(failure(ProviderErrorClass::Configuration, key, message));
        let region = self.region.as_deref().or_else(|| config.region().map(Region::as_ref));
        match region {
            None => return refused("no region is known; name the key with @REGION, or set AWS_REGION".to_owned()),
            Some(region) if !is_region(region) => {
                return refused(format!(
                    "{region:?} is not the name of a region; check AWS_REGION and the profile"
                ));
            }
            Some(_) => {}
        }
        let endpoint = self
            .endpoint_url
            .clone()
            .or_else(|| environment::endpoint(&config, "KMS"));
        if let Some(url) = endpoint.as_deref().filter(|url| !is_url(url)) {
            return refused(format!(
                "the endpoint {url:?} is not a URL that begins with http:// or https://; check AWS_ENDPOINT_URL_KMS, \
                 AWS_ENDPOINT_URL and the profile"
            ));
        }
        if let Some(region) = region.filter(|region| endpoint.is_none() && !is_region_of_aws(region)) {
            return refused(format!(
                "{region:?} is not the name of a region of AWS, such as eu-central-1; check AWS_REGION and the profile, or \
                 name the endpoint of another service"
            ));
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.attempt_timeout)
            .build();
        let has_version = config.behavior_version().is_some();
        let mut config = aws_sdk_kms::config::Builder::from(&config)
            .retry_config(RetryConfig::standard().with_max_attempts(self.max_attempts))
            .timeout_config(timeouts);
        // The client panics without a version.
        if !has_version {
            config = config.behavior_version(BehaviorVersion::latest());
        }
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        config.set_endpoint_url(endpoint);
        if !self.insecure_endpoint {
            config = config.interceptor(RefuseExposed);
        }
        Ok(Client::from_conf(config.build()))
    }

    async fn load(&self) -> SdkConfig {
        environment::loader(self.profile.as_deref(), self.region.as_deref())
            .load()
            .await
    }
}

/// Whether it can be part of a host name. Otherwise no request could be sent, which would look like an outage.
fn is_region(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether it looks like the name of an AWS region: words and a number. Other names have no host, and a failed lookup
/// could not be distinguished from an outage.
fn is_region_of_aws(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('-').count() >= 3 && name.split('-').any(is_number)
}

/// Detects what is obviously not a URL before the first call. The client parses the rest; it ignores an impossible
/// port.
pub(crate) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        rest.bytes().all(|byte| byte.is_ascii_graphic()) && is_host_and_port(authority)
    })
}

fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, rest))) => (address, rest),
        Some(None) => return false,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    port && !host.is_empty() && host.bytes().all(of_host)
}

/// Omits the configuration, which may hold credentials.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("allowed", &self.allowed)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("insecure_endpoint", &self.insecure_endpoint)
            .field("profile", &self.profile)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
