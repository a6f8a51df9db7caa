//! Any S3 store: the gateway's buckets are the store's.
//!
//! Payloads stream, with their length sent before them and neither checksum nor signature over them, which many stores
//! refuse in the form that AWS's client prefers. What the payloads are is verified when they are opened.
//!
//! A request is sent again only if a second one can do no harm: never a conditional write, which would find its own
//! result and report that the object has changed.

mod attributes;
mod body;
mod copy;
mod errors;
mod list;
mod probe;
mod read;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use self::probe::{ProbeError, Requirement};

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use sealstone_aws_kms::environment;

use super::{
    Attributes, Backend, BackendError, Body, Condition, ListPage, ListRequest, Location, StoredBytes, StoredObject,
    StoredRange, StoredUpload, Tags, UploadedPart,
};

/// Attempts of a request that may be sent again, the first included.
const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Of servers that do not care. AWS's own endpoints need the bucket's.
const DEFAULT_REGION: &str = "us-east-1";

/// Where an S3 store is, and how long to wait for it.
///
/// Credentials come from where every AWS tool looks for them, as does all that is not set here.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The server's URL; without it, the environment's, or else AWS's endpoint of the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The profile in AWS's configuration files.
    pub profile: Option<String>,
    /// Whether the bucket is in the path rather than in the host name. By default it is, except at AWS's own endpoints.
    pub path_style: Option<bool>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next thing that the store must do: respond, or take or send more bytes. Time in which
    /// the gateway's client keeps the store waiting does not count.
    pub idle_timeout: Duration,
    /// How long to wait for copies and completed uploads, to which stores respond when all bytes have been moved.
    pub move_timeout: Duration,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            profile: None,
            path_style: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            move_timeout: Duration::from_secs(15 * 60),
        }
    }
}

/// A [`Backend`] in an S3 store.
pub struct S3Backend {
    client: Client,
    idle_timeout: Duration,
    move_timeout: Duration,
    /// Where new buckets are.
    region: String,
    /// What the probe has found to be missing.
    lacks: OnceLock<Vec<Requirement>>,
}

impl fmt::Debug for S3Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Backend")
            .field("region", &self.region)
            .field("lacks", &self.lacks)
            .finish_non_exhaustive()
    }
}

impl S3Backend {
    /// Makes a client of the store, without a request to it. Before it serves anything, [`probe`](Self::probe) the store.
    pub async fn new(config: &S3Config) -> Self {
        let environment = environment::loader(config.profile.as_deref(), config.region.as_deref());
        let environment = environment.load().await;
        let endpoint = config.endpoint.clone();
        let endpoint = endpoint.or_else(|| environment::endpoint(&environment, "S3"));
        let mut builder = Builder::from(&environment);
        builder.set_endpoint_url(endpoint.clone());
        let region = environment.region().map_or(DEFAULT_REGION, |region| region.as_ref());
        Self::with(builder, region, endpoint.is_some(), config)
    }

    /// With a client's configuration that has its endpoint and its credentials.
    fn with(builder: Builder, region: &str, has_endpoint: bool, config: &S3Config) -> Self {
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .operation_attempt_timeout(config.idle_timeout)
            .build();
        let builder = builder
            .region(Region::new(region.to_owned()))
            .force_path_style(config.path_style.unwrap_or(has_endpoint))
            .disable_s3_express_session_auth(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // It counts the time that the gateway's client takes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(retries)
            .timeout_config(timeouts);
        Self {
            client: Client::from_conf(builder.build()),
            idle_timeout: config.idle_timeout,
            move_timeout: config.move_timeout,
            region: region.to_owned(),
            lacks: OnceLock::new(),
        }
    }
}

impl S3Backend {
    /// Refuses what the store would do without the check that was asked for.
    fn need(&self, requirement: Requirement) -> Result<(), BackendError> {
        if self.lacks(requirement) {
            return Err(BackendError::Unsupported(format!("it does not {requirement}")));
        }
        Ok(())
    }

    fn lacks(&self, requirement: Requirement) -> bool {
        self.lacks.get().is_some_and(|lacks| lacks.contains(&requirement))
    }
}

/// For requests that are sent once, and whose time the caller limits.
fn once() -> Builder {
    let timeouts = TimeoutConfig::builder().disable_operation_attempt_timeout().build();
    Builder::new()
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
}

#[async_trait]
impl Backend for S3Backend {
    async fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        self.list_buckets().await
    }

    async fn create_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        self.make_bucket(bucket).await
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let deleted = self.client.delete_bucket().bucket(bucket).send().await;
        deleted.map(drop).map_err(errors::of_bucket)
    }

    async fn head_bucket(&self, bucket: &str) -> Result<Option<SystemTime>, BackendError> {
        let found = self.client.head_bucket().bucket(bucket).send().await;
        found.map(|_| None).map_err(errors::of_bucket)
    }

    async fn put(
        &self,
        at: &Location,
        body: Body,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.put_object(at, body, &attributes, &tags, &condition).await
    }

    async fn head(&self, at: &Location) -> Result<StoredObject, BackendError> {
        self.head_object(at, None).await
    }

    async fn get(&self, at: &Location, range: StoredRange, etag: Option<&str>) -> Result<StoredBytes, BackendError> {
        self.get_object(at, range, etag).await
    }

    async fn delete(&self, at: &Location, condition: Condition) -> Result<(), BackendError> {
        self.delete_object(at, &condition).await
    }

    async fn copy(
        &self,
        from: &Location,
        etag: &str,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let source = copy::Source { at: from, etag };
        self.copy_object(source, to, attributes, tags, condition).await
    }

    async fn list(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        self.list_objects(bucket, request).await
    }

    async fn tags(&self, at: &Location) -> Result<Tags, BackendError> {
        self.get_tags(at).await
    }

    async fn set_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError> {
        self.put_tags(at, tags).await
    }

    async fn create_upload(&self, at: &Location, attributes: Attributes, tags: Tags) -> Result<String, BackendError> {
        self.begin_upload(at, &attributes, &tags).await
    }

    async fn put_part(&self, at: &Location, upload: &str, number: u16, body: Body) -> Result<String, BackendError> {
        self.upload_part(at, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        at: &Location,
        upload: &str,
        parts: &[UploadedPart],
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.finish_upload(at, upload, parts, &condition).await
    }

    async fn abort_upload(&self, at: &Location, upload: &str) -> Result<(), BackendError> {
        let request = self.client.abort_multipart_upload().bucket(&at.bucket).key(&at.key);
        let aborted = request.upload_id(upload).send().await;
        aborted.map(drop).map_err(errors::of_object)
    }

    async fn uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        self.list_uploads(bucket).await
    }
}
