//! The operations of the service.

/// An operation of AWS KMS that is served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// `GenerateDataKey`.
    GenerateDataKey,
}
