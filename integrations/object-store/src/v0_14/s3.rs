//! What only S3 has: metadata that is replaced by a copy of the object onto itself, without its data being moved.
//!
//! ```text
//! HEAD           the metadata and content headers, all of which the copy must name, of the version that was read
//! PUT (copy)     onto itself, if it is still that version, with the new header among the old metadata
//! ```
//!
//! A copy keeps the ETag of an object of one part, so the header itself is compared too. Both requests are repeated if the
//! store is busy: the HEAD shows whether a copy whose answer was lost has taken place.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sealstone::Header;
use sealstone::format::is_metadata_key;

use super::HeaderReplacer;
use super::object_store::aws::AmazonS3;
use super::object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, ReqwestConnector,
};
use super::object_store::path::Path;
use super::object_store::signer::{HeaderName, Method, SignedUrlOptions, Signer};
use super::object_store::{ClientOptions, Error, HeaderMap, HeaderValue, ObjectMeta, Result};
use crate::error::StoreError;

/// The longest object that S3 copies in one request.
const MAX_COPY: u64 = 5 * 1024 * 1024 * 1024;
/// How long a signature is valid: the request follows at once.
const VALID: Duration = Duration::from_secs(60);
/// How often a request is sent, and the first wait between two of them.
const TRIES: u32 = 6;
const WAIT: Duration = Duration::from_millis(200);
/// What is read of a response, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;
const METADATA: &str = "x-amz-meta-";
/// What a copy loses if it does not name it.
const KEPT: [&str; 11] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// Replaces headers in S3: a HEAD request, and a copy of the object onto itself, which S3 makes without moving its data.
/// Content headers, other metadata, the storage class and server-side encryption stay; an ACL becomes the default one.
///
/// S3 does not copy objects over 5 GiB in one request, so a rewrap writes those again.
///
/// ```no_run
/// # async fn rotate(new: std::sync::Arc<sealstone::RawKey>, old: std::sync::Arc<sealstone::RawKey>)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use futures_util::TryStreamExt;
/// use object_store_0_14::{ClientOptions, aws::AmazonS3Builder};
/// use sealstone_object_store::{BulkOptions, v0_14::{EncryptedStore, S3HeaderReplacer}};
///
/// let bucket = Arc::new(AmazonS3Builder::from_env().with_bucket_name("my-bucket").build()?);
/// let replacer = S3HeaderReplacer::new(bucket.clone(), "my-bucket", &ClientOptions::new())?;
/// let store = EncryptedStore::builder(new)
///     .with_opening_key(old)
///     .with_header_replacer(Arc::new(replacer))
///     .probe(bucket)
///     .await?;
/// let outcomes: Vec<_> = store.rewrap(None, &BulkOptions::new()).try_collect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct S3HeaderReplacer {
    store: Arc<AmazonS3>,
    http: HttpClient,
    bucket: String,
}

impl S3HeaderReplacer {
    /// A replacer for objects of `store`, which is the client of `bucket`. It sends requests with an HTTP client of these
    /// options, because `store` has no method for them.
    ///
    /// # Errors
    /// If the options cannot be used.
    pub fn new(store: Arc<AmazonS3>, bucket: impl Into<String>, options: &ClientOptions) -> Result<Self> {
        Ok(Self {
            store,
            http: ReqwestConnector::default().connect(options)?,
            bucket: bucket.into(),
        })
    }

    /// The headers of a copy onto itself of the version `e_tag`.
    fn copy(&self, location: &Path, e_tag: &str, found: &HeaderMap, (key, value): (&str, &str)) -> Result<HeaderMap> {
        let mut copy = HeaderMap::new();
        for (name, value) in found {
            let is_other_pair = |name: &str| name.strip_prefix(METADATA).is_some_and(|key| !is_metadata_key(key));
            if KEPT.contains(&name.as_str()) || is_other_pair(name.as_str()) {
                value.to_str().map_err(|_| unusable(name.as_str()))?;
                copy.append(name.clone(), value.clone());
            }
        }
        let source = format!("{}/{}", self.bucket, escape(location.as_ref()));
        for (name, value) in [
            ("x-amz-copy-source", source.as_str()),
            ("x-amz-copy-source-if-match", e_tag),
            ("x-amz-metadata-directive", "REPLACE"),
            (&format!("{METADATA}{key}"), value),
        ] {
            let value = HeaderValue::from_str(value).map_err(|_| unusable(name))?;
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(name))?;
            copy.insert(parsed, value);
        }
        Ok(copy)
    }

    /// Sends a signed request with these headers, and without a body.
    async fn send(&self, location: &Path, method: Method, headers: HeaderMap) -> Result<HttpResponse, Failed> {
        let mut options = SignedUrlOptions::default();
        options.signed_headers = headers.clone();
        let signed = self.store.signed_url_opts(method.clone(), location, VALID, &options);
        let signed = signed.await?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = signed.as_str().parse().map_err(|_| unusable("the URL"))?;
        *request.headers_mut() = headers;
        // Its text might repeat the URL, which is signed.
        let response = self.http.execute(request).await.map_err(|error| {
            let unsaid = io::Error::other("the connection to the store failed");
            Failed::Busy(generic(HttpError::new(error.kind(), unsaid)))
        })?;
        match response.status().as_u16() {
            200..300 => Ok(response),
            status => {
                let error = of_status(location, status, &body(response).await);
                Err(match status {
                    409 | 429 | 500.. => Failed::Busy(error),
                    _ => Failed::Ended(error),
                })
            }
        }
    }

    /// Both requests, once.
    async fn try_replace(&self, object: &ObjectMeta, e_tag: &str, old: &str, new: (&str, &str)) -> Result<(), Failed> {
        let location = &object.location;
        let found = self.send(location, Method::HEAD, HeaderMap::new()).await?;
        let found = found.headers();
        let is_present = |wanted: &str| {
            found.iter().any(|(name, value)| {
                name.as_str().strip_prefix(METADATA).is_some_and(is_metadata_key)
                    && value.as_bytes() == wanted.as_bytes()
            })
        };
        if is_present(new.1) && !is_present(old) {
            return Ok(());
        }
        if found.get("etag").and_then(|etag| etag.to_str().ok()) != Some(e_tag) || !is_present(old) {
            let location = location.to_string();
            return Err(Failed::Ended(Error::Precondition {
                path: location.clone(),
                source: Box::new(StoreError::Changed { location }),
            }));
        }
        let copy = self.copy(location, e_tag, found, new)?;
        let copied = self.send(location, Method::PUT, copy).await?;
        // A copy that takes long may promise success first, and say at its end that it failed.
        let text = body(copied).await;
        if text.contains("<CopyObjectResult") {
            return Ok(());
        }
        Err(Failed::Busy(generic(format!("Server returned error response: {text}"))))
    }
}

/// Why a request failed.
enum Failed {
    /// It may succeed later.
    Busy(Error),
    /// It fails again.
    Ended(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

#[async_trait]
impl HeaderReplacer for S3HeaderReplacer {
    async fn replace_header(&self, object: &ObjectMeta, old: &Header, new: &Header, key: &str) -> Result<()> {
        let e_tag = match &object.e_tag {
            Some(e_tag) if object.size <= MAX_COPY => e_tag,
            _ => {
                return Err(Error::NotSupported {
                    source: "only a version of at most 5 GiB can be copied in one request".into(),
                });
            }
        };
        let (old, new) = (value(&object.location, old)?, value(&object.location, new)?);
        let mut tries = 1;
        loop {
            match self.try_replace(object, e_tag, &old, (key, &new)).await {
                Ok(()) => return Ok(()),
                Err(Failed::Busy(_)) if tries < TRIES => {}
                Err(Failed::Busy(error) | Failed::Ended(error)) => return Err(error),
            }
            tokio::time::sleep(WAIT * 2_u32.pow(tries - 1)).await;
            tries += 1;
        }
    }
}

/// The body of a response, which is short: the rest of a longer one is not read.
async fn body(response: HttpResponse) -> String {
    let mut stream = response.into_body().bytes_stream();
    let mut text = Vec::new();
    while let Ok(Some(piece)) = stream.try_next().await {
        text.extend_from_slice(&piece[..piece.len().min(MAX_RESPONSE - text.len())]);
        if text.len() == MAX_RESPONSE {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The error that `object_store` has for a response.
fn of_status(location: &Path, status: u16, body: &str) -> Error {
    let path = location.to_string();
    let source = format!("Server returned non-2xx status code: {status}: {body}").into();
    match status {
        404 => Error::NotFound { path, source },
        401 => Error::Unauthenticated { path, source },
        403 => Error::PermissionDenied { path, source },
        // The condition of the copy.
        412 => Error::Precondition { path, source },
        _ => generic(source),
    }
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic {
        store: "S3",
        source: source.into(),
    }
}

/// A header as the value in metadata.
fn value(location: &Path, header: &Header) -> Result<String> {
    match header.to_metadata() {
        Ok(pairs) => Ok(pairs.into_values().collect()),
        Err(error) => Err(generic(StoreError::sealstone(location, error))),
    }
}

fn unusable(what: &str) -> Error {
    generic(format!("{what} of the object cannot be part of a request"))
}

/// A key, as headers have it.
fn escape(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_escaped_for_a_header() {
        assert_eq!(escape("a/b-1_2.c~"), "a/b-1_2.c~");
        assert_eq!(escape("a b+ü%"), "a%20b%2B%C3%BC%25");
    }
}
