//! The members of requests about grants, and of their answers.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::service::input::{Checks, Input, list};
use crate::service::output::seconds;
use crate::store::Constraints;

/// Operations that grants can permit.
#[rustfmt::skip]
const OPERATIONS: &[&str] = &[
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign",
    "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate",
    "Decapsulate",
];
/// Those that no symmetric encryption key supports.
#[rustfmt::skip]
pub(super) const OF_OTHER_KEYS: &[&str] = &[
    "Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
];

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct CreateGrant {
    pub(super) key_id: Option<String>,
    pub(super) grantee_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retiring_principal: Option<String>,
    #[serde(skip_serializing)]
    pub(super) grantee_service_principal: Option<String>,
    #[serde(skip_serializing)]
    pub(super) retiring_service_principal: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) operations: Vec<String>,
    #[serde(serialize_with = "logged", skip_serializing_if = "Option::is_none")]
    pub(super) constraints: Option<Constraints>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(super) grant_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<bool>,
}

impl Input for CreateGrant {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        let grantee = self
            .grantee_principal
            .as_ref()
            .or(self.grantee_service_principal.as_ref());
        checks.required("granteePrincipal", grantee);
        checks.principal("granteePrincipal", self.grantee_principal.as_deref());
        checks.principal("retiringPrincipal", self.retiring_principal.as_deref());
        checks.required("operations", self.operations.first());
        checks.each_one_of("operations", &self.operations, OPERATIONS);
        checks.grant_tokens(&self.grant_tokens);
        checks.name("name", self.name.as_deref());
        for pairs in self.constraints.iter().flat_map(Constraints::pairs) {
            checks.constraint("constraints", pairs);
        }
    }
}

/// Constraints as the audit log records them.
fn logged<S: Serializer>(constraints: &Option<Constraints>, serializer: S) -> Result<S::Ok, S::Error> {
    let Constraints {
        encryption_context_subset,
        encryption_context_equals,
    } = constraints.clone().unwrap_or_default();
    let both = [
        ("encryptionContextSubset", encryption_context_subset),
        ("encryptionContextEquals", encryption_context_equals),
    ];
    serializer.collect_map(both.into_iter().filter_map(|(name, pairs)| Some((name, pairs?))))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct ListGrants {
    pub(super) key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grantee_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

impl Input for ListGrants {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.text("grantId", self.grant_id.as_deref(), 128);
        checks.principal("granteePrincipal", self.grantee_principal.as_deref());
        checks.range("limit", self.limit, 1, 100);
        checks.text("marker", self.marker.as_deref(), 1024);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct ListRetirableGrants {
    pub(super) retiring_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

impl Input for ListRetirableGrants {
    fn check(&self, checks: &mut Checks) {
        checks.required("retiringPrincipal", self.retiring_principal.as_ref());
        checks.principal("retiringPrincipal", self.retiring_principal.as_deref());
        checks.page(self.limit, 100, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct RevokeGrant {
    pub(super) key_id: Option<String>,
    pub(super) grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<bool>,
}

impl Input for RevokeGrant {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.required("grantId", self.grant_id.as_ref());
        checks.text("grantId", self.grant_id.as_deref(), 128);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct RetireGrant {
    #[serde(skip_serializing)]
    pub(super) grant_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<bool>,
}

impl Input for RetireGrant {
    fn check(&self, checks: &mut Checks) {
        checks.text("grantToken", self.grant_token.as_deref(), 8192);
        checks.text("keyId", self.key_id.as_deref(), 2048);
        checks.text("grantId", self.grant_id.as_deref(), 128);
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct Granted {
    pub(super) grant_token: String,
    pub(super) grant_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct GrantList {
    pub(super) grants: Vec<GrantEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_marker: Option<String>,
    pub(super) truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct GrantEntry {
    /// The ARN.
    pub(super) key_id: String,
    pub(super) grant_id: String,
    pub(super) name: String,
    #[serde(serialize_with = "seconds")]
    pub(super) creation_date: Duration,
    pub(super) grantee_principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retiring_principal: Option<String>,
    pub(super) issuing_account: String,
    pub(super) operations: Vec<String>,
    #[serde(skip_serializing_if = "Constraints::is_empty")]
    pub(super) constraints: Constraints,
}
