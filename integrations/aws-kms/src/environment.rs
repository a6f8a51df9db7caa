//! The configuration of AWS's tools: the environment, profiles, and the role of the machine or container. Also for
//! programs that use other services of AWS beside KMS.
//!
//! As with the `aws` command, a variable set to the empty string counts as unset; AWS's client would use the empty
//! string.

use std::env;
use std::path::PathBuf;

use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_kms::config::Region;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;

const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// The endpoint of all services.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// A variable that is never set, to look up a setting in the profile only.
const NO_VARIABLE: &str = "SEALSTONE_NO_VARIABLE";

/// Returns a loader of the configuration, with this profile and region instead of the environment's.
pub fn loader(profile: Option<&str>, region: Option<&str>) -> ConfigLoader {
    let blank_profile = || is_blank("AWS_PROFILE").then_some("default");
    let profile = profile.or_else(blank_profile);
    let files = files();
    // The retry settings that it would read are not used, and a value that is not a number would panic.
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::standard());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(files) = &files {
        loader = loader.profile_files(files.clone());
    }
    // A known region is not looked up.
    if let Some(region) = region {
        return loader.region(Region::new(region.to_owned()));
    }
    if !REGIONS.into_iter().any(is_blank) {
        return loader;
    }
    let mut of_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    if let Some(files) = files {
        of_profile = of_profile.profile_files(files);
    }
    let set = REGIONS.into_iter().find_map(value).map(Region::new);
    let chain = RegionProviderChain::first_try(set).or_else(of_profile.build());
    loader.region(chain.or_else(ImdsRegionProvider::builder().build()))
}

/// Returns the configured endpoint of a service, such as `KMS` or `S3`; `None` for AWS's own endpoint of the region.
pub fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    if config.get_origin("endpoint_url").is_client_config() {
        return config.endpoint_url().map(str::to_owned);
    }
    let of_service = |variable| {
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env(variable)
            .profile("endpoint_url")
            .build()
            .ok()?;
        config.service_config()?.load_config(key)
    };
    let variables = [&format!("{ENDPOINT}_{service}"), ENDPOINT];
    let found = if variables.into_iter().any(is_blank) {
        let set = variables.into_iter().find_map(value);
        set.or_else(|| of_service(NO_VARIABLE))
    } else {
        let of_service = of_service(ENDPOINT);
        of_service.or_else(|| config.endpoint_url().map(str::to_owned))
    };
    found.filter(|url| !url.trim().is_empty())
}

/// The profile files, if a variable that names one of them is blank.
fn files() -> Option<EnvConfigFiles> {
    use EnvConfigFileKind::{Config, Credentials};
    let [config, credentials] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].map(is_blank);
    if !config && !credentials {
        return None;
    }
    let mut files = EnvConfigFiles::builder();
    for (blank, kind, name) in [(config, Config, "config"), (credentials, Credentials, "credentials")] {
        files = match (blank, kind) {
            (false, Config) => files.include_default_config_file(true),
            (false, _) => files.include_default_credentials_file(true),
            // A named file must exist; the default one need not.
            (true, kind) => match default_file(name) {
                Some(path) => files.with_file(kind, path),
                None => files,
            },
        };
    }
    Some(files.build())
}

fn default_file(name: &str) -> Option<PathBuf> {
    let path = env::home_dir()?.join(".aws").join(name);
    path.is_file().then_some(path)
}

fn is_blank(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| value.trim().is_empty())
}

fn value(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.trim().is_empty())
}
