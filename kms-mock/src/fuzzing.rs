//! The parser of requests, for fuzzers and property tests.

use hyper::Request;

use crate::faults;
use crate::wire;

/// Reads a request as the endpoint does, and finds the keys it names as faults do. True if it is a call.
#[must_use]
pub fn parse(method: &str, uri: &str, headers: &[(&str, &[u8])], body: &[u8]) -> bool {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // What hyper does not take never comes to the parser.
    let Ok(request) = request.body(()) else { return false };
    let parts = request.into_parts().0;
    let _ = faults::named_keys(body);
    wire::parse(&parts, body, "", "").is_ok()
}
