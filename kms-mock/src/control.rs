//! The control port: faults, settings, the clock and the audit log of a running mock, as JSON over HTTP.
//!
//! ```text
//! GET POST DELETE /faults      GET PATCH DELETE /faults/ID      GET PUT PATCH /settings
//! GET POST /clock              GET /audit                       GET /health
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::faults::{Fault, Faults, InvalidFault, RunningFault, Settings};
use crate::http::{self, Body, Handler, Hangup, Limits, Peer};
use crate::service::Service;
use crate::wire;

/// Serves the control port.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) service: Arc<Service>,
    pub(crate) faults: Faults,
    pub(crate) clock: Arc<Clock>,
    pub(crate) limits: Limits,
}

impl Handler for Control {
    async fn handle(&self, mut request: Request<Incoming>, _peer: &Peer) -> Result<Response<Body>, Hangup> {
        let answer = match http::read_body(&mut request, &self.limits).await {
            Ok(body) => self.route(request.method(), request.uri().path(), &body),
            Err(refusal) => {
                let mut response = respond(Err(Refused(refusal.status(), refusal.to_string())));
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
                return Ok(response);
            }
        };
        Ok(respond(answer))
    }
}

type Answer = Result<(StatusCode, Value), Refused>;

#[derive(Debug)]
struct Refused(StatusCode, String);

impl From<InvalidFault> for Refused {
    fn from(error: InvalidFault) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl Control {
    fn route(&self, method: &Method, path: &str, body: &[u8]) -> Answer {
        match (path, method) {
            ("/health", &Method::GET) => ok(&json!({"status": "ok", "mock": "not a real key service"})),
            ("/audit", &Method::GET) => ok(&self.service.audit().export()),
            ("/clock", &Method::GET) => self.clock(),
            ("/clock", &Method::POST) => {
                self.clock
                    .advance(Duration::from_secs(parse::<Advance>(body)?.advance_seconds));
                let kept = self.service.settle();
                kept.map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.message))?;
                self.clock()
            }
            ("/settings", &Method::GET) => ok(&self.faults.settings()),
            ("/settings", &Method::PUT) => self.set(parse(body)?),
            ("/settings", &Method::PATCH) => self.set(patch(&self.faults.settings(), body)?),
            ("/faults", &Method::GET) => ok(&json!({"faults": self.faults.list()})),
            ("/faults", &Method::POST) => {
                let id = self.faults.add(parse(body)?)?;
                self.fault(id).and_then(|fault| answer(StatusCode::CREATED, &fault))
            }
            ("/faults", &Method::DELETE) => {
                self.faults.clear();
                Ok((StatusCode::NO_CONTENT, Value::Null))
            }
            ("/health" | "/audit" | "/clock" | "/settings" | "/faults", _) => Err(not_allowed()),
            _ => match path.strip_prefix("/faults/").and_then(|id| id.parse().ok()) {
                Some(id) => self.one_fault(method, id, body),
                None => Err(not_found(
                    "unknown path: use /faults, /faults/ID, /settings, /clock, /audit or /health",
                )),
            },
        }
    }

    fn one_fault(&self, method: &Method, id: u64, body: &[u8]) -> Answer {
        let fault = self.fault(id)?;
        match *method {
            Method::GET => ok(&fault),
            Method::PATCH => {
                let changed: Fault = patch(&fault.fault, body)?;
                self.faults.replace(id, changed)?;
                ok(&self.fault(id)?)
            }
            Method::DELETE if self.faults.remove(id) => Ok((StatusCode::NO_CONTENT, Value::Null)),
            Method::DELETE => Err(not_found("the fault was already removed")),
            _ => Err(not_allowed()),
        }
    }

    fn fault(&self, id: u64) -> Result<RunningFault, Refused> {
        self.faults.get(id).ok_or_else(|| not_found("no fault has this id"))
    }

    fn set(&self, settings: Settings) -> Answer {
        self.faults.set_settings(settings)?;
        ok(&self.faults.settings())
    }

    fn clock(&self) -> Answer {
        ok(&json!({"now": self.clock.now().as_secs(), "ahead_seconds": self.clock.ahead().as_secs()}))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(unreadable)
}

/// Replaces the members of `old` that `body` contains. `null` removes a member.
fn patch<T: Serialize + DeserializeOwned>(old: &T, body: &[u8]) -> Result<T, Refused> {
    let mut value = serde_json::to_value(old).map_err(unreadable)?;
    let changes: serde_json::Map<String, Value> = parse(body)?;
    if let Some(members) = value.as_object_mut() {
        for (name, change) in changes {
            if change.is_null() {
                members.remove(&name);
            } else {
                members.insert(name, change);
            }
        }
    }
    serde_json::from_value(value).map_err(unreadable)
}

fn ok(value: &impl Serialize) -> Answer {
    answer(StatusCode::OK, value)
}

fn answer(status: StatusCode, value: &impl Serialize) -> Answer {
    Ok((status, serde_json::to_value(value).map_err(unreadable)?))
}

// By value: it is a function for `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: serde_json::Error) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.to_string())
}

fn not_found(what: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, what.to_owned())
}

fn not_allowed() -> Refused {
    Refused(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not support this method".to_owned(),
    )
}

fn respond(answer: Answer) -> Response<Body> {
    let (status, value) = answer.unwrap_or_else(|Refused(status, message)| (status, json!({"error": message})));
    let body = if status == StatusCode::NO_CONTENT {
        Bytes::new()
    } else {
        Bytes::from(format!("{value}\n"))
    };
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    wire::loud(response.headers_mut());
    response
}
