//! Key policies: stored and returned, not enforced.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::{Checks, Input};
use super::output::begin;
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;

/// The name of a key's only policy.
const DEFAULT: &str = "default";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct GetKeyPolicy {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_name: Option<String>,
}

impl Input for GetKeyPolicy {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.policy_name(self.policy_name.as_deref());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct PutKeyPolicy {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_name: Option<String>,
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_policy_lockout_safety_check: Option<bool>,
}

impl Input for PutKeyPolicy {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.policy_name(self.policy_name.as_deref());
        checks.required("policy", self.policy.as_ref());
        checks.policy(self.policy.as_deref());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ListKeyPolicies {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Input for ListKeyPolicies {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.page(self.limit, 1000, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyPolicy {
    policy: String,
    policy_name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyNames {
    policy_names: [&'static str; 1],
    truncated: bool,
}

impl Service {
    pub(super) fn get_key_policy(&self, exchange: &Exchange<'_>, input: GetKeyPolicy) -> Reply<KeyPolicy> {
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            if input.policy_name.is_some_and(|name| name != DEFAULT) {
                return Err(KmsError::not_found("No such policy exists").into());
            }
            Ok(Done::new(KeyPolicy {
                policy: self.policy_of(key.policy.as_deref()),
                policy_name: DEFAULT,
            }))
        })
    }

    /// Works in any key state, as in the real service: a policy is how an administrator regains access.
    pub(super) fn put_key_policy(&self, exchange: &Exchange<'_>, input: PutKeyPolicy) -> Reply<()> {
        if input.policy_name.is_some_and(|name| name != DEFAULT) {
            return Err(KmsError::unsupported("Only default policy is supported").into());
        }
        let policy = input.policy.unwrap_or_default();
        check_document(&policy)?;
        self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.policy = Some(policy);
            Ok(())
        })
    }

    pub(super) fn list_key_policies(&self, exchange: &Exchange<'_>, input: ListKeyPolicies) -> Reply<PolicyNames> {
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            // The list has one entry, so that no page ends with a marker.
            begin(input.marker, |_| false)?;
            Ok(Done::new(PolicyNames {
                policy_names: [DEFAULT],
                truncated: false,
            }))
        })
    }

    /// A key's policy, or the service's default policy for the account, with the service's formatting.
    pub(super) fn policy_of(&self, policy: Option<&str>) -> String {
        policy.map_or_else(
            || {
                format!(
                    r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#,
                    self.account
                )
            },
            str::to_owned,
        )
    }
}

/// Checks that a document has the form of a policy, and not what it permits.
///
/// # Errors
/// `MalformedPolicyDocumentException`.
pub(super) fn check_document(policy: &str) -> Result<(), KmsError> {
    let malformed = |message: &str| Err(KmsError::new("MalformedPolicyDocumentException", message));
    let Ok(Value::Object(document)) = serde_json::from_str(policy) else {
        return malformed("Policy is not a JSON object.");
    };
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return malformed("Policy has no statement."),
    };
    for statement in statements {
        let has = |member: &str| statement.get(member).is_some();
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return malformed("Policy contains a statement whose effect is neither Allow nor Deny.");
        }
        if !has("Principal") && !has("NotPrincipal") {
            return malformed("Policy contains a statement with no principal.");
        }
        if !has("Action") && !has("NotAction") {
            return malformed("Policy contains a statement with no action.");
        }
    }
    Ok(())
}
