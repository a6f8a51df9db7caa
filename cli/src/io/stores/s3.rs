//! What only S3 has: metadata that is replaced by a copy of the object onto itself, without its data being moved.
//!
//! ```text
//! HEAD           the metadata and content headers, all of which the copy must name, of the version that was read
//! PUT (copy)     onto itself, if it is still that version, with the new header among the old metadata
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{StoreError, said_in};
use crate::io::location::StoreUrl;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use object_store::signer::{HeaderName, Method, SignedUrlOptions, Signer};
use object_store::{HeaderMap, HeaderValue};
use sealstone::format::is_metadata_key;

/// The longest object that S3 copies in one request.
pub(super) const MAX_COPY: u64 = 5 * 1024 * 1024 * 1024;
/// How long a signature is valid: the request follows at once.
const VALID: Duration = Duration::from_secs(60);
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

/// A bucket, and a client for requests that object_store has no methods for.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) store: Arc<AmazonS3>,
    pub(super) http: HttpClient,
    pub(super) bucket: String,
}

impl S3 {
    /// Replaces the header in the metadata of the version `version` of an object.
    pub(super) async fn replace_header(
        &self,
        url: &StoreUrl,
        path: &Path,
        version: &str,
        header: BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let found = self.send(url, path, Method::HEAD, HeaderMap::new()).await?;
        let found = found.headers();
        let etag = found.get("etag").and_then(|etag| etag.to_str().ok());
        if etag != Some(version) {
            return Err(StoreError::Changed {
                expected: version.to_owned(),
                found: etag.map(ToOwned::to_owned),
            });
        }
        let copy = self.copy(path, version, found, header)?;
        let copied = self
            .send(url, path, Method::PUT, copy)
            .await
            .map_err(|error| match error {
                // It was there a moment ago: the condition does not hold.
                StoreError::Failed {
                    kind: io::ErrorKind::AlreadyExists,
                    ..
                } => StoreError::Changed {
                    expected: version.to_owned(),
                    found: None,
                },
                other => other,
            })?;
        // A copy that takes long may promise success first, and say at its end that it failed.
        let text = body(copied).await;
        if text.contains("<CopyObjectResult") {
            return Ok(());
        }
        let why = said_in(&text).unwrap_or_else(|| "the response is incomplete".to_owned());
        Err(StoreError::new(
            io::ErrorKind::TimedOut,
            format!("the store did not copy the object ({why}); try again later"),
        ))
    }

    /// The headers of a copy onto itself.
    fn copy(
        &self,
        path: &Path,
        version: &str,
        found: &HeaderMap,
        header: BTreeMap<String, String>,
    ) -> Result<HeaderMap, StoreError> {
        let mut copy = HeaderMap::new();
        for (name, value) in found {
            let is_other_pair = |name: &str| name.strip_prefix(METADATA).is_some_and(|key| !is_metadata_key(key));
            if KEPT.contains(&name.as_str()) || is_other_pair(name.as_str()) {
                value.to_str().map_err(|_| unusable(name.as_str()))?;
                copy.append(name.clone(), value.clone());
            }
        }
        let source = format!("{}/{}", self.bucket, escape(path.as_ref()));
        let new = header
            .into_iter()
            .map(|(key, value)| (format!("{METADATA}{key}"), value));
        let fixed = [
            ("x-amz-copy-source", source),
            ("x-amz-copy-source-if-match", version.to_owned()),
            ("x-amz-metadata-directive", "REPLACE".to_owned()),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        for (name, value) in fixed.chain(new) {
            let value = HeaderValue::from_str(&value).map_err(|_| unusable(&name))?;
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(&name))?;
            copy.insert(parsed, value);
        }
        Ok(copy)
    }

    /// Sends a signed request with these headers, and without a body.
    async fn send(
        &self,
        url: &StoreUrl,
        path: &Path,
        method: Method,
        headers: HeaderMap,
    ) -> Result<HttpResponse, StoreError> {
        let mut options = SignedUrlOptions::default();
        options.signed_headers = headers.clone();
        let signed = self.store.signed_url_opts(method.clone(), path, VALID, &options);
        let signed = signed.await.map_err(|error| StoreError::of(url, &error))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = signed.as_str().parse().map_err(|_| unusable("the URL"))?;
        *request.headers_mut() = headers;
        // Its text is not shown: it might repeat the URL, which is signed.
        let response = self.http.execute(request).await.map_err(|_| {
            let message = "the connection to the store failed; try again later";
            StoreError::new(io::ErrorKind::TimedOut, message)
        })?;
        match response.status().as_u16() {
            200..300 => Ok(response),
            status => Err(refused(status, &body(response).await)),
        }
    }
}

/// The body of a response, which is short.
async fn body(response: HttpResponse) -> String {
    let bytes = response.into_body().bytes().await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused(status: u16, body: &str) -> StoreError {
    let said = said_in(body).map(|said| format!(" ({said})")).unwrap_or_default();
    let (kind, words) = match status {
        404 => (
            io::ErrorKind::NotFound,
            "there is no such object, or no such bucket".to_owned(),
        ),
        401 | 403 => (
            io::ErrorKind::PermissionDenied,
            "access denied; check the credentials and their permissions".to_owned(),
        ),
        409 | 412 => (io::ErrorKind::AlreadyExists, "the object has changed".to_owned()),
        408 | 429 | 500.. => (
            io::ErrorKind::TimedOut,
            "the store cannot answer now; try again later".to_owned(),
        ),
        status => (io::ErrorKind::Other, format!("the store answers {status}")),
    };
    StoreError::new(kind, format!("{words}{said}"))
}

fn unusable(what: &str) -> StoreError {
    StoreError::new(
        io::ErrorKind::InvalidData,
        format!("{what} of the object cannot be part of a request"),
    )
}

/// A key, as headers have it.
fn escape(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
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
