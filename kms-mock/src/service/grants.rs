//! Grants: what callers without rights of their own may do with a key.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::input::{Checks, Input, list};
use super::lookup::{invalid_grant_token, require_customer};
use super::output::{Page, begin, seconds};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Constraints, Grant, GrantPlace, Key, Place};

/// What grants can permit.
#[rustfmt::skip]
const OPERATIONS: &[&str] = &[
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign",
    "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate",
    "Decapsulate",
];
/// Of these, what no symmetric encryption key can do.
#[rustfmt::skip]
const OF_OTHER_KEYS: &[&str] = &[
    "Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
];

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct CreateGrant {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_principal: Option<String>,
    #[serde(skip_serializing)]
    grantee_service_principal: Option<String>,
    #[serde(skip_serializing)]
    retiring_service_principal: Option<String>,
    #[serde(default, deserialize_with = "list")]
    operations: Vec<String>,
    #[serde(serialize_with = "logged", skip_serializing_if = "Option::is_none")]
    constraints: Option<Constraints>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    grant_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
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

/// Constraints as the audit log has them.
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
struct ListGrants {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grantee_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
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
struct ListRetirableGrants {
    retiring_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
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
struct RevokeGrant {
    key_id: Option<String>,
    grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
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
struct RetireGrant {
    #[serde(skip_serializing)]
    grant_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
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
pub(super) struct Granted {
    grant_token: String,
    grant_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GrantList {
    grants: Vec<GrantEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GrantEntry {
    /// The ARN.
    key_id: String,
    grant_id: String,
    name: String,
    #[serde(serialize_with = "seconds")]
    creation_date: Duration,
    grantee_principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_principal: Option<String>,
    issuing_account: String,
    operations: Vec<String>,
    #[serde(skip_serializing_if = "Constraints::is_empty")]
    constraints: Constraints,
}

impl Service {
    /// A grantee can pass on what it was granted, and no more.
    pub(super) fn create_grant(&self, exchange: &mut Exchange<'_>) -> Result<Granted, KmsError> {
        let input: CreateGrant = exchange.input()?;
        let key = self.find_by_id(exchange, &input.key_id.clone().unwrap_or_default())?;
        self.authorize(exchange, &key, "CreateGrant", None, &input.grant_tokens)?;
        require_customer(exchange, &key)?;
        check_operations(&input.operations)?;
        if input.grantee_service_principal.is_some() || input.retiring_service_principal.is_some() {
            return Err(KmsError::unsupported("This mock of AWS KMS has no service principals."));
        }
        for principal in input.grantee_principal.iter().chain(&input.retiring_principal) {
            check_arn(principal)?;
        }
        let constraints = input.constraints.clone().unwrap_or_default();
        if exchange.is_grantee() && !self.may_pass_on(exchange, &key, &input.operations, &constraints)? {
            return Err(exchange.denied("CreateGrant", &key.arn));
        }
        let (now, delay) = (exchange.now, self.propagation_delay());
        if input.dry_run == Some(true) {
            key.require_enabled(key.status())?;
            return Err(KmsError::dry_run());
        }
        let (id, token) = Grant::new_names(key.place.id)?;
        let place = &key.place;
        let granted = self.store.change(now, |transaction| {
            let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
            key.require_enabled(key.status())?;
            // Asked for again with a name, a grant is the one that is there.
            let same = |grant: &&Arc<Grant>| {
                grant.name == input.name
                    && Some(&grant.grantee) == input.grantee_principal.as_ref()
                    && grant.retiring == input.retiring_principal
                    && grant.operations == input.operations
                    && grant.constraints == constraints
            };
            if input.name.is_some()
                && let Some(grant) = transaction.grants_on(place).find(same)
            {
                return Ok(Granted {
                    grant_token: grant.token.clone(),
                    grant_id: grant.id.clone(),
                });
            }
            let grant = Grant {
                id: id.clone(),
                token: token.clone(),
                name: input.name.clone(),
                created: now,
                visible: now.saturating_add(delay),
                grantee: input.grantee_principal.clone().unwrap_or_default(),
                retiring: input.retiring_principal.clone(),
                operations: input.operations.clone(),
                constraints: constraints.clone(),
            };
            transaction.put_grant(place.clone(), grant);
            Ok(Granted {
                grant_token: token.clone(),
                grant_id: id.clone(),
            })
        })?;
        exchange.findings.response = Some(serde_json::json!({ "grantId": granted.grant_id, "keyId": key.arn }));
        Ok(granted)
    }

    pub(super) fn list_grants(&self, exchange: &mut Exchange<'_>) -> Result<GrantList, KmsError> {
        let input: ListGrants = exchange.input()?;
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        let after = begin(input.marker, is_grant_id)?;
        let state = self.store.view(exchange.now)?;
        let fitting = state.grants_on(&key.place, &after).filter(|grant| {
            input.grant_id.as_ref().is_none_or(|id| *id == grant.id)
                && input
                    .grantee_principal
                    .as_ref()
                    .is_none_or(|grantee| *grantee == grant.grantee)
        });
        Ok(self.grant_page(fitting.map(|grant| (&key.place, &**grant)), input.limit))
    }

    pub(super) fn list_retirable_grants(&self, exchange: &mut Exchange<'_>) -> Result<GrantList, KmsError> {
        let input: ListRetirableGrants = exchange.input()?;
        let principal = input.retiring_principal.unwrap_or_default();
        check_arn(&principal)?;
        let after = begin(input.marker, is_grant_id)?;
        let state = self.store.view(exchange.now)?;
        let mut fitting: Vec<_> = state
            .grants_of(&exchange.region)
            .map(|(key, grant)| (key, &**grant))
            .filter(|(_, grant)| grant.retiring.as_ref() == Some(&principal) && grant.id > after)
            .collect();
        fitting.sort_unstable_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        Ok(self.grant_page(fitting.into_iter(), input.limit))
    }

    fn grant_page<'g>(&self, grants: impl Iterator<Item = (&'g Place, &'g Grant)>, limit: Option<i64>) -> GrantList {
        let page = Page::of(grants, limit.or(Some(50)), |(_, grant)| grant.id.clone());
        let grants = page.items.into_iter().map(|(key, grant)| GrantEntry {
            key_id: key.arn(&self.account),
            grant_id: grant.id.clone(),
            name: grant.name.clone().unwrap_or_default(),
            creation_date: grant.created,
            grantee_principal: grant.grantee.clone(),
            retiring_principal: grant.retiring.clone(),
            issuing_account: format!("arn:aws:iam::{}:root", self.account),
            operations: grant.operations.clone(),
            constraints: grant.constraints.clone(),
        });
        GrantList {
            grants: grants.collect(),
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        }
    }

    pub(super) fn revoke_grant(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let input: RevokeGrant = exchange.input()?;
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        let place = GrantPlace {
            key: key.place.clone(),
            id: input.grant_id.unwrap_or_default(),
        };
        self.remove_grant(exchange, place, input.dry_run)
    }

    /// By its token, or by its key and id: by whoever may retire it.
    pub(super) fn retire_grant(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let input: RetireGrant = exchange.input()?;
        let (key, grant) = match (&input.grant_token, &input.key_id, &input.grant_id) {
            (Some(token), None, None) => {
                let state = self.store.view(exchange.now)?;
                let granted = state.granted(&exchange.region, token);
                let (key, grant) = granted.ok_or_else(invalid_grant_token)?;
                exchange.findings.resources.push(key.arn(&self.account));
                (key.clone(), Arc::clone(grant))
            }
            (None, Some(key_id), Some(grant_id)) => {
                let key = self.find_by_id(exchange, key_id)?.place.clone();
                let place = GrantPlace {
                    key,
                    id: grant_id.clone(),
                };
                let state = self.store.view(exchange.now)?;
                let grant = state.grant(&place).map(Arc::clone);
                (place.key, grant.ok_or_else(|| no_such_grant(grant_id))?)
            }
            _ => {
                let message = "Please specify either a grant token, or a key ARN and a grant ID.";
                return Err(KmsError::validation(message));
            }
        };
        let is_retiring = grant.retiring.as_ref() == Some(&exchange.caller);
        let is_grantee = grant.grantee == exchange.caller && grant.permits("RetireGrant", None);
        if exchange.is_grantee() && !is_retiring && !is_grantee {
            return Err(exchange.denied("RetireGrant", &key.arn(&self.account)));
        }
        let place = GrantPlace {
            key,
            id: grant.id.clone(),
        };
        self.remove_grant(exchange, place, input.dry_run)
    }

    fn remove_grant(&self, exchange: &Exchange<'_>, place: GrantPlace, dry_run: Option<bool>) -> Result<(), KmsError> {
        self.store.change(exchange.now, |transaction| {
            let missing = no_such_grant(&place.id);
            if !transaction.remove_grant(place) {
                return Err(missing);
            }
            match dry_run {
                // The change is dropped with the error.
                Some(true) => Err(KmsError::dry_run()),
                _ => Ok(()),
            }
        })
    }

    /// Whether one of the caller's grants allows all that the new one would.
    fn may_pass_on(
        &self,
        exchange: &Exchange<'_>,
        key: &Key,
        operations: &[String],
        constraints: &Constraints,
    ) -> Result<bool, KmsError> {
        let state = self.store.view(exchange.now)?;
        let mut grants = state.grants_on(&key.place, "");
        Ok(grants.any(|grant| {
            grant.grantee == exchange.caller
                && grant.permits("CreateGrant", None)
                && operations.iter().all(|operation| grant.operations.contains(operation))
                && constraints.imply(&grant.constraints)
        }))
    }
}

/// The grant itself may be gone: whoever revokes page by page goes on behind it.
fn is_grant_id(marker: &str) -> bool {
    marker.len() == 64 && marker.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// # Errors
/// `ValidationException` for operations that make no grant on a symmetric encryption key.
fn check_operations(operations: &[String]) -> Result<(), KmsError> {
    if operations.iter().all(|operation| operation == "CreateGrant") {
        let message = "Grants must not contain only the CreateGrant operation.";
        return Err(KmsError::validation(message));
    }
    let impossible = operations
        .iter()
        .find(|operation| OF_OTHER_KEYS.contains(&operation.as_str()));
    match impossible {
        None => Ok(()),
        Some(operation) => Err(KmsError::validation(format!(
            "{operation} is not valid for a KMS key of key spec SYMMETRIC_DEFAULT."
        ))),
    }
}

fn check_arn(principal: &str) -> Result<(), KmsError> {
    if principal.starts_with("arn:aws") && principal.splitn(6, ':').count() == 6 {
        return Ok(());
    }
    Err(KmsError::new("InvalidArnException", "A principal is named by its ARN."))
}

fn no_such_grant(grant_id: &str) -> KmsError {
    let shown: String = grant_id.chars().filter(|c| !c.is_control()).take(128).collect();
    KmsError::not_found(format!("Grant ID {shown} not found"))
}
