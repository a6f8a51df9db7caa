//! `ETag`s, and the conditions that refer to them.
//!
//! A gateway's `ETag` is the store's, with `-1` after one that has no dash: no client takes it for the MD5 of the
//! plaintext, and a listing has it without another request.

use std::time::SystemTime;

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::backend::{Backend, BackendError, Condition, Location, StoredObject};

use super::errors;

/// The `ETag` that clients see.
pub(super) fn etag(stored: &str) -> ETag {
    ETag::Strong(etag_value(stored))
}

fn etag_value(stored: &str) -> String {
    if stored.contains('-') {
        stored.to_owned()
    } else {
        format!("{stored}-1")
    }
}

/// Whether a client's condition names this version.
fn names(condition: &ETagCondition, stored: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(expected) => expected.value() == etag_value(stored),
    }
}

/// The conditions of a read.
#[derive(Debug, Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// In the order of RFC 9110, section 13.2.2.
    pub(super) fn check(&self, stored: &StoredObject) -> S3Result<()> {
        // HTTP dates have whole seconds.
        let later = |since: &Timestamp| seconds(stored.modified) > seconds_of(since);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !names(condition, &stored.etag) => return Err(precondition_failed()),
            (None, Some(since)) if later(since) => return Err(precondition_failed()),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if names(condition, &stored.etag) => Err(not_modified(stored)),
            (None, Some(since)) if !later(since) => Err(not_modified(stored)),
            _ => Ok(()),
        }
    }

    /// As [`ReadConditions::check`], for the source of a copy, which has no 304.
    pub(super) fn check_source(&self, stored: &StoredObject) -> S3Result<()> {
        self.check(stored).map_err(|_| precondition_failed())
    }
}

/// The condition of a write, in terms of the store's own `ETag`s.
pub(super) async fn write_condition(
    backend: &dyn Backend,
    at: &Location,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(condition), None) => match backend.head(at).await {
            Ok(stored) if names(condition, &stored.etag) => Ok(Condition::Match(stored.etag)),
            Ok(_) => Err(precondition_failed()),
            Err(error) => Err(errors::of_backend(error)),
        },
        _ => Err(s3_error!(
            NotImplemented,
            "A write takes If-Match with an ETag, or If-None-Match: *."
        )),
    }
}

pub(super) fn precondition_failed() -> S3Error {
    errors::of_backend(BackendError::Precondition)
}

fn not_modified(stored: &StoredObject) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    let mut headers = hyper::HeaderMap::new();
    if let Ok(value) = etag(&stored.etag).to_http_header() {
        headers.insert(hyper::header::ETAG, value);
    }
    error.set_headers(headers);
    error
}

fn seconds(time: SystemTime) -> i64 {
    time::OffsetDateTime::from(time).unix_timestamp()
}

fn seconds_of(time: &Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}
