//! A gateway in this process, and a client without a network: requests go straight to the service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    self, PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use base64ct::{Base64, Encoding};
use http_body_util::BodyExt;
use hyper::header::HeaderName;
use hyper::{Request, StatusCode};
use md5::{Digest, Md5};
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::S3Service;
use sealstone::KeyRing;
use sealstone_kms_mock::MockKms;
use sealstone_s3_gateway::backend::{Backend, MemoryBackend};
use sealstone_s3_gateway::connection::Connection;
use sealstone_s3_gateway::keys::{Keys, KmsSettings};
use sealstone_s3_gateway::s3::{Gateway, Options};

/// A gateway over a store in memory, with a bucket named `bucket`.
pub(crate) struct Client {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) kms: Arc<MockKms>,
    pub(crate) ring: Arc<KeyRing>,
    service: S3Service,
    encrypted: bool,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended with an error.
    pub(crate) aborted: bool,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The content of the first element with this name.
    pub(crate) fn element(&self, name: &str) -> Option<String> {
        elements(&self.text(), name).into_iter().next()
    }

    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        elements(&self.text(), name)
    }

    /// The error's code, and the status.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.element("Code").unwrap_or_default())
    }

    /// Panics unless the request succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        assert!(!self.aborted);
        self
    }
}

fn elements(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((content, after)) = after.split_once(&close) else {
            break;
        };
        found.push(content.replace("&quot;", "\"").replace("&amp;", "&"));
        rest = after;
    }
    found
}

impl Client {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(MemoryBackend::default())).await
    }

    pub(crate) async fn over(backend: Arc<dyn Backend>) -> Self {
        let kms = MockKms::builder().key("alias/mine").start().unwrap();
        let ring = Arc::new(KeyRing::in_memory("sse-s3").unwrap());
        let client = Self::with(backend, Arc::new(kms), ring);
        client.send("PUT", "/bucket", &[], "").await.ok();
        client
    }

    /// Another instance in front of the same store, with the same keys.
    pub(crate) fn another_instance(&self) -> Self {
        Self::with(self.backend.clone(), self.kms.clone(), self.ring.clone())
    }

    fn with(backend: Arc<dyn Backend>, kms: Arc<MockKms>, ring: Arc<KeyRing>) -> Self {
        let settings = KmsSettings {
            config: Some(sdk_config(&kms)),
            ..KmsSettings::default()
        };
        let keys = Arc::new(Keys::new(ring.clone(), Some(settings)));
        let gateway = Gateway::new(backend.clone(), keys, Options::default());
        let mut service = gateway.service();
        service.set_auth(SimpleAuth::from_single("access", "secret"));
        let service = service.build();
        Self {
            backend,
            kms,
            ring,
            service,
            encrypted: true,
        }
    }

    /// The same client over connections without TLS.
    pub(crate) fn unencrypted(mut self) -> Self {
        self.encrypted = false;
        self
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Response {
        let body = body.into();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            request = request.header("content-length", body.len());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let connection = Connection {
            encrypted: self.encrypted,
            peer: None,
        };
        let mut request = request.extension(connection).body(Body::from(body)).unwrap();
        sign(&mut request);
        let response = self.service.call(request).await.unwrap();
        let (head, mut body) = response.into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut response = Response {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: Vec::new(),
            aborted: false,
        };
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => response.body.extend(frame.into_data().unwrap_or_default()),
                Err(_) => {
                    response.aborted = true;
                    break;
                }
            }
        }
        if method == "HEAD" || head.status == StatusCode::NOT_MODIFIED {
            response.body.clear();
        }
        response
    }

    pub(crate) async fn put(&self, key: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
        self.send("PUT", &format!("/bucket/{key}"), headers, body).await
    }

    pub(crate) async fn get(&self, key: &str, headers: &[(&str, &str)]) -> Response {
        self.send("GET", &format!("/bucket/{key}"), headers, "").await
    }

    pub(crate) async fn head(&self, key: &str, headers: &[(&str, &str)]) -> Response {
        self.send("HEAD", &format!("/bucket/{key}"), headers, "").await
    }
}

/// Signs a request as AWS's clients do, without its body.
fn sign(request: &mut Request<Body>) {
    let identity = Credentials::new("access", "secret", None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let uri = format!("http://localhost{}", request.uri());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::UnsignedPayload);
    let (instructions, _) = http_request::sign(signable.unwrap(), &params.into())
        .unwrap()
        .into_parts();
    for (name, value) in instructions.headers() {
        request
            .headers_mut()
            .insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
}

/// The configuration of AWS's clients for a local key service.
pub(crate) fn sdk_config(kms: &MockKms) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(kms.region().to_owned()))
        .endpoint_url(kms.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// The three headers of the customer's key that consists of this byte; `prefix` is empty or `copy-source-`.
pub(crate) fn customer_headers(byte: u8, prefix: &str) -> Vec<(String, String)> {
    let name = |rest: &str| format!("x-amz-{prefix}server-side-encryption-customer-{rest}");
    let key = [byte; 32];
    vec![
        (name("algorithm"), "AES256".to_owned()),
        (name("key"), Base64::encode_string(&key)),
        (name("key-md5"), Base64::encode_string(&Md5::digest(key))),
    ]
}

/// Headers as [`Client::send`] takes them.
pub(crate) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// Bytes that look random, the same for the same length.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 11).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
