//! Keys: made, described, listed, switched on and off.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aliases::check_own;
use super::input::{Checks, Input, list};
use super::output::{Page, as_logged, begin, maybe_seconds, seconds};
use super::policies::check_document;
use super::tags::{self, Tag, new_tags};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Alias, AliasPlace, Key, KeyId, KeyManager, KeyStatus, Material, Place, Region, Seed};

/// As the service does where nothing else is asked for.
const YEAR_DAYS: u32 = 365;
const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
const ORIGIN: &str = "AWS_KMS";

/// What the real service knows: all but one of each is unsupported here, and other words are no requests at all. In the
/// order of its messages where that was recorded, of its model otherwise.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_policy_lockout_safety_check: Option<bool>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
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
struct UpdateKeyDescription {
    key_id: Option<String>,
    description: Option<String>,
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
pub(super) struct KeyMetadata {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<MultiRegionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionConfiguration {
    multi_region_key_type: &'static str,
    primary_key: MultiRegionKey,
    replica_keys: Vec<MultiRegionKey>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionKey {
    arn: String,
    region: Region,
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
        input.policy.as_deref().map_or(Ok(()), check_document)?;
        let tags = new_tags(input.tags)?;
        let place = exchange.place(KeyId::random(input.multi_region == Some(true)));
        let mut key = self.new_key(place, KeyManager::Customer, exchange.now)?;
        key.description = input.description.unwrap_or_default();
        (key.policy, key.tags) = (input.policy, tags);
        exchange.findings.resources.push(key.arn.clone());
        let metadata = WithMetadata {
            key_metadata: self.metadata(&key),
        };
        self.store.change(exchange.now, |transaction| {
            transaction.put_key(key);
            Ok(())
        })?;
        exchange.findings.response = serde_json::to_value(&metadata).ok().map(as_logged);
        Ok(metadata)
    }

    pub(super) fn describe_key(&self, exchange: &mut Exchange<'_>) -> Result<WithMetadata, KmsError> {
        let input: DescribeKey = exchange.input()?;
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        self.authorize(exchange, &key, "DescribeKey", None, &input.grant_tokens)?;
        Ok(WithMetadata {
            key_metadata: self.metadata(&key),
        })
    }

    pub(super) fn list_keys(&self, exchange: &mut Exchange<'_>) -> Result<KeyList, KmsError> {
        let input: ListKeys = exchange.input()?;
        let after = begin(input.marker, |marker| marker.parse::<KeyId>().is_ok())?;
        let state = self.store.view(exchange.now)?;
        let keys = state.keys_of(&exchange.region, after.parse().ok());
        let page = Page::of(keys, input.limit, |key| key.place.id.to_string());
        let keys = page.items.into_iter().map(|key| KeyEntry {
            key_id: key.place.id.to_string(),
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

    pub(super) fn update_key_description(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let input: UpdateKeyDescription = exchange.input()?;
        self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.require_kept()?;
            key.description = input.description.unwrap_or_default();
            Ok(())
        })
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

    fn new_key(&self, place: Place, manager: KeyManager, now: Duration) -> Result<Key, KmsError> {
        let first = Material::random(place.id.uuid, None)?;
        Ok(Key::new(place, &self.account, manager, now, first))
    }

    /// Makes the key that AWS manages for a service, unless it is there. It rotates every year.
    pub(super) fn ensure_aws_managed_key(&self, now: Duration, alias: &AliasPlace) -> Result<(), KmsError> {
        if self.has_alias(now, alias)? {
            return Ok(());
        }
        let place = Place {
            region: alias.region.clone(),
            id: KeyId::random(false),
        };
        let mut key = self.new_key(place, KeyManager::Aws, now)?;
        key.description = format!(
            "Default key that protects my {} data when no other key is defined",
            alias.name.rsplit('/').next().unwrap_or_default()
        );
        key.set_rotation(Some(YEAR_DAYS), now);
        self.add_named_key(now, alias, key)
    }

    /// Makes the key of a seed, unless its alias is there; its ARN either way.
    pub(super) fn ensure_seed(&self, seed: &Seed) -> Result<String, KmsError> {
        let now = self.clock.now();
        check_own(&seed.alias)?;
        let mut checks = Checks::new(self.max_context_bytes);
        checks.name("aliasName", Some(&seed.alias));
        checks.finish()?;
        let region = seed.region.as_ref().unwrap_or(&self.region);
        let place = Place {
            region: region.clone(),
            id: seed.key_id.unwrap_or_else(|| KeyId::random(false)),
        };
        let alias = AliasPlace {
            region: region.clone(),
            name: seed.alias.clone(),
        };
        let mut key = match &seed.material {
            Some(secret) => {
                let first = Material::new(place.id.uuid, secret.clone(), None);
                Key::new(place, &self.account, KeyManager::Customer, now, first)
            }
            None => self.new_key(place, KeyManager::Customer, now)?,
        };
        key.description.clone_from(&seed.description);
        if seed.rotation {
            key.set_rotation(Some(YEAR_DAYS), now);
        }
        self.add_named_key(now, &alias, key)?;
        let state = self.store.view(now)?;
        let key = state.aliased(&alias).ok_or_else(|| self.no_such_alias(&alias))?;
        Ok(key.arn.clone())
    }

    fn has_alias(&self, now: Duration, alias: &AliasPlace) -> Result<bool, KmsError> {
        Ok(self.store.view(now)?.alias(alias).is_some())
    }

    fn add_named_key(&self, now: Duration, alias: &AliasPlace, key: Key) -> Result<(), KmsError> {
        // A start with seeds that are all there writes nothing.
        if self.has_alias(now, alias)? {
            return Ok(());
        }
        self.store.change(now, |transaction| {
            if transaction.alias(alias).is_some() {
                return Ok(());
            }
            if transaction.key(&key.place).is_some() {
                let message = format!("There is a key {} of another alias", key.place.id);
                return Err(KmsError::new("AlreadyExistsException", message));
            }
            let entry = Alias {
                target: key.place.id,
                created: now,
                updated: now,
            };
            transaction.put_alias(alias.clone(), entry);
            transaction.put_key(key);
            Ok(())
        })
    }

    pub(super) fn metadata(&self, key: &Key) -> KeyMetadata {
        KeyMetadata {
            aws_account_id: self.account.clone(),
            key_id: key.place.id.to_string(),
            arn: key.arn.clone(),
            creation_date: key.created,
            enabled: key.status() == KeyStatus::Enabled,
            description: key.description.clone(),
            key_usage: ENCRYPT_DECRYPT,
            key_state: key.status().name(),
            deletion_date: key.status().deletion_date(),
            origin: ORIGIN,
            key_manager: key.manager,
            customer_master_key_spec: SYMMETRIC,
            key_spec: SYMMETRIC,
            encryption_algorithms: [SYMMETRIC],
            multi_region: key.multi_region.is_some(),
            multi_region_configuration: self.multi_region_configuration(key),
            pending_deletion_window_in_days: match key.status() {
                KeyStatus::PendingReplicaDeletion { window_days } => Some(window_days),
                _ => None,
            },
            current_key_material_id: Some(key.current().id.to_string()),
        }
    }

    fn multi_region_configuration(&self, key: &Key) -> Option<MultiRegionConfiguration> {
        let config = key.multi_region.as_ref()?;
        let related = |region: &Region| {
            let place = Place {
                region: region.clone(),
                id: key.place.id,
            };
            MultiRegionKey {
                arn: place.arn(&self.account),
                region: place.region,
            }
        };
        let is_primary = config.primary == key.place.region;
        Some(MultiRegionConfiguration {
            multi_region_key_type: if is_primary { "PRIMARY" } else { "REPLICA" },
            primary_key: related(&config.primary),
            replica_keys: config.replicas.iter().map(related).collect(),
        })
    }
}

impl KeyMetadata {
    /// As the service describes a replica in the moment that it makes it: the next look finds it enabled.
    pub(super) fn creating(self) -> Self {
        Self {
            enabled: false,
            key_state: "Creating",
            current_key_material_id: None,
            ..self
        }
    }
}
