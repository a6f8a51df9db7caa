//! S3, where AWS's tools find it.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::client::HttpConnector;
use object_store::{CredentialProvider, Error};
use sealstone_aws_kms::environment;
use tokio::sync::Mutex;

use super::super::failure::StoreError;
use super::super::runtime::wait;
use super::{options, retries};

/// How long before they expire credentials are replaced.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// The region of services that have none.
const ANY_REGION: &str = "us-east-1";

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// What AWS's tools are configured with. It is the same for all buckets.
#[derive(Debug)]
struct Settings {
    region: Option<String>,
    endpoint: Option<String>,
    credentials: Arc<Credentials>,
}

fn settings() -> &'static Settings {
    SETTINGS.get_or_init(|| {
        let config = wait(environment::loader(None, None).load());
        Settings {
            region: config.region().map(ToString::to_string),
            endpoint: environment::endpoint(&config, "S3"),
            credentials: Arc::new(Credentials {
                provider: config.credentials_provider(),
                current: Mutex::new(None),
            }),
        }
    })
}

/// The client of a bucket.
pub(super) fn s3(bucket: &str, connector: impl HttpConnector) -> Result<AmazonS3, StoreError> {
    let settings = settings();
    let refused = |message: String| StoreError::new(io::ErrorKind::InvalidInput, message);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_credentials(settings.credentials.clone())
        .with_client_options(options())
        .with_retry(retries())
        .with_http_connector(connector);
    builder = match (&settings.endpoint, &settings.region) {
        (Some(endpoint), region) => builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_allow_http(true)
            .with_region(region.as_deref().unwrap_or(ANY_REGION)),
        // A name with dots does not fit the certificate.
        (None, Some(region)) => builder
            .with_region(region)
            .with_virtual_hosted_style_request(!bucket.contains('.')),
        (None, None) => {
            return Err(refused(
                "no region is known; set AWS_REGION, or a region in the profile".to_owned(),
            ));
        }
    };
    builder
        .build()
        .map_err(|error| refused(format!("the AWS configuration cannot be used: {error}")))
}

/// AWS's credentials, as object_store asks for them: looked up once, and again before they expire.
struct Credentials {
    provider: Option<SharedCredentialsProvider>,
    current: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Credentials {
    async fn look_up(&self) -> Result<(Arc<AwsCredential>, Option<SystemTime>), String> {
        let missing = "there are no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                       sign in with `aws sso login`";
        let provider = self.provider.as_ref().ok_or(missing)?;
        let found = provider.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => missing.to_owned(),
            error => format!("the AWS credentials cannot be loaded ({error}); sign in again, or check the profile"),
        })?;
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(ToOwned::to_owned),
        };
        Ok((Arc::new(credential), found.expiry()))
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        let is_fresh = |expiry: &Option<SystemTime>| expiry.is_none_or(|expiry| SystemTime::now() + MARGIN < expiry);
        if let Some((credential, _)) = current.as_ref().filter(|(_, expiry)| is_fresh(expiry)) {
            return Ok(credential.clone());
        }
        match self.look_up().await {
            Ok((credential, expiry)) => {
                *current = Some((credential.clone(), expiry));
                Ok(credential)
            }
            Err(message) => Err(Error::Unauthenticated {
                path: String::new(),
                source: message.into(),
            }),
        }
    }
}

/// Leaves out the credentials.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(secret: &str, valid_for: Duration) -> Credentials {
        let expiry = Some(SystemTime::now() + valid_for);
        let found = aws_credential_types::Credentials::new("id", secret, None, expiry, "test");
        Credentials {
            provider: Some(SharedCredentialsProvider::new(found)),
            current: Mutex::new(None),
        }
    }

    #[test]
    fn credentials_are_kept_until_they_are_about_to_expire() {
        for (valid_for, is_kept) in [(2 * MARGIN, true), (MARGIN / 2, false)] {
            let credentials = credentials("secret", valid_for);
            let first = wait(credentials.get_credential()).unwrap();
            let second = wait(credentials.get_credential()).unwrap();
            assert_eq!(Arc::ptr_eq(&first, &second), is_kept);
            assert_eq!(first.secret_key, "secret");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = credentials("hunter2", 2 * MARGIN);
        wait(credentials.get_credential()).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn missing_credentials_are_named() {
        let credentials = Credentials {
            provider: None,
            current: Mutex::new(None),
        };
        let error = wait(credentials.get_credential()).unwrap_err();
        assert!(matches!(&error, Error::Unauthenticated { source, .. } if source.to_string().contains("AWS_PROFILE")));
    }
}
