//! Parsing and answering requests, for fuzzers and tests.

use std::sync::LazyLock;

use hyper::Request;

use crate::call::Call;
use crate::faults;
use crate::operation::Operation;
use crate::service::{Service, ServiceConfig};
use crate::wire;

/// Parses a request as the endpoint does, and finds the keys that it names. Returns whether it is a call.
#[must_use]
pub fn parse(method: &str, uri: &str, headers: &[(&str, &[u8])], body: &[u8]) -> bool {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // What hyper rejects never reaches the parser.
    let Ok(request) = request.body(()) else { return false };
    let parts = request.into_parts().0;
    let _ = faults::named_keys(body);
    wire::parse(&parts, body, "", "", None).is_ok()
}

/// The names of all served operations.
#[must_use]
pub fn operations() -> Vec<&'static str> {
    Operation::ALL.iter().map(|operation| operation.name()).collect()
}

/// Answers a call with the key `alias/fuzz` present. Returns whether it succeeded.
#[must_use]
pub fn call(operation: &str, body: &[u8]) -> bool {
    static SERVICE: LazyLock<Option<Service>> = LazyLock::new(|| {
        let service = Service::new(ServiceConfig::default()).ok()?;
        service.ensure_alias("alias/fuzz").ok().map(|_| service)
    });
    let (Some(service), Ok(operation)) = (&*SERVICE, Operation::from_name(operation)) else {
        return false;
    };
    let config = ServiceConfig::default();
    let call = Call {
        operation,
        body,
        access_key: "fuzz",
        region: config.region.as_str(),
        request_id: "",
        source_ip: "",
        user_agent: "",
        host: "",
        tls: None,
    };
    service.call(&call).is_ok()
}
