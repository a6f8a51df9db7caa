//! The operations of the service.

use crate::error::KmsError;

/// An operation of AWS KMS that is served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// `GenerateDataKey`.
    GenerateDataKey,
    /// `Decrypt`.
    Decrypt,
    /// `ListKeys`.
    ListKeys,
}

impl Operation {
    pub(crate) fn from_name(name: &str) -> Result<Self, KmsError> {
        let kind = match name {
            "GenerateDataKey" => return Ok(Self::GenerateDataKey),
            "Decrypt" => return Ok(Self::Decrypt),
            "ListKeys" => return Ok(Self::ListKeys),
            "Sign" => "UnsupportedOperationException",
            _ => "UnknownOperationException",
        };
        Err(KmsError {
            kind: kind.to_owned(),
            message: String::new(),
            status: 400,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Decrypt => "Decrypt",
            Self::ListKeys => "ListKeys",
        }
    }

    pub(crate) fn is_cryptographic(self) -> bool {
        self != Self::ListKeys
    }
}
