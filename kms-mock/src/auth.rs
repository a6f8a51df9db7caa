//! The caller: the credential in a SigV4 `Authorization` header.
//!
//! ```text
//! AWS4-HMAC-SHA256 Credential=AKID/20260131/eu-west-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=hex
//!                             ^^^^ caller   ^^^^^^^^^ region
//! ```
//!
//! Presence and form are checked. The signature is **not** verified: the mock has no secret keys, and accepts any
//! access key.

use hyper::header::{AUTHORIZATION, DATE, HeaderMap};

use crate::error::KmsError;

/// The parts of the header that the mock uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) region: &'a str,
}

impl<'a> Credential<'a> {
    /// # Errors
    ///
    /// `MissingAuthenticationTokenException`, `IncompleteSignatureException` or `InvalidSignatureException`.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Self, KmsError> {
        let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let text = header
            .to_str()
            .map_err(|_| incomplete("Authorization header is not plain text."))?;
        let parameters = text.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(missing)?;
        let credential = parse(parameters)?;
        if !headers.contains_key("x-amz-date") && !headers.contains_key(DATE) {
            return Err(incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ));
        }
        Ok(credential)
    }
}

fn parse(parameters: &str) -> Result<Credential<'_>, KmsError> {
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in parameters.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {
                return Err(incomplete(
                    "Authorization header has a part that is not a known key=value pair.",
                ));
            }
        }
    }
    let credential = credential.ok_or_else(|| incomplete("Authorization header requires 'Credential' parameter."))?;
    let signed = signed.ok_or_else(|| incomplete("Authorization header requires 'SignedHeaders' parameter."))?;
    let signature = signature.ok_or_else(|| incomplete("Authorization header requires 'Signature' parameter."))?;
    if !signed.split(';').any(|name| name.eq_ignore_ascii_case("host")) {
        return Err(incomplete("'Host' must be a signed header."));
    }
    if signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(incomplete("'Signature' must be 64 hexadecimal digits."));
    }
    scope(credential)
}

/// `AKID/DATE/REGION/kms/aws4_request`.
fn scope(credential: &str) -> Result<Credential<'_>, KmsError> {
    let mut parts = credential.split('/');
    let (Some(access_key), Some(date), Some(region), Some(service), Some("aws4_request"), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(incomplete(
            "'Credential' must be ACCESS-KEY/DATE/REGION/kms/aws4_request.",
        ));
    };
    let word = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !word(access_key) || !word(region) || date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(incomplete(
            "'Credential' must be ACCESS-KEY/DATE/REGION/kms/aws4_request.",
        ));
    }
    if service != "kms" {
        return Err(KmsError::new(
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'kms'.",
        ));
    }
    Ok(Credential { access_key, region })
}

fn missing() -> KmsError {
    KmsError::new("MissingAuthenticationTokenException", "Missing Authentication Token")
}

fn incomplete(message: &str) -> KmsError {
    KmsError::new("IncompleteSignatureException", message)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn kind_of(authorization: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        headers.insert("x-amz-date", HeaderValue::from_static("20260131T000000Z"));
        let credential = Credential::of(&headers).map_err(|error| error.kind)?;
        Ok(format!("{} {}", credential.access_key, credential.region))
    }

    #[test]
    fn a_whole_header_names_the_caller() {
        let scope = "AKIDEXAMPLE/20260131/eu-west-1/kms/aws4_request";
        for gap in [", ", ","] {
            let header = format!(
                "AWS4-HMAC-SHA256 Credential={scope}{gap}SignedHeaders=host;x-amz-date{gap}Signature={SIGNATURE}"
            );
            assert_eq!(kind_of(&header).unwrap(), "AKIDEXAMPLE eu-west-1");
        }
    }

    #[test]
    fn each_missing_or_misshapen_part_is_refused() {
        let rest = format!("SignedHeaders=host, Signature={SIGNATURE}");
        let cases = [
            ("Basic dXNlcg==".to_owned(), "MissingAuthenticationTokenException"),
            ("AWS4-HMAC-SHA256 ".to_owned() + &rest, "IncompleteSignatureException"),
            (
                format!("AWS4-HMAC-SHA256 Credential=A/20260131/r/kms, {rest}"),
                "IncompleteSignatureException",
            ),
            (
                format!("AWS4-HMAC-SHA256 Credential=A/2026/r/kms/aws4_request, {rest}"),
                "IncompleteSignatureException",
            ),
            (
                format!("AWS4-HMAC-SHA256 Credential=/20260131/r/kms/aws4_request, {rest}"),
                "IncompleteSignatureException",
            ),
            (
                format!("AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/aws4_request, {rest}"),
                "InvalidSignatureException",
            ),
            (
                format!("AWS4-HMAC-SHA256 Credential=A/20260131/r/kms/aws4_request, Signature={SIGNATURE}"),
                "IncompleteSignatureException",
            ),
            (
                "AWS4-HMAC-SHA256 Credential=A/20260131/r/kms/aws4_request, SignedHeaders=host, Signature=short"
                    .to_owned(),
                "IncompleteSignatureException",
            ),
            (
                format!(
                    "AWS4-HMAC-SHA256 Credential=A/20260131/r/kms/aws4_request, SignedHeaders=date, Signature={SIGNATURE}"
                ),
                "IncompleteSignatureException",
            ),
        ];
        for (header, kind) in cases {
            assert_eq!(kind_of(&header).unwrap_err(), kind, "{header}");
        }
    }
}
