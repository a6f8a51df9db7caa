//! Requests that do not fit S3's rules, or the object.

use std::fmt;

use super::Mode;

/// Why a request is refused, before any key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseError {
    /// Of the three SSE-C headers this one is missing.
    CustomerHeaderMissing(&'static str),
    /// The SSE-C algorithm is not `AES256`.
    CustomerAlgorithm,
    /// The SSE-C key is not the base64 of 32 bytes.
    CustomerKeyInvalid,
    /// The SSE-C key has another MD5.
    CustomerKeyMd5,
    /// The object is sealed under a customer's key, and the request brings none.
    CustomerKeyRequired,
    /// The request brings a customer's key, and the object is not sealed under one.
    CustomerKeyNotApplicable,
    /// The object is sealed under another customer's key.
    WrongCustomerKey,
    /// The request's encryption context is no such thing, or has a pair it must not have.
    Context(&'static str),
    /// No bucket has this name.
    BucketName,
    /// The object is of this mode, and the service took a key of another: the service is at fault.
    OtherMode(Mode),
    /// The object is of no mode.
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
            Self::CustomerKeyMd5 => f.write_str("the customer's key does not have the MD5 that came with it"),
            Self::CustomerKeyRequired => f.write_str("the object is sealed under a customer's key: send that key"),
            Self::CustomerKeyNotApplicable => f.write_str("the object is not sealed under a customer's key: send none"),
            Self::WrongCustomerKey => f.write_str("the object is sealed under another customer's key"),
            Self::Context(reason) => write!(f, "the encryption context is refused: {reason}"),
            Self::BucketName => f.write_str("a bucket's name is not empty and has no slash"),
            Self::OtherMode(mode) => write!(f, "the object is of another mode: {mode:?}"),
            Self::NotServerSide => f.write_str("the object is of no mode of server-side encryption"),
        }
    }
}

impl std::error::Error for SseError {}
