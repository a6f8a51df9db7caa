//! One request: checked, counted, served.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode};
use tokio::sync::Semaphore;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::access_log::AccessLog;
use super::body::{RequestBody, ResponseBody};
use super::exchange::{Exchange, Record, Verified};
use super::metrics::Metrics;
use super::{Limits, checks, quiet};
use crate::connection::{Connection, Observer};

pub(super) struct Service {
    s3: S3Service,
    requests: Arc<Semaphore>,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
    trust_forwarded_proto: bool,
    limits: Limits,
    quiet: Dispatch,
}

impl Service {
    pub(super) fn new(
        s3: S3Service,
        requests: Arc<Semaphore>,
        log: Arc<AccessLog>,
        metrics: Arc<Metrics>,
        trust_forwarded_proto: bool,
        limits: Limits,
    ) -> Self {
        Self {
            s3,
            requests,
            log,
            metrics,
            trust_forwarded_proto,
            limits,
            quiet: quiet::without_s3s(),
        }
    }

    /// Serves a request.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        mut connection: Connection,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let (mut parts, incoming) = request.into_parts();
        checks::mark_secrets(&mut parts.headers);
        let record = Arc::new(Record::new(&parts, connection.peer));
        // Without the query, which may have what nobody should log.
        tracing::trace!(request = record.id(), method = %parts.method, path = parts.uri.path(), headers = ?parts.headers);
        let mut exchange = Exchange::begin(record.clone(), self.log.clone(), self.metrics.clone());
        let asks_first = parts.headers.contains_key(EXPECT);
        let is_empty = incoming.is_end_stream();
        let body = RequestBody::new(incoming, record.clone(), self.limits, asks_first);
        // The semaphore is never closed.
        if let Ok(place) = self.requests.clone().acquire_owned().await {
            exchange.holds(place);
        }
        let mut response = match checks::check(&parts) {
            Err(refused) => to_response(refused),
            Ok(()) => {
                connection.encrypted |= self.trust_forwarded_proto && came_encrypted(&parts.headers);
                parts.extensions.insert(connection);
                parts.extensions.insert(observer(record.clone()));
                parts.extensions.insert(record);
                self.serve(Request::from_parts(parts, s3s::Body::http_body(body))).await
            }
        };
        if asks_first && is_empty {
            // It got no `100 Continue`, after which the aws command misreads the next response on the connection.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(exchange.respond(response))
    }

    async fn serve(&self, request: s3s::HttpRequest) -> s3s::HttpResponse {
        let served = AssertUnwindSafe(self.s3.call(request)).catch_unwind();
        match Box::pin(served).with_subscriber(self.quiet.clone()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::error!("a request has no response: {error:?}");
                internal_error()
            }
            // The panic's hook has logged it.
            Err(_) => internal_error(),
        }
    }
}

/// Who sends the requests that s3s does not report.
fn observer(record: Arc<Record>) -> Observer {
    Observer::new(move |identified| {
        record.verified(Verified {
            access_key: Some(identified.access_key),
            operation: identified.operation.to_owned(),
            bucket: Some(identified.bucket),
            key: identified.key,
        });
    })
}

/// What the proxy that is nearest to the client says, if there are several.
fn came_encrypted(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let first = said.and_then(|said| said.split(',').next());
    first.is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("https"))
}

fn internal_error() -> s3s::HttpResponse {
    to_response(S3Error::with_message(
        S3ErrorCode::InternalError,
        "We encountered an internal error. Please try again.",
    ))
}

fn to_response(error: S3Error) -> s3s::HttpResponse {
    error.to_http_response().unwrap_or_else(|_| {
        let mut response = s3s::HttpResponse::new(s3s::Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
