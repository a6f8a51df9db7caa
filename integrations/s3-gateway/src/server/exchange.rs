//! A request and its response, for the access log and the metrics.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::OwnedSemaphorePermit;

use super::access_log::AccessLog;
use super::body::ResponseBody;
use super::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// What is known of a request. An extension of the request while it is served.
#[derive(Debug)]
pub(crate) struct Record {
    id: String,
    at: OffsetDateTime,
    started: Instant,
    peer: Option<SocketAddr>,
    method: Method,
    path: String,
    verified: OnceLock<Verified>,
    received: AtomicU64,
}

/// What is known of a request whose signature was verified.
#[derive(Debug)]
pub(super) struct Verified {
    /// `None` if there is no signature.
    pub(super) access_key: Option<String>,
    pub(super) operation: String,
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
}

impl Record {
    pub(super) fn new(request: &Parts, peer: Option<SocketAddr>) -> Self {
        Self {
            id: request_id(),
            at: OffsetDateTime::now_utc(),
            started: Instant::now(),
            peer,
            method: request.method.clone(),
            path: request.uri.path().to_owned(),
            verified: OnceLock::new(),
            received: AtomicU64::new(0),
        }
    }

    /// The id in the response's header, by which a client asks about the request.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn verified(&self, verified: Verified) {
        // Called once for each request.
        let _ = self.verified.set(verified);
    }

    /// Whether the client has so far shown no valid signature for this time.
    pub(super) fn is_unverified_for(&self, time: Duration) -> bool {
        self.verified.get().is_none() && self.started.elapsed() > time
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Sixteen hexadecimal digits, as S3's.
fn request_id() -> String {
    // Ids need not be secret or unique: without a random generator, the time will do.
    let time = || OffsetDateTime::now_utc().unix_timestamp_nanos().to_le_bytes()[..8].try_into();
    let number = getrandom::u64().unwrap_or_else(|_| u64::from_le_bytes(time().unwrap_or_default()));
    format!("{number:016X}")
}

/// A request in progress, until the last byte of its response is on its way or the client is gone. It is logged then.
#[derive(Debug)]
pub(super) struct Exchange {
    record: Arc<Record>,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
    /// Its place among the requests.
    place: Option<OwnedSemaphorePermit>,
    status: Option<StatusCode>,
    /// The length that the response announces.
    length: Option<u64>,
    sse: Option<String>,
    error: Option<String>,
    sent: u64,
    complete: bool,
}

impl Exchange {
    pub(super) fn begin(record: Arc<Record>, log: Arc<AccessLog>, metrics: Arc<Metrics>) -> Self {
        metrics.request_began();
        Self {
            record,
            log,
            metrics,
            place: None,
            status: None,
            length: None,
            sse: None,
            error: None,
            sent: 0,
            complete: false,
        }
    }

    pub(super) fn holds(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// The response with its id, whose body keeps this to its end.
    pub(super) fn respond(mut self, response: Response<s3s::Body>) -> Response<ResponseBody> {
        let (mut parts, mut body) = response.into_parts();
        if let Ok(id) = HeaderValue::from_str(self.record.id()) {
            parts.headers.insert(REQUEST_ID, id);
        }
        self.status = Some(parts.status);
        let header = |name| parts.headers.get(name)?.to_str().ok();
        let announced = header(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        self.length = announced.or_else(|| body.size_hint().exact());
        self.sse = match header("x-amz-server-side-encryption") {
            Some(mode) => Some(mode.to_owned()),
            None => header("x-amz-server-side-encryption-customer-algorithm").map(|_| "SSE-C".to_owned()),
        };
        if let Some(xml) = body
            .bytes()
            .filter(|_| parts.status.is_client_error() || parts.status.is_server_error())
        {
            self.error = error_code(&xml);
            if let Some(xml) = with_request_id(&xml, self.record.id()) {
                body = s3s::Body::from(xml);
                parts.headers.remove(CONTENT_LENGTH);
            }
        }
        // Neither has bytes to wait for.
        self.complete = self.record.method == Method::HEAD || body.is_end_stream();
        Response::from_parts(parts, ResponseBody::new(body, self))
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.complete = self.length == Some(self.sent);
    }

    pub(super) const fn ended(&mut self) {
        self.complete = true;
    }

    pub(super) fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        let id = self.record.id();
        tracing::error!(request = id, "the response is aborted in its middle: {error}");
        self.error = Some("Aborted".to_owned());
    }

    fn line(&self) -> Line<'_> {
        let record = &self.record;
        let verified = record.verified.get();
        Line {
            time: record.at.format(&Rfc3339).unwrap_or_default(),
            request: record.id(),
            peer: record.peer,
            access_key: verified.and_then(|verified| verified.access_key.as_deref()),
            method: record.method.as_str(),
            path: verified.is_none().then_some(record.path.as_str()),
            operation: verified.map(|verified| verified.operation.as_str()),
            bucket: verified.and_then(|verified| verified.bucket.as_deref()),
            key: verified.and_then(|verified| verified.key.as_deref()),
            status: self.status.map(|status| status.as_u16()),
            error: self.error.as_deref(),
            received: record.received.load(Ordering::Relaxed),
            sent: self.sent,
            ms: (record.started.elapsed().as_secs_f64() * 1e6).round() / 1000.0,
            sse: self.sse.as_deref(),
            complete: self.complete,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let line = self.line();
        let operation = line.operation.unwrap_or("Unknown");
        self.metrics
            .request_ended(operation, line.status, line.complete, self.record.started.elapsed());
        self.metrics.bytes(line.received, line.sent);
        if let Ok(json) = serde_json::to_string(&line) {
            self.metrics.log_line(self.log.write(json));
        }
    }
}

/// A line of the access log. What is not known is left out; of refused requests there is the path, without the query,
/// which may contain signatures.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    request: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<&'a str>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    received: u64,
    sent: u64,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sse: Option<&'a str>,
    complete: bool,
}

/// The code in an error's XML, which the service wrote.
fn error_code(xml: &[u8]) -> Option<String> {
    let xml = std::str::from_utf8(xml).ok()?;
    let (_, rest) = xml.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.to_owned())
}

/// The error's XML with the request's id, by which people ask about it: most print errors, and not their headers.
fn with_request_id(xml: &[u8], id: &str) -> Option<String> {
    let xml = std::str::from_utf8(xml).ok()?;
    let open = xml
        .strip_suffix("</Error>")
        .filter(|open| !open.contains("<RequestId>"))?;
    Some(format!("{open}<RequestId>{id}</RequestId></Error>"))
}
