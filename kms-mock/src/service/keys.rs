//! Keys: made, described, listed, switched on and off.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::aliases::check_own;
use super::input::{Checks, Input, list};
use super::output::{Page, as_logged, begin, maybe_seconds, seconds};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Alias, Key, KeyManager, KeyStatus, Material, Seed};

/// As the service does where nothing else is asked for.
const YEAR_DAYS: u32 = 365;
const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
const ORIGIN: &str = "AWS_KMS";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct CreateKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_master_key_spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// Taken, and not kept: there is no operation that shows tags.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Tag {
    tag_key: String,
    tag_value: String,
}

impl Input for CreateKey {
    fn check(&self, checks: &mut Checks) {
        checks.at_most("description", self.description.as_deref().unwrap_or_default(), 8192);
        checks.text("policy", self.policy.as_deref(), 131_072);
        for tag in &self.tags {
            checks.text("tags.tagKey", Some(&tag.tag_key), 128);
            checks.at_most("tags.tagValue", &tag.tag_value, 256);
        }
    }
}

impl CreateKey {
    /// # Errors
    /// `UnsupportedOperationException` for what is no symmetric key of this service's own making,
    /// `ValidationException` for two key specs.
    fn check_supported(&self) -> Result<(), KmsError> {
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
        if self.multi_region == Some(true) {
            return Err(KmsError::unsupported(
                "This mock of AWS KMS makes keys of one region only.",
            ));
        }
        Ok(())
    }
}

/// A request that says which key, and no more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct KeyOnly {
    key_id: Option<String>,
}

impl Input for KeyOnly {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
    }
}

impl KeyOnly {
    pub(super) fn into_key_id(self) -> String {
        self.key_id.unwrap_or_default()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct DescribeKey {
    key_id: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    grant_tokens: Vec<String>,
}

impl Input for DescribeKey {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.grant_tokens(&self.grant_tokens);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct ListKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Input for ListKeys {
    fn check(&self, checks: &mut Checks) {
        checks.page(self.limit, 1000, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WithMetadata {
    key_metadata: KeyMetadata,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    aws_account_id: String,
    key_id: String,
    arn: String,
    #[serde(serialize_with = "seconds")]
    creation_date: Duration,
    enabled: bool,
    description: String,
    key_usage: &'static str,
    key_state: &'static str,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    deletion_date: Option<Duration>,
    origin: &'static str,
    key_manager: KeyManager,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    encryption_algorithms: [&'static str; 1],
    multi_region: bool,
    current_key_material_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyList {
    keys: Vec<KeyEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyEntry {
    key_id: String,
    key_arn: String,
}

impl Service {
    pub(super) fn create_key(&self, exchange: &mut Exchange<'_>) -> Result<WithMetadata, KmsError> {
        let input: CreateKey = exchange.input()?;
        input.check_supported()?;
        let id = Uuid::new_v4();
        let first = Material::random(id, None)?;
        let description = input.description.unwrap_or_default();
        let key = Key::new(self.key_arn(id), KeyManager::Customer, description, exchange.now, first);
        exchange.findings.resources.push(key.arn.clone());
        let metadata = self.metadata(&key);
        self.store.change(exchange.now, |state| {
            state.keys.insert(id, Arc::new(key));
            Ok(())
        })?;
        exchange.findings.response = serde_json::to_value(&metadata).ok().map(as_logged);
        Ok(metadata)
    }

    pub(super) fn describe_key(&self, exchange: &mut Exchange<'_>) -> Result<WithMetadata, KmsError> {
        let input: DescribeKey = exchange.input()?;
        let (state, key) = self.find(exchange, &input.key_id.unwrap_or_default())?;
        self.authorize(exchange, (&state, &key), "DescribeKey", None, &input.grant_tokens)?;
        Ok(self.metadata(&key))
    }

    pub(super) fn list_keys(&self, exchange: &mut Exchange<'_>) -> Result<KeyList, KmsError> {
        let input: ListKeys = exchange.input()?;
        let state = self.store.view(exchange.now)?;
        let after = begin(input.marker, |marker| Uuid::try_parse(marker).is_ok())?;
        let keys = state.keys.values().filter(|key| key.id.to_string() > after);
        let page = Page::of(keys, input.limit, |key| key.id.to_string());
        let keys = page.items.into_iter().map(|key| KeyEntry {
            key_id: key.id.to_string(),
            key_arn: key.arn.clone(),
        });
        Ok(KeyList {
            keys: keys.collect(),
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        })
    }

    pub(super) fn enable_key(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        self.set_status(exchange, KeyStatus::Enabled)
    }

    pub(super) fn disable_key(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        self.set_status(exchange, KeyStatus::Disabled)
    }

    fn set_status(&self, exchange: &mut Exchange<'_>, status: KeyStatus) -> Result<(), KmsError> {
        let input: KeyOnly = exchange.input()?;
        let (now, delay) = (exchange.now, self.propagation_delay());
        self.change_key(exchange, &input.into_key_id(), |key| {
            key.require_kept()?;
            key.set_status(status, now, delay);
            Ok(())
        })
    }

    /// Makes the key that AWS manages for a service, unless another call just did. It rotates every year.
    pub(super) fn create_aws_managed_key(&self, now: Duration, alias: &str) -> Result<(), KmsError> {
        let description = format!(
            "Default key that protects my {} data when no other key is defined",
            alias.rsplit('/').next().unwrap_or_default()
        );
        let id = Uuid::new_v4();
        let first = Material::random(id, None)?;
        self.add_named_key(
            now,
            alias,
            Key::new(self.key_arn(id), KeyManager::Aws, description, now, first),
            true,
        )
    }

    /// Makes the key of a seed, unless its alias is there; its ARN either way.
    pub(super) fn ensure_seed(&self, seed: &Seed) -> Result<String, KmsError> {
        let now = self.clock.now();
        check_own(&seed.alias)?;
        let mut checks = Checks::new(self.max_context_bytes);
        checks.name("aliasName", Some(&seed.alias));
        checks.finish()?;
        let id = seed.key_id.unwrap_or_else(Uuid::new_v4);
        let first = match &seed.material {
            Some(secret) => Material::new(id, secret.clone(), None),
            None => Material::random(id, None)?,
        };
        let key = Key::new(
            self.key_arn(id),
            KeyManager::Customer,
            seed.description.clone(),
            now,
            first,
        );
        self.add_named_key(now, &seed.alias, key, seed.rotation)?;
        let state = self.store.view(now)?;
        let key = state
            .aliased(&seed.alias)
            .ok_or_else(|| self.no_such_alias(&seed.alias))?;
        Ok(key.arn.clone())
    }

    fn add_named_key(&self, now: Duration, alias: &str, mut key: Key, rotates: bool) -> Result<(), KmsError> {
        if rotates {
            key.set_rotation(Some(YEAR_DAYS), now);
        }
        self.store.change(now, |state| {
            if state.aliases.contains_key(alias) {
                return Ok(());
            }
            if state.keys.contains_key(&key.id) {
                let message = format!("There is a key {} of another alias", key.id);
                return Err(KmsError::new("AlreadyExistsException", message));
            }
            let entry = Alias {
                target: key.id,
                created: now,
                updated: now,
            };
            state.aliases.insert(alias.to_owned(), entry);
            state.keys.insert(key.id, Arc::new(key));
            Ok(())
        })
    }

    fn metadata(&self, key: &Key) -> WithMetadata {
        let deletion_date = match key.status() {
            KeyStatus::PendingDeletion { at, .. } => Some(at),
            KeyStatus::Enabled | KeyStatus::Disabled => None,
        };
        WithMetadata {
            key_metadata: KeyMetadata {
                aws_account_id: self.account.clone(),
                key_id: key.id.to_string(),
                arn: key.arn.clone(),
                creation_date: key.created,
                enabled: key.status() == KeyStatus::Enabled,
                description: key.description.clone(),
                key_usage: ENCRYPT_DECRYPT,
                key_state: key.status().name(),
                deletion_date,
                origin: ORIGIN,
                key_manager: key.manager,
                customer_master_key_spec: SYMMETRIC,
                key_spec: SYMMETRIC,
                encryption_algorithms: [SYMMETRIC],
                multi_region: false,
                current_key_material_id: key.current().id.to_string(),
            },
        }
    }
}
