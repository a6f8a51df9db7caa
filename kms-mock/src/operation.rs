//! The operations of the service.

use crate::error::KmsError;

macro_rules! operations {
    ($($name:ident,)*) => {
        /// An operation of AWS KMS that this mock serves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "AWS's own names")]
        pub(crate) enum Operation {
            $($name,)*
        }

        impl Operation {
            /// All operations, sorted by name.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// AWS's name for it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    CancelKeyDeletion,
    CreateAlias,
    CreateGrant,
    CreateKey,
    Decrypt,
    DeleteAlias,
    DescribeKey,
    DisableKey,
    DisableKeyRotation,
    EnableKey,
    EnableKeyRotation,
    Encrypt,
    GenerateDataKey,
    GenerateDataKeyWithoutPlaintext,
    GenerateRandom,
    GetKeyPolicy,
    GetKeyRotationStatus,
    ListAliases,
    ListGrants,
    ListKeyPolicies,
    ListKeyRotations,
    ListKeys,
    ListResourceTags,
    ListRetirableGrants,
    PutKeyPolicy,
    ReEncrypt,
    ReplicateKey,
    RetireGrant,
    RevokeGrant,
    RotateKeyOnDemand,
    ScheduleKeyDeletion,
    TagResource,
    UntagResource,
    UpdateAlias,
    UpdateKeyDescription,
    UpdatePrimaryRegion,
}

/// Operations that only the real service serves.
const NOT_SERVED: &[&str] = &[
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "Decapsulate",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "Encapsulate",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "GetKeyLastUsage",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "Sign",
    "UpdateCustomKeyStore",
    "Verify",
    "VerifyMac",
];

impl Operation {
    /// The operation with this name, which follows `TrentService.` in a request.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for operations that only the real service serves, `UnknownOperationException`.
    pub(crate) fn from_name(name: &str) -> Result<Self, KmsError> {
        if let Some(operation) = Self::ALL.iter().find(|operation| operation.name() == name) {
            return Ok(*operation);
        }
        Err(if NOT_SERVED.contains(&name) {
            KmsError::unsupported(format!("{name} is not served by this mock of AWS KMS."))
        } else {
            KmsError::new("UnknownOperationException", "")
        })
    }

    /// Whether it counts towards the request quota of cryptographic operations with symmetric keys, which all of them
    /// share.
    pub(crate) fn is_cryptographic(self) -> bool {
        matches!(
            self,
            Self::Decrypt
                | Self::Encrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::GenerateRandom
                | Self::ReEncrypt
        )
    }

    /// Whether it changes nothing: CloudTrail's `readOnly`.
    pub(crate) fn is_read_only(self) -> bool {
        self.is_cryptographic()
            || matches!(
                self,
                Self::DescribeKey
                    | Self::GetKeyPolicy
                    | Self::GetKeyRotationStatus
                    | Self::ListAliases
                    | Self::ListGrants
                    | Self::ListKeyPolicies
                    | Self::ListKeyRotations
                    | Self::ListKeys
                    | Self::ListResourceTags
                    | Self::ListRetirableGrants
            )
    }

    /// Whether a grant can permit it. `RetireGrant` has its own rules.
    pub(crate) fn is_grantable(self) -> bool {
        (self.is_cryptographic() && self != Self::GenerateRandom)
            || matches!(self, Self::CreateGrant | Self::DescribeKey | Self::RetireGrant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_real_service_is_known() {
        assert_eq!(Operation::ALL.len() + NOT_SERVED.len(), 56);
        for operation in Operation::ALL {
            assert_eq!(Operation::from_name(operation.name()).as_ref(), Ok(operation));
            assert!(!NOT_SERVED.contains(&operation.name()));
        }
        for (name, kind) in [
            ("Sign", "UnsupportedOperationException"),
            ("Encapsulate", "UnsupportedOperationException"),
            ("Descrypt", "UnknownOperationException"),
            ("decrypt", "UnknownOperationException"),
            ("", "UnknownOperationException"),
        ] {
            assert_eq!(Operation::from_name(name).unwrap_err().kind, kind, "{name}");
        }
    }
}
