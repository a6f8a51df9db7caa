//! Clients of stores, configured as the stores' own tools are.
//!
//! ```text
//! s3://  region, profile, endpoint and credentials as AWS's tools find them
//! gs://  GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, the machine's account
//! az://  AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, the machine's account
//! ```

mod aws;
mod condition;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, GetOptions, ObjectStore, RetryConfig};
use sealstone_object_store::v0_14::{HeaderReplacer, S3HeaderReplacer};

pub(super) use self::condition::Condition;
use self::condition::Conditional;
use super::failure::StoreError;
use crate::io::location::{Service, StoreUrl};

/// How long a request may take: enough for a large part over a slow line, and not forever.
const REQUEST: Duration = Duration::from_secs(10 * 60);
const CONNECT: Duration = Duration::from_secs(5);

/// The clients of buckets, which keep their connections for further objects.
static CLIENTS: Mutex<Vec<((Service, String), Client)>> = Mutex::new(Vec::new());

/// The client of a bucket.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// What replaces headers without moving data, where the store can.
    pub(super) replacer: Option<Arc<dyn HeaderReplacer>>,
}

impl Client {
    /// That of a store, whichever it is.
    pub(super) fn of(store: Arc<impl ObjectStore>) -> Self {
        Self {
            objects: store,
            replacer: None,
        }
    }
}

/// The client of the bucket that `url` is in. It makes no request yet.
pub(super) fn client(url: &StoreUrl) -> Result<Client, StoreError> {
    let bucket = (url.service, url.bucket.clone());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, client)) = clients.iter().find(|(known, _)| *known == bucket) {
        return Ok(client.clone());
    }
    let client = connect(url, &Condition::None)?;
    clients.push((bucket, client.clone()));
    Ok(client)
}

/// A client whose uploads in parts take effect on this condition, where the store knows it.
pub(super) fn client_on_condition(url: &StoreUrl, condition: &Condition) -> Result<Client, StoreError> {
    match (url.service, condition) {
        (Service::S3, Condition::Absent | Condition::Version(_)) => connect(url, condition),
        _ => client(url),
    }
}

/// The key of `url`, as the client takes it.
pub(super) fn path(url: &StoreUrl) -> Result<Path, StoreError> {
    if url.is_directory() {
        let message = format!(
            "{url} names a bucket or a prefix, not an object; verify, rewrap, rekey and encrypt take all objects in it \
             with --recursive"
        );
        return Err(StoreError::new(io::ErrorKind::InvalidInput, message));
    }
    Path::parse(&url.key).map_err(|error| StoreError::of(url, &error.into()))
}

/// A request for an object's length, version and metadata.
pub(super) fn head() -> GetOptions {
    GetOptions {
        head: true,
        ..GetOptions::default()
    }
}

fn connect(url: &StoreUrl, condition: &Condition) -> Result<Client, StoreError> {
    let failed = |error: object_store::Error| {
        StoreError::new(
            io::ErrorKind::InvalidInput,
            format!("the store's configuration cannot be used: {error}"),
        )
    };
    match url.service {
        Service::S3 => {
            let connector = Conditional::new(condition)?;
            let store = Arc::new(aws::s3(&url.bucket, connector)?);
            let options = options().with_allow_http(true);
            let replacer = S3HeaderReplacer::new(store.clone(), &url.bucket, &options).map_err(failed)?;
            Ok(Client {
                replacer: Some(Arc::new(replacer)),
                ..Client::of(store)
            })
        }
        Service::Gcs => {
            let builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&url.bucket)
                .with_client_options(options())
                .with_retry(retries());
            Ok(Client::of(Arc::new(builder.build().map_err(failed)?)))
        }
        Service::Azure => {
            let builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(&url.bucket)
                .with_client_options(options())
                .with_retry(retries());
            Ok(Client::of(Arc::new(builder.build().map_err(failed)?)))
        }
    }
}

fn options() -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(60),
    }
}
