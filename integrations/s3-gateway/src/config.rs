//! What the server is started with: flags, and a TOML file with the same names.
//!
//! ```text
//! argv ----> Flags --+
//!                    +--> Flags, merged --> Config: checked, with defaults, without secrets
//! --config -> Flags -+
//! ```

mod access_keys;
mod error;
mod flags;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::access_keys::AccessKeys;
pub use self::error::ConfigError;
pub use self::flags::Flags;
pub use self::store::StoreUrl;

use crate::keys::KmsSettings;
use crate::s3::Options;
use crate::server::{AccessLogTarget, Limits, Settings, TlsFiles};
use crate::sys;

/// What the server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the objects are stored.
    pub store: StoreUrl,
    /// What is to be known of an S3 store.
    pub s3: S3Settings,
    /// The file of the access keys; without one, they come from the environment.
    pub access_keys: Option<PathBuf>,
    /// The key ring of SSE-S3.
    pub keyring: PathBuf,
    /// The key of the ring that seals.
    pub keyring_key: Option<String>,
    /// The key service of SSE-KMS; without one, SSE-KMS is refused.
    pub kms: Option<KmsSettings>,
    /// A local key service in this process.
    pub kms_mock: Option<KmsMock>,
    /// How long the keys of objects that were read are kept in memory.
    pub cached_for: Duration,
    /// How old uploads get that are not completed; without it, as old as they like.
    pub upload_age: Option<Duration>,
    /// What requests are allowed to do.
    pub options: Options,
    /// The server.
    pub server: Settings,
    /// Which messages are logged, in the form of `RUST_LOG`.
    pub log: Option<String>,
}

/// What is to be known of an S3 store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// Its region, if not that of the environment.
    pub region: Option<String>,
    /// The bucket for the probe; without one, the store's first.
    pub probe: Option<String>,
    /// The names of features that it may lack.
    pub lacks: Vec<String>,
}

/// Where the local key service keeps its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KmsMock {
    /// Nowhere.
    Memory,
    /// In this directory.
    Directory(PathBuf),
}

impl Config {
    /// Reads the configuration file, if one is named, and checks everything.
    ///
    /// # Errors
    /// A file cannot be read or parsed, something is missing, or two settings contradict each other.
    pub fn new(flags: Flags) -> Result<Self, ConfigError> {
        let flags = flags.with_file()?;
        let kms = kms(&flags)?;
        let options = Options {
            insecure_customer_keys: flags.allow_insecure_ssec.unwrap_or_default(),
            region: flags.region.clone().unwrap_or_default(),
            domains: flags.domain.clone(),
        };
        Ok(Self {
            store: flags.store.as_deref().ok_or(ConfigError::Missing("--store"))?.parse()?,
            s3: S3Settings {
                region: flags.store_region.clone(),
                probe: flags.store_probe.clone(),
                lacks: flags.store_lacks.clone(),
            },
            keyring: flags.keyring.clone().or_else(usual_ring).ok_or(ConfigError::NoHome)?,
            kms,
            kms_mock: flags.kms_mock.as_deref().map(|place| match place.to_str() {
                Some("memory") => KmsMock::Memory,
                _ => KmsMock::Directory(place.to_owned()),
            }),
            cached_for: Duration::from_secs(flags.key_cache_seconds.unwrap_or(5 * 60)),
            upload_age: Some(flags.upload_days.unwrap_or(7))
                .filter(|&days| days > 0)
                .map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
            options,
            server: server(&flags)?,
            access_keys: flags.access_keys,
            keyring_key: flags.keyring_key,
            log: flags.log,
        })
    }
}

/// The address that is listened on by default: no other machine reaches it.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

fn server(flags: &Flags) -> Result<Settings, ConfigError> {
    let tls = match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificates), Some(key)) => Some(TlsFiles {
            certificates: certificates.clone(),
            key: key.clone(),
        }),
        (None, None) => None,
        (Some(_), None) => return Err(ConfigError::Missing("--tls-key")),
        (None, Some(_)) => return Err(ConfigError::Missing("--tls-cert")),
    };
    let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
    let default = Limits::default();
    Ok(Settings {
        listen: flags.listen.unwrap_or(LISTEN),
        admin_listen: flags.admin_listen,
        tls,
        trust_forwarded_proto: flags.trust_forwarded_proto.unwrap_or_default(),
        domains: flags.domain.clone(),
        access_log: match flags.access_log.as_deref() {
            None => AccessLogTarget::Stderr,
            Some(path) if path.as_os_str() == "-" => AccessLogTarget::Stderr,
            Some(path) if path.as_os_str() == "off" => AccessLogTarget::Off,
            Some(path) => AccessLogTarget::File(path.to_owned()),
        },
        limits: Limits {
            connections: flags.max_connections.unwrap_or(default.connections),
            requests: flags.max_requests.unwrap_or(default.requests),
            idle_timeout: seconds(flags.idle_timeout, default.idle_timeout),
            stall_timeout: seconds(flags.stall_timeout, default.stall_timeout),
            shutdown_timeout: seconds(flags.shutdown_timeout, default.shutdown_timeout),
        },
    })
}

/// The key service: any setting of it asks for it.
fn kms(flags: &Flags) -> Result<Option<KmsSettings>, ConfigError> {
    let settings = KmsSettings {
        config: None,
        endpoint_url: flags.kms_endpoint.clone(),
        insecure_endpoint: flags.kms_insecure_endpoint.unwrap_or_default(),
        region: flags.kms_region.clone(),
        profile: flags.kms_profile.clone(),
        default_key: flags.kms_default_key.clone(),
        allowed_keys: flags.kms_allow_key.clone(),
        allowed_accounts: flags.kms_allow_account.clone(),
        max_concurrent: flags.kms_max_concurrent,
        max_per_second: flags.kms_max_per_second,
    };
    if flags.kms_mock.is_some() && (flags.kms_endpoint.is_some() || flags.kms_region.is_some()) {
        return Err(ConfigError::Conflict("--kms-mock", "--kms-endpoint or --kms-region"));
    }
    let asked = flags.kms.unwrap_or_default()
        || flags.kms_mock.is_some()
        || settings.endpoint_url.is_some()
        || settings.insecure_endpoint
        || settings.region.is_some()
        || settings.profile.is_some()
        || settings.default_key.is_some()
        || !settings.allowed_keys.is_empty()
        || !settings.allowed_accounts.is_empty()
        || settings.max_concurrent.is_some()
        || settings.max_per_second.is_some();
    Ok(asked.then_some(settings))
}

/// The ring that the command line uses.
fn usual_ring() -> Option<PathBuf> {
    let set = std::env::var_os("SEALSTONE_KEYRING").filter(|path| !path.is_empty());
    let usual = || sys::config_dir().map(|dir| dir.join("sealstone").join("keyring.json"));
    set.map(PathBuf::from).or_else(usual)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, ConfigError> {
        let arguments = ["sealstone-gateway", "--store", "memory:", "--keyring", "ring"]
            .iter()
            .chain(arguments);
        Config::new(Flags::try_parse_from(arguments).unwrap())
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        std::fs::write(
            &file,
            "listen = '127.0.0.1:1'\nmax-requests = 7\ndomain = ['a.example']\nkms-insecure-endpoint = true\n\
             trust-forwarded-proto = true\n",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let merged = config(&[
            "--config",
            file,
            "--listen",
            "127.0.0.1:2",
            "--trust-forwarded-proto=false",
        ])
        .unwrap();
        assert_eq!(merged.server.listen.port(), 2);
        assert_eq!(merged.server.limits.requests, 7);
        assert_eq!(merged.server.domains, ["a.example"]);
        assert!(!merged.server.trust_forwarded_proto);
        assert!(merged.kms.unwrap().insecure_endpoint);
    }

    #[test]
    fn a_file_with_a_name_that_is_no_flag_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, "max-request = 7\n").unwrap();
        let error = config(&["--config", file.to_str().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("max-request"), "{error}");
    }

    #[test]
    fn the_key_service_is_used_if_anything_of_it_is_set() {
        assert!(config(&[]).unwrap().kms.is_none());
        for flags in [
            &["--kms"][..],
            &["--kms-endpoint", "https://kms.example"],
            &["--kms-allow-key", "arn:aws:kms:us-east-1:000000000000:key/k"],
            &["--kms-mock", "memory"],
        ] {
            assert!(config(flags).unwrap().kms.is_some(), "{flags:?}");
        }
    }

    #[test]
    fn half_a_setting_is_refused() {
        for (flags, part) in [
            (&["--tls-cert", "c"][..], "--tls-key"),
            (&["--tls-key", "k"], "--tls-cert"),
            (&["--kms-mock", "memory", "--kms-endpoint", "https://k"], "--kms-mock"),
        ] {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
