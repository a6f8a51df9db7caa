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
