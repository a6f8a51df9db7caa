//! The service's errors, under AWS's names.

/// An error response: `{"__type": kind, "message": message}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KmsError {
    /// AWS's name of the error, such as `DisabledException`.
    pub(crate) kind: String,
    pub(crate) message: String,
    /// The HTTP status: 500 for errors of the service, 400 for errors of the caller.
    pub(crate) status: u16,
}

impl KmsError {
    /// An error of the caller.
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
            status: 400,
        }
    }

    /// `KMSInternalException`, which clients retry.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            ..Self::new("KMSInternalException", message)
        }
    }

    /// `ValidationException`: a member is missing or invalid.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// `SerializationException`: invalid JSON, or a member of the wrong type.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// `NotFoundException`.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }

    /// `UnsupportedOperationException`: the real service supports it, this one does not.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperationException", message)
    }

    /// `AccessDeniedException`: `principal` may not perform `action` on `resource`.
    pub(crate) fn denied(principal: &str, action: &str, resource: &str) -> Self {
        Self::new(
            "AccessDeniedException",
            format!("User: {principal} is not authorized to perform: kms:{action} on resource: {resource}"),
        )
    }

    /// `InvalidCiphertextException`: not a ciphertext, another context, or an altered byte. It does not say which.
    pub(crate) fn invalid_ciphertext() -> Self {
        Self::new("InvalidCiphertextException", "")
    }

    /// `DryRunOperationException`: the call would have succeeded.
    pub(crate) fn dry_run() -> Self {
        Self::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )
    }
}
