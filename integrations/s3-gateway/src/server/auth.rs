//! Who may send requests: every access key all of them, and nobody else any.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use super::exchange::{Record, Verified};
use crate::config::AccessKeys;

#[derive(Debug, Clone)]
pub(super) struct Auth(Arc<RwLock<AccessKeys>>);

impl Auth {
    pub(super) fn new(keys: AccessKeys) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    pub(super) fn replace(&self, keys: AccessKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn secret(&self, id: &str) -> Option<SecretKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.secret(id).cloned()
    }
}

#[async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        self.secret(id).ok_or_else(|| {
            s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )
        })
    }
}

#[async_trait]
impl S3Access for Auth {
    /// Called after the signature was verified.
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let record = context.extensions_mut().get::<Arc<Record>>().cloned();
        let access_key = context.credentials().map(|credentials| credentials.access_key.clone());
        let allowed = access_key.is_some();
        if let Some(record) = record {
            let path = context.s3_path();
            record.verified(Verified {
                access_key,
                operation: context.s3_op().name().to_owned(),
                bucket: path.get_bucket_name().map(str::to_owned),
                key: path.get_object_key().map(str::to_owned),
            });
        }
        if allowed {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "Access Denied"))
        }
    }
}
