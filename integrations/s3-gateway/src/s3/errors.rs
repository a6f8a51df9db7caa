//! Errors as S3 returns them: code, status and text.

use std::io;

use s3s::{S3Error, S3ErrorCode, s3_error};
use sealstone::Error;
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone_aws_kms::KmsError;
use sealstone_s3_sse::SseError;

use crate::backend::BackendError;
use crate::objects::ObjectError;
use crate::sse::RequestError;

/// An error with this code and status, which may be one that s3s does not know.
pub(super) fn error(code: &'static str, status: u16, message: impl Into<String>) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message.into());
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    error
}

/// The error of a request whose encryption is refused. The texts are S3's.
pub(super) fn of_request(refused: RequestError) -> S3Error {
    match refused {
        RequestError::Provider(failure) => of_provider(&failure),
        RequestError::Sse(refused) => error(refused.code(), refused.status(), sse_text(&refused)),
        RequestError::UnknownMode(_) => invalid_argument("The encryption method specified is not supported"),
        RequestError::TwoLayers => s3_error!(NotImplemented, "aws:kms:dsse is not implemented."),
        RequestError::CustomerKeyAndMode => invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
        ),
        RequestError::KmsSettingsWithoutMode => invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        ),
        RequestError::InsecureCustomerKey => s3_error!(
            InvalidRequest,
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
        ),
        RequestError::CustomerKeysBlocked => s3_error!(
            AccessDenied,
            "Server Side Encryption with Customer provided keys is blocked for this bucket."
        ),
    }
}

pub(super) fn invalid_argument(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

fn sse_text(refused: &SseError) -> String {
    let text = match refused {
        SseError::CustomerHeaderMissing(name) if name.ends_with("MD5") => {
            "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key."
        }
        SseError::CustomerHeaderMissing(name) if name.ends_with("algorithm") => {
            "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm."
        }
        SseError::CustomerHeaderMissing(_) => {
            "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key."
        }
        SseError::CustomerAlgorithm => "The encryption algorithm is not AES256.",
        SseError::CustomerKeyInvalid => "The secret key was invalid for the specified algorithm.",
        SseError::CustomerKeyMd5 => "The calculated MD5 hash of the key did not match the hash that was provided.",
        SseError::CustomerKeyRequired => {
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
        }
        SseError::CustomerKeyNotApplicable => "The encryption parameters are not applicable to this object.",
        SseError::WrongCustomerKey => "Access Denied",
        other => return other.to_string(),
    };
    text.to_owned()
}

/// The error of a key service. A caller that is refused learns nothing of the key.
pub(super) fn of_provider(failure: &ProviderError) -> S3Error {
    tracing::warn!(error = %failure, "a key cannot be used");
    let code = failure
        .source
        .as_ref()
        .and_then(|source| source.downcast_ref::<KmsError>());
    match failure.class {
        ProviderErrorClass::Denied => s3_error!(AccessDenied, "Access Denied by the key service."),
        ProviderErrorClass::NotFound => error("KMS.NotFoundException", 400, failure.message.clone()),
        ProviderErrorClass::KeyState if code.is_some_and(|error| error.code() == "DisabledException") => {
            error("KMS.DisabledException", 400, failure.message.clone())
        }
        ProviderErrorClass::KeyState => error("KMS.KMSInvalidStateException", 400, failure.message.clone()),
        ProviderErrorClass::Throttled => s3_error!(SlowDown, "The key service asks for fewer requests."),
        ProviderErrorClass::Unavailable => s3_error!(ServiceUnavailable, "The key service is unavailable."),
        ProviderErrorClass::BadCiphertext | ProviderErrorClass::OtherKey => {
            error("KMS.InvalidCiphertextException", 400, failure.message.clone())
        }
        _ => s3_error!(InvalidArgument, "{}", failure.message),
    }
}

/// The error of a HEAD, whose status is all that a client sees: an object that cannot be opened is the request's fault,
/// as far as it may be repeated.
pub(super) fn of_head(mut failure: S3Error) -> S3Error {
    let status = failure.status_code().or_else(|| failure.code().status_code());
    if status.is_none_or(|status| status == hyper::StatusCode::INTERNAL_SERVER_ERROR) {
        failure.set_status_code(hyper::StatusCode::BAD_REQUEST);
    }
    failure
}

/// The error of an operation on an object.
pub(super) fn of_object(failure: ObjectError) -> S3Error {
    match failure {
        ObjectError::Store(failure) => of_backend(failure),
        ObjectError::NotSealed => s3_error!(
            InvalidRequest,
            "The stored object was not written by this gateway, or its header was lost."
        ),
        ObjectError::Sealed(failure) => of_engine(failure),
        other => {
            tracing::error!(error = %other, "a read failed");
            S3Error::with_source(S3ErrorCode::InternalError, Box::new(other))
        }
    }
}

/// The error of sealing or opening.
pub(super) fn of_engine(failure: Error) -> S3Error {
    match failure {
        Error::Provider(failure) => of_provider(&failure),
        Error::NoUsableKey { .. } => s3_error!(AccessDenied, "The gateway does not have the object's key."),
        Error::HeaderTooLarge { .. } => error(
            "MetadataTooLarge",
            400,
            "The encryption context is too large to be stored with the object.",
        ),
        failure => {
            tracing::error!(error = %failure, "a stored object cannot be opened");
            let mut refused = S3Error::with_message(
                S3ErrorCode::InternalError,
                format!("The stored object cannot be opened: {failure}"),
            );
            refused.set_source(Box::new(failure));
            refused
        }
    }
}

/// The error of a store.
pub(super) fn of_backend(failure: BackendError) -> S3Error {
    match failure {
        BackendError::NoSuchBucket => s3_error!(NoSuchBucket, "The specified bucket does not exist"),
        BackendError::NoSuchKey => s3_error!(NoSuchKey, "The specified key does not exist."),
        BackendError::NoSuchUpload => s3_error!(
            NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
        ),
        BackendError::InvalidPart => s3_error!(InvalidPart, "One or more of the specified parts could not be found."),
        BackendError::BucketExists => s3_error!(BucketAlreadyOwnedByYou),
        BackendError::BucketNotEmpty => s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"),
        BackendError::Precondition => s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        ),
        BackendError::InvalidName(name) => s3_error!(InvalidArgument, "The store does not take this name: {name:?}"),
        BackendError::TooLarge(_) => error(
            "EntityTooLarge",
            400,
            "Your proposed upload exceeds the maximum allowed size",
        ),
        BackendError::MetadataTooLarge(_) => error(
            "MetadataTooLarge",
            400,
            "Your metadata headers exceed the maximum allowed metadata size",
        ),
        BackendError::Body(failure) => of_body(failure),
        BackendError::Unsupported(reason) => s3_error!(NotImplemented, "The store cannot do this: {reason}"),
        BackendError::Full => error("InsufficientStorage", 507, "The store is full."),
        BackendError::Throttled(_) => s3_error!(SlowDown, "Please reduce your request rate."),
        failure @ (BackendError::Denied(_) | BackendError::Unavailable(_)) => {
            tracing::error!(error = %failure, "the store failed");
            S3Error::with_source(S3ErrorCode::ServiceUnavailable, Box::new(failure))
        }
        failure => {
            tracing::error!(error = %failure, "the store failed");
            S3Error::with_source(S3ErrorCode::InternalError, Box::new(failure))
        }
    }
}

/// The error of a request's body.
fn of_body(failure: io::Error) -> S3Error {
    // That of a copy is an object.
    let failure = match failure.downcast::<Error>() {
        Ok(Error::Io { source, .. }) => io::Error::other(source),
        Ok(failure) => return of_engine(failure),
        Err(failure) => failure,
    };
    let mut refused = match failure.to_string() {
        text if text.contains("SignatureMismatch") => s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided."
        ),
        text if text.contains("Sha256Mismatch") => error(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        _ => s3_error!(IncompleteBody, "The body ended before or after the announced length."),
    };
    refused.set_source(Box::new(failure));
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_for_the_store_is_the_requests_fault() {
        for (failure, code) in [
            (BackendError::TooLarge(String::new()), "EntityTooLarge"),
            (BackendError::MetadataTooLarge(String::new()), "MetadataTooLarge"),
        ] {
            let refused = of_backend(failure);
            assert_eq!(refused.code().as_str(), code);
            assert_eq!(refused.status_code(), Some(hyper::StatusCode::BAD_REQUEST));
        }
    }
}
