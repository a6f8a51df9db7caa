//! Creating, describing, listing, enabling and disabling keys.

mod members;

use std::time::Duration;

use self::members::{
    CreateKey, DescribeKey, ENCRYPT_DECRYPT, KeyEntry, KeyList, ListKeys, MultiRegionConfiguration, MultiRegionKey,
    ORIGIN, SYMMETRIC, UpdateKeyDescription, WithMetadata,
};
pub(super) use self::members::{KeyMetadata, KeyOnly};
use super::aliases::check_own;
use super::input::Checks;
use super::output::{Page, begin};
use super::policies::check_document;
use super::reply::{Done, Reply, about};
use super::tags::new_tags;
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Alias, AliasPlace, Key, KeyId, KeyManager, KeyStatus, Material, Place, Region, Seed};

/// The service's default rotation period.
const YEAR_DAYS: u32 = 365;
impl Service {
    pub(super) fn create_key(&self, exchange: &Exchange<'_>, input: CreateKey) -> Reply<WithMetadata> {
        input.check_supported()?;
        input.policy.as_deref().map_or(Ok(()), check_document)?;
        let tags = new_tags(input.tags)?;
        let place = exchange.place(KeyId::random(input.multi_region == Some(true)));
        let mut key = self.new_key(place, KeyManager::Customer, exchange.now)?;
        key.description = input.description.unwrap_or_default();
        (key.policy, key.tags) = (input.policy, tags);
        let metadata = self.metadata(&key);
        let arn = key.arn.clone();
        about([&arn], || {
            self.store.change(exchange.now, |transaction| {
                transaction.put_key(key);
                Ok(())
            })?;
            let answer = WithMetadata { key_metadata: metadata };
            Ok(Done::new(answer).logged())
        })
    }

    pub(super) fn describe_key(&self, exchange: &Exchange<'_>, input: DescribeKey) -> Reply<WithMetadata> {
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            self.authorize(exchange, &key, "DescribeKey", None, &input.grant_tokens)?;
            Ok(Done::new(WithMetadata {
                key_metadata: self.metadata(&key),
            }))
        })
    }

    pub(super) fn list_keys(&self, exchange: &Exchange<'_>, input: ListKeys) -> Reply<KeyList> {
        let after = begin(input.marker, |marker| marker.parse::<KeyId>().is_ok())?;
        let state = self.store.view(exchange.now)?;
        let keys = state.keys_of(&exchange.region, after.parse().ok());
        let page = Page::of(keys, input.limit, |key| key.place.id.to_string());
        let keys = page.items.into_iter().map(|key| KeyEntry {
            key_id: key.place.id.to_string(),
            key_arn: key.arn.clone(),
        });
        Ok(Done::new(KeyList {
            keys: keys.collect(),
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        }))
    }

    pub(super) fn enable_key(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<()> {
        self.set_status(exchange, input, KeyStatus::Enabled)
    }

    pub(super) fn disable_key(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<()> {
        self.set_status(exchange, input, KeyStatus::Disabled)
    }

    pub(super) fn update_key_description(&self, exchange: &Exchange<'_>, input: UpdateKeyDescription) -> Reply<()> {
        self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.require_kept()?;
            key.description = input.description.unwrap_or_default();
            Ok(())
        })
    }

    fn set_status(&self, exchange: &Exchange<'_>, input: KeyOnly, status: KeyStatus) -> Reply<()> {
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

    /// Creates the key that AWS manages for a service unless it exists. It rotates every year.
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

    /// Creates the key of a seed unless its alias exists. Returns the ARN of the alias's key.
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
        // A start whose seeds all exist writes nothing.
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
