//! Refuses endpoints that others can eavesdrop on, unless the caller allows them.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::BoxError;

/// The message for such an endpoint.
pub(crate) const EXPOSED: &str = "its endpoint is plain http:// on another machine, so data keys could be read on the \
     network: use https://, or allow it with `allow_insecure_endpoint` (--kms-insecure-endpoint)";

/// Whether the URL is plain HTTP to another machine.
pub(crate) fn is_exposed(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    scheme.eq_ignore_ascii_case("http") && !is_loopback(host(rest))
}

/// The host in the text after `http://`.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    match place.strip_prefix('[') {
        Some(address) => address.split_once(']').map_or(address, |(address, _)| address),
        None => place.split_once(':').map_or(place, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Stops requests to such an endpoint before they are signed, whether the caller, the environment or a profile set it.
#[derive(Debug)]
pub(crate) struct RefuseExposed;

impl Intercept for RefuseExposed {
    fn name(&self) -> &'static str {
        "RefuseExposed"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_exposed(context.request().uri()) {
            return Err(Exposed.into());
        }
        Ok(())
    }
}

/// The endpoint is exposed.
#[derive(Debug)]
pub(crate) struct Exposed;

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPOSED)
    }
}

impl Error for Exposed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_exposed_but_on_this_machine() {
        for kept in [
            "http://127.0.0.1:4599",
            "http://127.9.9.9/",
            "http://localhost",
            "HTTP://LocalHost:80/path",
            "http://[::1]:4599/",
            "http://user:word@127.0.0.1/",
            "https://kms.eu-west-1.amazonaws.com",
            "https://10.0.0.1:8443",
        ] {
            assert!(!is_exposed(kept), "{kept}");
        }
        for exposed in [
            "http://kms.example",
            "http://10.0.0.1:4599",
            "http://0.0.0.0:4599",
            "http://[::2]/",
            "http://[::11",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://127.1/",
            "http://127.0.0.1@example/",
            "http://example/@127.0.0.1",
            "http://example?@127.0.0.1",
            "http://example#@127.0.0.1/",
            "http://example\\@127.0.0.1/",
            "hTTp://example:443",
            "http://",
        ] {
            assert!(is_exposed(exposed), "{exposed}");
        }
    }
}
