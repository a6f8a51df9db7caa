//! The members of requests about keys, and of their answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::KmsError;
use crate::service::input::{Checks, Input, list};
use crate::service::output::{maybe_seconds, seconds};
use crate::service::tags::{self, Tag};
use crate::store::{KeyManager, Region};

pub(super) const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
pub(super) const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
pub(super) const ORIGIN: &str = "AWS_KMS";

/// The real service's values. All but one of each are unsupported here, and other words are invalid. In the order of
/// AWS's messages where that is known, else of its API model.
#[rustfmt::skip]
const KEY_SPECS: &[&str] = &[
    "RSA_2048", "ECC_NIST_P384", "ECC_NIST_P256", "ECC_NIST_P521", "HMAC_384", "RSA_3072", "ECC_SECG_P256K1",
    "RSA_4096", SYMMETRIC, "HMAC_256", "HMAC_224", "HMAC_512", "SM2", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87",
    "ECC_NIST_EDWARDS25519", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024",
];
#[rustfmt::skip]
const CUSTOMER_MASTER_KEY_SPECS: &[&str] = &[
    "RSA_2048", "ECC_NIST_P384", "ECC_NIST_P256", "ECC_NIST_P521", "HMAC_384", "RSA_3072", "ECC_SECG_P256K1",
    "RSA_4096", SYMMETRIC, "HMAC_256", "HMAC_224", "HMAC_512", "SM2",
];
#[rustfmt::skip]
const KEY_USAGES: &[&str] =
    &[ENCRYPT_DECRYPT, "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"];
const ORIGINS: &[&str] = &[ORIGIN, "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct CreateKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_master_key_spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multi_region: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_key_store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) xks_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bypass_policy_lockout_safety_check: Option<bool>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<Tag>,
}

impl Input for CreateKey {
    fn check(&self, checks: &mut Checks) {
        checks.at_most("description", self.description.as_deref().unwrap_or_default(), 8192);
        checks.one_of("keyUsage", self.key_usage.as_deref(), KEY_USAGES);
        checks.one_of("keySpec", self.key_spec.as_deref(), KEY_SPECS);
        let legacy = self.customer_master_key_spec.as_deref();
        checks.one_of("customerMasterKeySpec", legacy, CUSTOMER_MASTER_KEY_SPECS);
        checks.one_of("origin", self.origin.as_deref(), ORIGINS);
        checks.policy(self.policy.as_deref());
        tags::check_members(checks, &self.tags);
    }
}

impl CreateKey {
    /// # Errors
    /// `UnsupportedOperationException` for anything but symmetric keys with generated material, `ValidationException`
    /// for two key specs.
    pub(super) fn check_supported(&self) -> Result<(), KmsError> {
        if self.key_spec.is_some() && self.customer_master_key_spec.is_some() {
            return Err(KmsError::validation(
                "KeySpec and CustomerMasterKeySpec say the same: give the first only.",
            ));
        }
        if self.custom_key_store_id.is_some() || self.xks_key_id.is_some() {
            return Err(KmsError::unsupported("This mock of AWS KMS has no custom key stores."));
        }
        let others = [
            (self.key_usage.as_deref(), ENCRYPT_DECRYPT),
            (self.key_spec.as_deref(), SYMMETRIC),
            (self.customer_master_key_spec.as_deref(), SYMMETRIC),
            (self.origin.as_deref(), ORIGIN),
        ];
        for (value, only) in others {
            if value.is_some_and(|value| value != only) {
                return Err(KmsError::unsupported(format!(
                    "This mock of AWS KMS makes {only} keys only."
                )));
            }
        }
        Ok(())
    }
}

/// A request that only names a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct KeyOnly {
    pub(super) key_id: Option<String>,
}

impl Input for KeyOnly {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
    }
}

impl KeyOnly {
    pub(in crate::service) fn into_key_id(self) -> String {
        self.key_id.unwrap_or_default()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct DescribeKey {
    pub(super) key_id: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(super) grant_tokens: Vec<String>,
}

impl Input for DescribeKey {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.grant_tokens(&self.grant_tokens);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct UpdateKeyDescription {
    pub(super) key_id: Option<String>,
    pub(super) description: Option<String>,
}

impl Input for UpdateKeyDescription {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.required("description", self.description.as_ref());
        checks.at_most("description", self.description.as_deref().unwrap_or_default(), 8192);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct ListKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

impl Input for ListKeys {
    fn check(&self, checks: &mut Checks) {
        checks.page(self.limit, 1000, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct WithMetadata {
    pub(super) key_metadata: KeyMetadata,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    pub(super) aws_account_id: String,
    pub(super) key_id: String,
    pub(super) arn: String,
    #[serde(serialize_with = "seconds")]
    pub(super) creation_date: Duration,
    pub(super) enabled: bool,
    pub(super) description: String,
    pub(super) key_usage: &'static str,
    pub(super) key_state: &'static str,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(super) deletion_date: Option<Duration>,
    pub(super) origin: &'static str,
    pub(super) key_manager: KeyManager,
    pub(super) customer_master_key_spec: &'static str,
    pub(super) key_spec: &'static str,
    pub(super) encryption_algorithms: [&'static str; 1],
    pub(super) multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multi_region_configuration: Option<MultiRegionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pending_deletion_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current_key_material_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct MultiRegionConfiguration {
    pub(super) multi_region_key_type: &'static str,
    pub(super) primary_key: MultiRegionKey,
    pub(super) replica_keys: Vec<MultiRegionKey>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct MultiRegionKey {
    pub(super) arn: String,
    pub(super) region: Region,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct KeyList {
    pub(super) keys: Vec<KeyEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_marker: Option<String>,
    pub(super) truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct KeyEntry {
    pub(super) key_id: String,
    pub(super) key_arn: String,
}

impl KeyMetadata {
    /// The description of a replica in the response that creates it. Later responses describe it as enabled.
    pub(in crate::service) fn creating(self) -> Self {
        Self {
            enabled: false,
            key_state: "Creating",
            current_key_material_id: None,
            ..self
        }
    }
}
