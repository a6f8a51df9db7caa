//! How names and values are written in requests, and read in responses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::BackendError;
use crate::backend::Tags;

/// All but what RFC 3986 leaves as it is.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_BUT_SLASHES: AsciiSet = RESERVED.remove(b'/');

/// An object's place in the header that names what is copied.
pub(super) fn copy_source(bucket: &str, key: &str) -> String {
    let bucket = utf8_percent_encode(bucket, &RESERVED);
    format!("{bucket}/{}", utf8_percent_encode(key, &RESERVED_BUT_SLASHES))
}

/// Decodes a name in a listing. AWS writes spaces as `+`, others as `%20`, and all of them `+` as `%2B`.
pub(super) fn decoded(text: &str) -> Result<String, BackendError> {
    let spaced = text.replace('+', " ");
    let name = percent_decode_str(&spaced).decode_utf8();
    let name = name.map_err(|_| BackendError::Other(format!("it lists a name that is not UTF-8: {text:?}").into()))?;
    Ok(name.into_owned())
}

/// An `ETag` as a header has it.
pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// An `ETag` without its quotes.
pub(super) fn unquoted(etag: &str) -> String {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    inner.unwrap_or(etag).to_owned()
}

/// The `ETag` of a response, without which nothing can be read safely.
pub(super) fn required(etag: Option<&str>) -> Result<String, BackendError> {
    let etag = etag.map(unquoted).filter(|etag| !etag.is_empty());
    etag.ok_or_else(|| BackendError::Other("its response has no ETag".into()))
}

/// Tags as the header `x-amz-tagging` has them.
pub(super) fn tagging(tags: &Tags) -> String {
    let encoded = |text| utf8_percent_encode(text, &RESERVED);
    let pairs = tags
        .iter()
        .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_names_are_decoded() {
        for name in ["", "a", "a b+c%d/e?f&g=h", "ä/日本\u{1f600}", "%", "%41", "\u{1}\r\n"] {
            let listed = utf8_percent_encode(name, &RESERVED).to_string();
            assert_eq!(decoded(&listed).unwrap(), name);
            assert_eq!(decoded(&copy_source("", name)[1..]).unwrap(), name);
        }
        assert_eq!(decoded("a+b%20c%2Bd").unwrap(), "a b c+d");
        assert!(decoded("%ff").is_err());
    }

    #[test]
    fn etags_are_opaque() {
        assert_eq!(unquoted("\"abc-1\""), "abc-1");
        assert_eq!(unquoted("abc"), "abc");
        assert_eq!(unquoted("\""), "\"");
        assert!(required(Some("\"\"")).is_err());
    }
}
