//! Flags, which are also the settings of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueHint};
use serde::Deserialize;

use super::ConfigError;

/// An S3 server that encrypts: SSE-S3, SSE-KMS and SSE-C in front of a directory or any S3 store
///
/// Objects are encrypted before they reach the store, and decrypted on their way back. Any number of gateways can serve
/// one store: they keep no state, but need the same key ring.
#[derive(Debug, Default, Parser, Deserialize)]
#[command(name = "sealstone-gateway", version, after_help = AFTER_HELP)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Flags {
    /// Read settings from this TOML file: the names of the flags without dashes, as in max-requests = 100. Flags win
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
    /// Where objects are stored: a directory, s3:// for AWS S3, or the URL of another S3 server
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    /// The region of the S3 store [default: as for all AWS tools]
    #[arg(long, value_name = "REGION")]
    pub(super) store_region: Option<String>,
    /// The bucket of the S3 store that is used to probe whether the store does what it must [default: its first one]
    #[arg(long, value_name = "BUCKET")]
    pub(super) store_probe: Option<String>,
    /// Run on an S3 store that lacks this feature, and refuse requests that need it; repeatable. The probe names them
    #[arg(long, value_name = "FEATURE")]
    #[serde(default)]
    pub(super) store_lacks: Vec<String>,
    /// The region that buckets are in [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Drop multipart uploads that were begun this many days ago and not completed; 0 is never [default: 7]
    #[arg(long, value_name = "DAYS")]
    pub(super) upload_days: Option<u32>,

    /// The address to listen on; port 0 picks a free port [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR", help_heading = "Server")]
    pub(super) listen: Option<SocketAddr>,
    /// Serve bucket.DOMAIN as well as DOMAIN/bucket; repeatable
    #[arg(long, value_name = "DOMAIN", help_heading = "Server")]
    #[serde(default)]
    pub(super) domain: Vec<String>,
    /// Serve over TLS with this certificate chain, in PEM; read again on SIGHUP
    #[arg(long, value_name = "FILE", help_heading = "Server", value_hint = ValueHint::FilePath)]
    pub(super) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "Server", value_hint = ValueHint::FilePath)]
    pub(super) tls_key: Option<PathBuf>,
    /// Take a connection for encrypted if X-Forwarded-Proto says https: only where a proxy sets it, and nobody else can connect
    #[arg(long, help_heading = "Server", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) trust_forwarded_proto: Option<bool>,
    /// Serve /-/healthy and /-/metrics on this address [default: neither]
    #[arg(long, value_name = "ADDR", help_heading = "Server")]
    pub(super) admin_listen: Option<SocketAddr>,
    /// Append a line of JSON for each request to this file, opened again on SIGHUP; - is standard error, off is nowhere [default: -]
    #[arg(long, value_name = "FILE", help_heading = "Server", value_hint = ValueHint::FilePath)]
    pub(super) access_log: Option<PathBuf>,
    /// What else is logged to standard error, in the form of RUST_LOG [default: $RUST_LOG, or info]
    #[arg(long, value_name = "FILTER", help_heading = "Server")]
    pub(super) log: Option<String>,

    /// Connections at a time; more wait until one ends [default: 1024]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = at_least_one)]
    pub(super) max_connections: Option<usize>,
    /// Requests at a time, which bounds memory; more wait until one ends [default: 256]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = at_least_one)]
    pub(super) max_requests: Option<usize>,
    /// Close a connection that sends no complete request head within this time, or no form whose signature is valid [default: 60]
    #[arg(long, value_name = "SECONDS", help_heading = "Limits", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) idle_timeout: Option<u64>,
    /// Abort a request whose client takes or sends no byte for this time; a slow one may take as long as it likes [default: 300]
    #[arg(long, value_name = "SECONDS", help_heading = "Limits", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stall_timeout: Option<u64>,
    /// On SIGTERM and SIGINT, let the requests in progress take this long to finish [default: 30]
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    pub(super) shutdown_timeout: Option<u64>,

    /// The access keys of clients: a line ID:SECRET for each, in a file that only its owner can read; read again on SIGHUP
    /// [default: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Keys", value_hint = ValueHint::FilePath)]
    pub(super) access_keys: Option<PathBuf>,
    /// The key ring file of SSE-S3, created at the first start and read again on SIGHUP
    /// [default: $SEALSTONE_KEYRING, or one in the user's configuration directory]
    #[arg(long, value_name = "FILE", help_heading = "Keys", value_hint = ValueHint::FilePath)]
    pub(super) keyring: Option<PathBuf>,
    /// The key of the key ring that encrypts [default: default]
    #[arg(long, value_name = "NAME", help_heading = "Keys")]
    pub(super) keyring_key: Option<String>,
    /// Keep the keys of objects that were read in memory for this time: a revoked permission takes effect after it [default: 300]
    #[arg(long, value_name = "SECONDS", help_heading = "Keys")]
    pub(super) key_cache_seconds: Option<u64>,
    /// Accept SSE-C over connections without TLS: anyone on the network path can read the keys
    #[arg(long, help_heading = "Keys", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) allow_insecure_ssec: Option<bool>,

    /// Serve SSE-KMS with AWS KMS, configured as for all AWS tools; each of the following implies it
    #[arg(long, help_heading = "AWS KMS", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) kms: Option<bool>,
    /// The URL of AWS KMS [default: $AWS_ENDPOINT_URL_KMS, profiles, the region's own]
    #[arg(long, value_name = "URL", help_heading = "AWS KMS")]
    pub(super) kms_endpoint: Option<String>,
    /// Allow AWS KMS at an http:// URL of another machine: anyone on the network path can read the keys
    #[arg(long, help_heading = "AWS KMS", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) kms_insecure_endpoint: Option<bool>,
    /// The region of keys that are named without one
    #[arg(long, value_name = "REGION", help_heading = "AWS KMS")]
    pub(super) kms_region: Option<String>,
    /// The profile of the AWS configuration files
    #[arg(long, value_name = "NAME", help_heading = "AWS KMS")]
    pub(super) kms_profile: Option<String>,
    /// The key of requests that name none [default: alias/aws/s3]
    #[arg(long, value_name = "KEY", help_heading = "AWS KMS")]
    pub(super) kms_default_key: Option<String>,
    /// Refuse all keys but this one; repeatable
    #[arg(long, value_name = "ARN", help_heading = "AWS KMS")]
    #[serde(default)]
    pub(super) kms_allow_key: Vec<String>,
    /// Refuse keys of all AWS accounts but this one; repeatable
    #[arg(long, value_name = "ACCOUNT", help_heading = "AWS KMS")]
    #[serde(default)]
    pub(super) kms_allow_account: Vec<String>,
    /// Calls of AWS KMS in progress at once, for each key
    #[arg(long, value_name = "N", help_heading = "AWS KMS", value_parser = at_least_one)]
    pub(super) kms_max_concurrent: Option<usize>,
    /// Call AWS KMS at most this many times a second for each key
    #[arg(long, value_name = "N", help_heading = "AWS KMS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) kms_max_per_second: Option<u32>,
    /// To try the gateway out: run a local key service that keeps its keys in this directory, or in memory. NOT a real KMS
    #[arg(long, value_name = "DIR|memory", help_heading = "AWS KMS", value_hint = ValueHint::DirPath)]
    pub(super) kms_mock: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Signals:
  SIGHUP           read the key ring, the access keys and the certificate again, and open the access log again
  SIGTERM, SIGINT  finish the requests in progress, then exit; a second one exits at once

Examples:
  sealstone-gateway --store /srv/objects
  sealstone-gateway --store /tmp/demo --kms-mock memory
  sealstone-gateway --store https://storage.example --kms --access-keys /etc/sealstone/access-keys \\
      --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem

Clients have all permissions: every access key reads and writes every object of the store. AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY are also the gateway's own credentials at AWS KMS and at an S3 store: with either, give clients
keys of their own in --access-keys.";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

impl Flags {
    /// These flags, and of the configuration file what they leave open.
    pub(super) fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.clone(), error))?;
        let file = toml::from_str(&text).map_err(|error| ConfigError::Malformed(path.clone(), error.to_string()))?;
        Ok(self.or(file))
    }

    fn or(self, file: Self) -> Self {
        let list = |flags: Vec<String>, file| if flags.is_empty() { file } else { flags };
        Self {
            config: self.config,
            store: self.store.or(file.store),
            store_region: self.store_region.or(file.store_region),
            store_probe: self.store_probe.or(file.store_probe),
            store_lacks: list(self.store_lacks, file.store_lacks),
            region: self.region.or(file.region),
            upload_days: self.upload_days.or(file.upload_days),
            listen: self.listen.or(file.listen),
            domain: list(self.domain, file.domain),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            trust_forwarded_proto: self.trust_forwarded_proto.or(file.trust_forwarded_proto),
            admin_listen: self.admin_listen.or(file.admin_listen),
            access_log: self.access_log.or(file.access_log),
            log: self.log.or(file.log),
            max_connections: self.max_connections.or(file.max_connections),
            max_requests: self.max_requests.or(file.max_requests),
            idle_timeout: self.idle_timeout.or(file.idle_timeout),
            stall_timeout: self.stall_timeout.or(file.stall_timeout),
            shutdown_timeout: self.shutdown_timeout.or(file.shutdown_timeout),
            access_keys: self.access_keys.or(file.access_keys),
            keyring: self.keyring.or(file.keyring),
            keyring_key: self.keyring_key.or(file.keyring_key),
            key_cache_seconds: self.key_cache_seconds.or(file.key_cache_seconds),
            allow_insecure_ssec: self.allow_insecure_ssec.or(file.allow_insecure_ssec),
            kms: self.kms.or(file.kms),
            kms_endpoint: self.kms_endpoint.or(file.kms_endpoint),
            kms_insecure_endpoint: self.kms_insecure_endpoint.or(file.kms_insecure_endpoint),
            kms_region: self.kms_region.or(file.kms_region),
            kms_profile: self.kms_profile.or(file.kms_profile),
            kms_default_key: self.kms_default_key.or(file.kms_default_key),
            kms_allow_key: list(self.kms_allow_key, file.kms_allow_key),
            kms_allow_account: list(self.kms_allow_account, file.kms_allow_account),
            kms_max_concurrent: self.kms_max_concurrent.or(file.kms_max_concurrent),
            kms_max_per_second: self.kms_max_per_second.or(file.kms_max_per_second),
            kms_mock: self.kms_mock.or(file.kms_mock),
        }
    }
}
