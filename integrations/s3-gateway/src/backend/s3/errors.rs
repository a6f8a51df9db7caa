//! What the store's refusals mean, and the client's failures.

use std::error::Error;
use std::fmt::Write as _;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::BackendError;

/// Of a request for a bucket.
pub(super) fn of_bucket<E>(error: SdkError<E, HttpResponse>) -> BackendError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    of(error, BackendError::NoSuchBucket)
}

/// Of a request for an object.
pub(super) fn of_object<E>(error: SdkError<E, HttpResponse>) -> BackendError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    of(error, BackendError::NoSuchKey)
}

/// Whether the object has none of the bytes that were asked for.
pub(super) fn is_beyond_end<E>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(416)
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// `missing` is what a 404 without a code means: the response to HEAD has no body.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn of<E>(error: SdkError<E, HttpResponse>, missing: BackendError) -> BackendError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = status(&error);
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    if let Some(known) = code.and_then(by_code) {
        return known(&error);
    }
    match (&error, status) {
        (_, Some(404)) => missing,
        (_, Some(412)) => BackendError::Precondition,
        (_, Some(401 | 403)) => BackendError::Denied(reason(&error)),
        (_, Some(413)) => BackendError::TooLarge(reason(&error)),
        (_, Some(429)) => BackendError::Throttled(reason(&error)),
        (_, Some(431)) => BackendError::MetadataTooLarge(reason(&error)),
        (_, Some(501)) => BackendError::Unsupported(reason(&error)),
        (_, Some(507)) => BackendError::Full,
        (_, Some(500..)) | (SdkError::TimeoutError(_) | SdkError::DispatchFailure(_), _) => {
            BackendError::Unavailable(reason(&error))
        }
        _ => BackendError::Other(reason(&error).into()),
    }
}

type Meaning = fn(&dyn Error) -> BackendError;

/// S3's codes, and those of stores that have more.
fn by_code(code: &str) -> Option<Meaning> {
    Some(match code {
        "NoSuchBucket" => |_| BackendError::NoSuchBucket,
        "NoSuchKey" => |_| BackendError::NoSuchKey,
        "NoSuchUpload" => |_| BackendError::NoSuchUpload,
        "InvalidPart" | "InvalidPartOrder" => |_| BackendError::InvalidPart,
        "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" => |_| BackendError::BucketExists,
        "BucketNotEmpty" => |_| BackendError::BucketNotEmpty,
        "PreconditionFailed" => |_| BackendError::Precondition,
        "InvalidBucketName" | "KeyTooLongError" | "XMinioInvalidObjectName" => {
            |error| BackendError::InvalidName(reason(error))
        }
        "EntityTooLarge" => |error| BackendError::TooLarge(reason(error)),
        "MetadataTooLarge" | "RequestHeaderSectionTooLarge" => |error| BackendError::MetadataTooLarge(reason(error)),
        "NotImplemented" => |error| BackendError::Unsupported(reason(error)),
        // Another write to the key is in progress: whether the condition holds is not known yet.
        "ConditionalRequestConflict"
        | "OperationAborted"
        | "SlowDown"
        | "TooManyRequests"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => |error| BackendError::Throttled(reason(error)),
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => |_| BackendError::Full,
        _ => return None,
    })
}

/// What it says, with its causes, each of which says only its own part.
pub(super) fn reason(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(reason, ": {error}");
        cause = error.source();
    }
    reason
}
