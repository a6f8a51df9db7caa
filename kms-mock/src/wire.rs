//! The awsJson1_1 protocol: headers, status codes and error bodies.
//!
//! ```text
//! POST /                                          200
//! Content-Type: application/x-amz-json-1.1        Content-Type: application/x-amz-json-1.1
//! X-Amz-Target: TrentService.Decrypt       ->     x-amzn-RequestId: UUID
//! Authorization: AWS4-HMAC-SHA256 ...             {"Plaintext": ...} or {"__type": "...", "message": "..."}
//! {"CiphertextBlob": ...}
//! ```

use bytes::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, SERVER, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::auth::Credential;
use crate::call::Call;
use crate::error::KmsError;
use crate::http::{Body, Refusal};
use crate::operation::Operation;
use crate::tls::Agreed;

const JSON: &str = "application/x-amz-json-1.1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Marks answers, so that they are not mistaken for the real service's.
const MOCK: HeaderName = HeaderName::from_static("x-kms-mock");

/// Reads a request.
///
/// # Errors
///
/// The service's error for a wrong path, method, content type, target or signature.
pub(crate) fn parse<'a>(
    parts: &'a Parts,
    body: &'a [u8],
    request_id: &'a str,
    source_ip: &'a str,
    tls: Option<&'a Agreed>,
) -> Result<Call<'a>, KmsError> {
    if parts.uri.path() != "/" {
        return Err(refusal(
            "UnknownOperationException",
            "There is nothing here: calls go to /.",
            StatusCode::NOT_FOUND,
        ));
    }
    if parts.method != Method::POST {
        let message = "Calls are POST requests.";
        return Err(refusal(
            "UnknownOperationException",
            message,
            StatusCode::METHOD_NOT_ALLOWED,
        ));
    }
    content_type(&parts.headers)?;
    let operation = target(&parts.headers)?;
    let credential = Credential::of(&parts.headers)?;
    Ok(Call {
        operation,
        body,
        access_key: credential.access_key,
        region: credential.region,
        request_id,
        source_ip,
        user_agent: text(&parts.headers, &USER_AGENT),
        host: text(&parts.headers, &HOST),
        tls,
    })
}

fn content_type(headers: &HeaderMap) -> Result<(), KmsError> {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    // Parameters, such as a charset, change nothing.
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(KmsError::new(
        "SerializationException",
        "The Content-Type must be application/x-amz-json-1.1.",
    ))
}

fn target(headers: &HeaderMap) -> Result<Operation, KmsError> {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match target.strip_prefix("TrentService.") {
        Some(name) => Operation::from_name(name),
        None => Err(KmsError::new(
            "UnknownOperationException",
            "The X-Amz-Target must be TrentService.<operation>.",
        )),
    }
}

/// A header that is only logged. A value that is not plain text counts as empty.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The answer to a successful call. The body is empty for operations without an answer.
pub(crate) fn answer(request_id: &str, json: Vec<u8>) -> Response<Body> {
    response(request_id, StatusCode::OK, Bytes::from(json))
}

/// The answer to a failed call.
pub(crate) fn failure(request_id: &str, error: &KmsError) -> Response<Body> {
    let json = match error.message.as_str() {
        // The service omits an empty message.
        "" => serde_json::json!({ "__type": error.kind }),
        message => serde_json::json!({ "__type": error.kind, "message": message }),
    };
    let json = json.to_string();
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(request_id, status, Bytes::from(json));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The answer to a request whose body could not be read. It closes the connection: the rest of the body would be parsed
/// as the next request.
pub(crate) fn unreadable(request_id: &str, refusal: Refusal) -> Response<Body> {
    let kind = match refusal {
        Refusal::TooLarge => "RequestEntityTooLargeException",
        Refusal::Slow => "RequestTimeoutException",
        Refusal::Broken => "SerializationException",
    };
    let error = self::refusal(kind, &refusal.to_string(), refusal.status());
    let mut response = failure(request_id, &error);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn response(request_id: &str, status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    loud(headers);
    response
}

/// Adds the headers that identify the mock.
pub(crate) fn loud(headers: &mut HeaderMap) {
    headers.insert(MOCK, HeaderValue::from_static("not a real key service"));
    headers.insert(
        SERVER,
        HeaderValue::from_static(concat!("kms-mock/", env!("CARGO_PKG_VERSION"))),
    );
}

fn refusal(kind: &str, message: &str, status: StatusCode) -> KmsError {
    KmsError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        status: status.as_u16(),
    }
}
