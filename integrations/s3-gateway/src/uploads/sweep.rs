//! Stale uploads: begun long ago and never completed, or completed by an instance that died before it cleaned up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::KeyRing;

use super::{PREFIX, Upload, UploadError};
use crate::backend::{Backend, BackendError, ListRequest};
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
    let mut swept = 0;
    for token in tokens(backend, bucket).await? {
        match Upload::of_token(backend, ring, bucket, &token).await {
            Ok(upload) => {
                let since = SystemTime::now().duration_since(upload.initiated).unwrap_or_default();
                if since >= age {
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
            Err(error) => tracing::warn!(bucket, token, %error, "an upload cannot be read, and is left"),
        }
    }
    Ok(swept)
}
