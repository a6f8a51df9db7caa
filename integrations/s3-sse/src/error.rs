//! Requests that violate S3's rules or do not match the object.

use std::fmt;

use crate::Mode;

/// Why a request is refused. No key has been used at that point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseError {
    /// This one of the three SSE-C headers is missing.
    CustomerHeaderMissing(&'static str),
    /// The SSE-C algorithm is not `AES256`.
    CustomerAlgorithm,
    /// The SSE-C key is not the base64 of 32 bytes.
    CustomerKeyInvalid,
    /// The SSE-C key does not match its MD5.
    CustomerKeyMd5,
    /// The object is sealed under a customer's key, and the request has none.
    CustomerKeyRequired,
    /// The request has a customer's key, and the object is not sealed under one.
    CustomerKeyNotApplicable,
    /// The object is sealed under another customer's key.
    WrongCustomerKey,
    /// The request's encryption context is invalid, or has a pair that is not allowed.
    Context(&'static str),
    /// The bucket's name is invalid.
    BucketName,
    /// The object has this mode, and the service chose a key of another: a fault of the service.
    OtherMode(Mode),
    /// The object has no mode of server-side encryption.
    NotServerSide,
}

impl SseError {
    /// S3's error code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CustomerHeaderMissing(_) | Self::CustomerKeyInvalid | Self::CustomerKeyMd5 | Self::Context(_) => {
                "InvalidArgument"
            }
            Self::CustomerAlgorithm => "InvalidEncryptionAlgorithmError",
            Self::CustomerKeyRequired | Self::CustomerKeyNotApplicable => "InvalidRequest",
            Self::WrongCustomerKey => "AccessDenied",
            Self::BucketName => "InvalidBucketName",
            Self::OtherMode(_) | Self::NotServerSide => "InternalError",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::WrongCustomerKey => 403,
            Self::OtherMode(_) | Self::NotServerSide => 500,
            _ => 400,
        }
    }
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CustomerHeaderMissing(name) => write!(f, "a customer's key needs the header {name}"),
            Self::CustomerAlgorithm => f.write_str("the algorithm of a customer's key must be AES256"),
            Self::CustomerKeyInvalid => f.write_str("a customer's key must be 32 bytes in base64"),
            Self::CustomerKeyMd5 => f.write_str("the customer's key does not match its MD5"),
            Self::CustomerKeyRequired => f.write_str("the object is sealed under a customer's key: send that key"),
            Self::CustomerKeyNotApplicable => f.write_str("the object is not sealed under a customer's key: send none"),
            Self::WrongCustomerKey => f.write_str("the object is sealed under another customer's key"),
            Self::Context(reason) => write!(f, "the encryption context is refused: {reason}"),
            Self::BucketName => f.write_str("a bucket's name must not be empty or contain a slash"),
            Self::OtherMode(mode) => write!(f, "the object has another mode: {mode:?}"),
            Self::NotServerSide => f.write_str("the object has no mode of server-side encryption"),
        }
    }
}

impl std::error::Error for SseError {}
