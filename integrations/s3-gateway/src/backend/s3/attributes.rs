//! What is stored with an object, as headers of requests and in responses.
//!
//! Requests get the headers as they are stored, which AWS's client cannot do for `expires`: it takes a date, but stores
//! keep whatever text a client has sent.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use base64ct::{Base64, Encoding};

use super::BackendError;
use super::text::tagging;
use crate::backend::{Attributes, CONTENT_HEADERS, Tags};

const METADATA: &str = "x-amz-meta-";
const CONTENT_TYPE: &str = "content-type";
/// What S3 says of an object that was stored without a type: read as none.
const NO_TYPE: &str = "binary/octet-stream";

/// The headers of a request that stores attributes.
#[derive(Debug, Clone)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// For a new object. Without tags, there is no header for them: a store may know none.
    pub(super) fn new(attributes: &Attributes, tags: &Tags) -> Result<Self, BackendError> {
        let mut headers = vec![(CONTENT_TYPE.to_owned(), NO_TYPE.to_owned())];
        for (name, value) in &attributes.content {
            if !CONTENT_HEADERS.contains(&name.as_str()) {
                return Err(BackendError::InvalidName(name.clone()));
            }
            headers.push((name.clone(), stored(value)));
        }
        for (name, value) in &attributes.metadata {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(BackendError::InvalidName(name.clone()));
            }
            headers.push((format!("{METADATA}{name}"), stored(value)));
        }
        if !tags.is_empty() {
            headers.push(("x-amz-tagging".to_owned(), tagging(tags)));
        }
        Ok(Self(headers))
    }

    /// Adds them to a request, which has none of them twice.
    pub(super) fn into_edit(self) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
        move |request| {
            for (name, value) in &self.0 {
                request.headers_mut().insert(name.clone(), value.clone());
            }
        }
    }
}

/// Of a header's name: RFC 9110's tokens, without capitals.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const ENCODED: (&str, &str) = ("=?UTF-8?B?", "?=");

/// A value as it is stored. HTTP carries no others than ASCII, and S3 encodes them by RFC 2047; so is here what looks
/// encoded, so that it is returned as it is.
fn stored(value: &str) -> String {
    let is_ascii = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_ascii && !value.starts_with("=?") {
        return value.to_owned();
    }
    format!("{}{}{}", ENCODED.0, Base64::encode_string(value.as_bytes()), ENCODED.1)
}

/// The value that was stored so.
fn original(value: &str) -> String {
    let encoded = value
        .strip_prefix(ENCODED.0)
        .and_then(|value| value.strip_suffix(ENCODED.1));
    let bytes = encoded.and_then(|encoded| Base64::decode_vec(encoded).ok());
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| value.to_owned())
}

/// What a response says of an object.
pub(super) trait Described {
    fn content(&self) -> [Option<&str>; 6];
    fn metadata(&self) -> Option<&HashMap<String, String>>;

    fn attributes(&self) -> Attributes {
        let content = CONTENT_HEADERS.into_iter().zip(self.content());
        let content = content.filter_map(|(name, value)| Some((name.to_owned(), original(value?))));
        let mut content: BTreeMap<_, _> = content.collect();
        if content.get(CONTENT_TYPE).is_some_and(|value| value == NO_TYPE) {
            content.remove(CONTENT_TYPE);
        }
        let metadata = self.metadata().into_iter().flatten();
        let metadata = metadata.map(|(name, value)| (name.to_lowercase(), original(value)));
        Attributes {
            content,
            metadata: metadata.collect(),
        }
    }
}

macro_rules! described {
    ($output:ty) => {
        impl Described for $output {
            fn content(&self) -> [Option<&str>; 6] {
                [
                    self.cache_control(),
                    self.content_disposition(),
                    self.content_encoding(),
                    self.content_language(),
                    self.content_type(),
                    self.expires_string(),
                ]
            }

            fn metadata(&self) -> Option<&HashMap<String, String>> {
                self.metadata()
            }
        }
    };
}

described!(GetObjectOutput);
described!(HeadObjectOutput);

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(content: &[(&str, &str)], metadata: &[(&str, &str)]) -> Attributes {
        let owned = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            pairs.collect()
        };
        Attributes {
            content: owned(content),
            metadata: owned(metadata),
        }
    }

    #[test]
    fn every_value_is_returned_as_it_was_stored() {
        for (value, header) in [
            ("", ""),
            ("a  b=?", "a  b=?"),
            ("\u{e4}", "=?UTF-8?B?w6Q=?="),
            ("x\r\ny: z", "=?UTF-8?B?eA0KeTogeg==?="),
            ("=?UTF-8?B?w6Q=?=", "=?UTF-8?B?PT9VVEYtOD9CP3c2UT0/PQ==?="),
        ] {
            assert_eq!(stored(value), header);
            assert_eq!(original(header), value);
        }
        for foreign in [
            "=?UTF-8?Q?=C3=A4?=",
            "=?UTF-8?B?w6Q?=",
            "=?UTF-8?B?/w==?=",
            "=?UTF-8?B?=",
        ] {
            assert_eq!(original(foreign), foreign);
        }
    }

    #[test]
    fn names_that_are_no_headers_are_refused() {
        for name in ["", "a b", "a\r\nb", "ä", "a:b", "A"] {
            let refused = Headers::new(&attributes(&[], &[(name, "value")]), &Tags::new());
            assert!(matches!(refused, Err(BackendError::InvalidName(_))), "{name:?}");
        }
        let refused = Headers::new(&attributes(&[("x-amz-acl", "public-read")], &[]), &Tags::new());
        assert!(matches!(refused, Err(BackendError::InvalidName(_))));
    }
}
