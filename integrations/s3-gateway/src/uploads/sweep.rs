//! Stale uploads: begun long ago and never completed, or completed by an instance that died before it cleaned up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::KeyRing;

use super::{PREFIX, Upload, UploadError};
use crate::backend::{Backend, BackendError, ListRequest, Location};
use crate::objects::ObjectError;

/// The uploads of a bucket.
///
/// # Errors
/// [`BackendError`].
async fn tokens(backend: &dyn Backend, bucket: &str) -> Result<BTreeSet<String>, BackendError> {
    let mut request = ListRequest {
        prefix: PREFIX.to_owned(),
        delimiter: Some("/".to_owned()),
        max: 1000,
        ..ListRequest::default()
    };
    let mut tokens = BTreeSet::new();
    loop {
        let page = backend.list(bucket, &request).await?;
        let found = page.prefixes.iter();
        tokens.extend(found.filter_map(|prefix| Some(prefix.strip_prefix(PREFIX)?.strip_suffix('/')?.to_owned())));
        request.token = page.next;
        if request.token.is_none() {
            return Ok(tokens);
        }
    }
}

/// All uploads of a bucket that are in progress.
///
/// # Errors
/// [`UploadError::Object`].
pub async fn all(backend: &dyn Backend, ring: &Arc<KeyRing>, bucket: &str) -> Result<Vec<Upload>, UploadError> {
    let tokens = tokens(backend, bucket).await?.into_iter();
    let loading = tokens.map(|token| async move {
        match Upload::of_token(backend, ring, bucket, &token).await {
            Ok(upload) => Ok(Some(upload)),
            Err(UploadError::NoSuchUpload) => Ok(None),
            Err(UploadError::Object(error @ ObjectError::Sealed(_))) => {
                tracing::warn!(bucket, token, %error, "an upload cannot be read, and is not listed");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    });
    let loaded: Vec<Option<Upload>> = stream::iter(loading).buffered(LOADED_AT_ONCE).try_collect().await?;
    Ok(loaded.into_iter().flatten().collect())
}

/// How many control objects are read at a time.
const LOADED_AT_ONCE: usize = 16;

/// Aborts the uploads of a bucket that began longer than `age` ago; returns how many.
///
/// # Errors
/// [`UploadError::Object`].
pub async fn sweep(
    backend: &dyn Backend,
    ring: &Arc<KeyRing>,
    bucket: &str,
    age: Duration,
) -> Result<usize, UploadError> {
    let (mut swept, mut unreadable) = (0, false);
    for token in tokens(backend, bucket).await? {
        match Upload::of_token(backend, ring, bucket, &token).await {
            Ok(upload) => {
                if is_stale(upload.initiated, age) {
                    match upload.abort(backend).await {
                        Ok(()) => swept += 1,
                        Err(error) => tracing::warn!(bucket, token, %error, "an upload cannot be dropped"),
                    }
                }
            }
            // Left by an instance that died while it cleaned up.
            Err(UploadError::NoSuchUpload) => {
                super::delete_all(backend, bucket, &format!("{PREFIX}{token}/")).await?;
            }
            Err(error) => {
                unreadable = true;
                tracing::warn!(bucket, token, %error, "an upload cannot be read, and is left");
            }
        }
    }
    if !unreadable && let Err(error) = sweep_store(backend, bucket, age).await {
        tracing::warn!(bucket, %error, "stale uploads of the store are left");
    }
    Ok(swept)
}

/// Aborts the store's uploads that have no control object: their instance died before it had stored it. The others of
/// this age were swept before.
async fn sweep_store(backend: &dyn Backend, bucket: &str, age: Duration) -> Result<(), BackendError> {
    for upload in backend.uploads(bucket).await? {
        if is_stale(upload.began, age) {
            match backend
                .abort_upload(&Location::new(bucket, upload.key), &upload.id)
                .await
            {
                Ok(()) | Err(BackendError::NoSuchUpload) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn is_stale(began: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(began).unwrap_or_default() >= age
}
