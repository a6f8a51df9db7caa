//! Requests that are refused before s3s sees them, and headers that it must not print.

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use s3s::{S3Error, S3ErrorCode, s3_error};

/// Of encryption: of the object, and of the source of a copy.
const SSE: [&str; 2] = [
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
];

/// Headers whose name begins so change nothing that a signature is to protect: they say when, how and by what program
/// the request is sent, or have more of it verified. Clients add them to presigned requests.
const MAY_BE_UNSIGNED: [&str; 7] = [
    "x-amz-checksum-",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// Marks headers that contain secrets, so that no `Debug` of the request prints them: s3s logs requests.
pub(super) fn mark_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if is_secret(name) {
            value.set_sensitive(true);
        }
    }
}

fn is_secret(name: &HeaderName) -> bool {
    let customer_key = |prefix: &str| {
        let rest = name.as_str().strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with("-customer-key"))
    };
    name == AUTHORIZATION || name == "x-amz-security-token" || SSE.iter().any(|prefix| customer_key(prefix))
}

/// Refuses what must not reach the service.
pub(super) fn check(request: &Parts) -> Result<(), S3Error> {
    let query = Query::parse(request.uri.query().unwrap_or_default());
    // Under Signature Version 4 these are headers. In a query they would do nothing, and the key would be in logs.
    if query.names().any(|name| SSE.iter().any(|sse| starts_with(name, sse))) {
        return Err(s3_error!(
            InvalidArgument,
            "Server-side encryption must be specified in headers, not in query parameters."
        ));
    }
    let authorization = || request.headers.get_all(AUTHORIZATION).into_iter();
    if query.has("Signature") || query.has("AWSAccessKeyId") || authorization().any(|value| is_v2(value.as_bytes())) {
        return Err(s3_error!(
            InvalidRequest,
            "The authorization mechanism you have provided is not supported. Requests require AWS Signature Version 4."
        ));
    }
    let signed = if query.has("X-Amz-Signature") {
        query.one("X-Amz-SignedHeaders").unwrap_or_default()
    } else {
        let mut values = authorization();
        match (values.next(), values.next()) {
            (Some(only), None) => signed_headers(only.to_str().unwrap_or_default()),
            _ => "",
        }
    };
    let unsigned = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-amz-")
            && !MAY_BE_UNSIGNED.iter().any(|harmless| name.starts_with(harmless))
            && !signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name))
    };
    if request.headers.keys().any(unsigned) {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "There were headers present in the request which were not signed",
        ));
    }
    Ok(())
}

fn is_v2(authorization: &[u8]) -> bool {
    let value = authorization.trim_ascii_start();
    value
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"AWS "))
}

/// Of `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=a;b, Signature=...`. None is signed if it is said twice.
fn signed_headers(authorization: &str) -> &str {
    let mut found = authorization
        .split([',', ' '])
        .filter_map(|field| field.strip_prefix("SignedHeaders="));
    match (found.next(), found.next()) {
        (Some(only), None) => only,
        _ => "",
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The parameters of a query, decoded.
struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }

    /// The value, if there is one only.
    fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(other, _)| other == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(&**value)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, \
                          SignedHeaders=host;x-amz-copy-source;x-amz-date, Signature=00";

    fn refused(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let error = check(&request.body(()).unwrap().into_parts().0).err()?;
        Some(error.code().as_str().to_owned())
    }

    #[test]
    fn encryption_in_a_query_is_refused() {
        for uri in [
            "/b/k?x-amz-server-side-encryption=AES256",
            "/b/k?X-Amz-Server-Side-Encryption-Customer-Key=k",
            "/b/k?a=b&x-amz-server-side%2dencryption-context=e30",
            "/b/k?x-amz-copy-source-server-side-encryption-customer-key=k",
            "/b/k?%78-amz-server-side-encryption",
        ] {
            assert_eq!(refused(uri, &[]).as_deref(), Some("InvalidArgument"), "{uri}");
        }
        for uri in [
            "/b/k",
            "/b/k?encryption",
            "/b/k?x-id=PutObject",
            "/b/x-amz-server-side-encryption?a=%zz",
        ] {
            assert_eq!(refused(uri, &[]), None, "{uri}");
        }
    }

    #[test]
    fn signature_version_2_is_refused() {
        for (uri, headers) in [
            ("/b/k", &[("authorization", "AWS AK:c2lnbmF0dXJl")][..]),
            ("/b/k", &[("authorization", "aws AK:c2lnbmF0dXJl")]),
            ("/b/k", &[("authorization", SIGNED), ("authorization", "AWS AK:s")]),
            ("/b/k?AWSAccessKeyId=AK&Expires=1&Signature=s", &[]),
            ("/b/k?Signatur%65=s", &[]),
        ] {
            assert_eq!(
                refused(uri, headers).as_deref(),
                Some("InvalidRequest"),
                "{uri} {headers:?}"
            );
        }
        assert_eq!(refused("/b/k", &[("authorization", SIGNED)]), None);
    }

    #[test]
    fn headers_that_are_not_signed_are_refused() {
        let key = ("x-amz-server-side-encryption-customer-key", "k");
        let denied = Some("AccessDenied");
        assert_eq!(refused("/b/k", &[("authorization", SIGNED), key]).as_deref(), denied);
        let copied = ("x-amz-copy-source", "/b/other");
        assert_eq!(refused("/b/k", &[("authorization", SIGNED), copied]), None);
        let twice = SIGNED.replace(", Signature", ", SignedHeaders=x-amz-acl, Signature");
        assert_eq!(refused("/b/k", &[("authorization", &twice), copied]).as_deref(), denied);
        let presigned = "/b/k?X-Amz-Signature=00&X-Amz-SignedHeaders=host%3Bx-amz-copy-source";
        assert_eq!(refused(presigned, &[copied]), None);
        assert_eq!(refused(presigned, &[copied, key]).as_deref(), denied);
        assert_eq!(
            refused(presigned, &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]),
            None
        );
        let again = format!("{presigned}&X-Amz-SignedHeaders=x-amz-copy-source");
        assert_eq!(refused(&again, &[copied]).as_deref(), denied);
        // What is signed in a header does not count where the query has the signature.
        let both = "/b/k?X-Amz-Signature=00&X-Amz-SignedHeaders=host";
        assert_eq!(refused(both, &[("authorization", SIGNED), copied]).as_deref(), denied);
        assert_eq!(refused("/b/k", &[copied]).as_deref(), denied);
    }

    #[test]
    fn secrets_in_headers_are_not_printed() {
        let mut headers = HeaderMap::new();
        let secret = [
            "authorization",
            "x-amz-security-token",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-server-side-encryption-customer-key-md5",
            "x-amz-copy-source-server-side-encryption-customer-key",
            "x-amz-copy-source-server-side-encryption-customer-key-md5",
        ];
        for name in secret {
            // Each of several.
            headers.append(name, "hunter2".parse().unwrap());
            headers.append(name, "hunter2".parse().unwrap());
        }
        headers.insert(
            "x-amz-server-side-encryption-customer-algorithm",
            "AES256".parse().unwrap(),
        );
        mark_secrets(&mut headers);
        let printed = format!("{headers:?}");
        assert!(!printed.contains("hunter2") && printed.contains("AES256"), "{printed}");
    }
}
