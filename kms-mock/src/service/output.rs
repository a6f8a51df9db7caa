//! Answers: AWS's member names.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::{Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::KmsError;

/// The JSON text of an answer.
pub(super) fn json<T: Serialize>(answer: &T) -> Result<Vec<u8>, KmsError> {
    // Large enough for a data key and its blob: a buffer that grows leaves copies of its secrets in freed memory.
    let mut text = Vec::with_capacity(1024);
    serde_json::to_writer(&mut text, answer).map_err(|_| KmsError::internal("The answer cannot be written."))?;
    Ok(text)
}

/// The body of an operation without an answer.
pub(super) fn nothing((): &()) -> Result<Vec<u8>, KmsError> {
    Ok(Vec::new())
}

/// Seconds since 1970, with milliseconds.
pub(super) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if millis % 1000 == 0 {
        return serializer.serialize_u64(millis / 1000);
    }
    serializer.serialize_f64(millis as f64 / 1000.0)
}

pub(super) fn maybe_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Bytes in base64. The temporary text is wiped.
pub(super) fn base64<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(Base64::encode_string(bytes.as_ref())))
}

/// An answer as the audit log records it, with member names in camel case.
pub(super) fn as_logged(answer: Value) -> Value {
    match answer {
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, value)| (small(name), as_logged(value))).collect())
        }
        other => other,
    }
}

/// `KeyId` becomes `keyId`; `AWSAccountId` stays.
fn small(name: String) -> String {
    if name.starts_with("AWS") {
        return name;
    }
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// The marker after which a page begins, which must come from an earlier page.
///
/// # Errors
/// `InvalidMarkerException` for an invalid marker.
pub(super) fn begin(marker: Option<String>, is_one: impl Fn(&str) -> bool) -> Result<String, KmsError> {
    match marker {
        Some(marker) if !is_one(&marker) => Err(KmsError::new(
            "InvalidMarkerException",
            "The marker is not one that a list ended with.",
        )),
        marker => Ok(marker.unwrap_or_default()),
    }
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The marker after which the next page begins.
    pub(super) next_marker: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, which begin after the marker of the request.
    pub(super) fn of(items: impl Iterator<Item = T>, limit: Option<i64>, marker: impl Fn(&T) -> String) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100);
        let mut items: Vec<T> = items.take(limit.saturating_add(1)).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next_marker = if more { items.last().map(marker) } else { None };
        Self { items, next_marker }
    }
}
