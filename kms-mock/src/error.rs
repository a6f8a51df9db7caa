//! The errors of the service, by AWS's names.

/// An error as the wire carries it: `{"__type": kind, "message": message}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KmsError {
    /// AWS's name of the error, such as `DisabledException`.
    pub(crate) kind: String,
    pub(crate) message: String,
    /// The HTTP status: 500 for what the service is to blame for, 400 otherwise.
    pub(crate) status: u16,
}

impl KmsError {
    /// What the caller is to blame for.
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
            status: 400,
        }
    }

    /// `KMSInternalException`, which clients try again.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            ..Self::new("KMSInternalException", message)
        }
    }

    /// `ValidationException`: a member that is missing, or not as it must be.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// `SerializationException`: JSON that is none, or of other types.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// `NotFoundException`.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }

    /// `UnsupportedOperationException`: what the real service does and this one does not.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperationException", message)
    }

    /// `AccessDeniedException` of a principal that lacks the permission for `action` on `resource`.
    pub(crate) fn denied(principal: &str, action: &str, resource: &str) -> Self {
        Self::new(
            "AccessDeniedException",
            format!("User: {principal} is not authorized to perform: kms:{action} on resource: {resource}"),
        )
    }

    /// `InvalidCiphertextException`: garbage, another context, an altered byte. It does not say which.
    pub(crate) fn invalid_ciphertext() -> Self {
        Self::new("InvalidCiphertextException", "")
    }

    /// `DryRunOperationException`: it would have succeeded.
    pub(crate) fn dry_run() -> Self {
        Self::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )
    }
}
