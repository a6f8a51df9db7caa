//! Multi-region keys: related keys share id and material, and nothing else.

use serde::{Deserialize, Serialize};

use super::input::{Checks, Input, list};
use super::keys::KeyMetadata;
use super::policies::check_document;
use super::reply::Reply;
use super::tags::{self, Tag, TagEntry, new_tags};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{MultiRegion, Place, Region, Transaction};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ReplicateKey {
    key_id: Option<String>,
    replica_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_policy_lockout_safety_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

impl Input for ReplicateKey {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.region("replicaRegion", self.replica_region.as_deref());
        checks.policy(self.policy.as_deref());
        checks.at_most("description", self.description.as_deref().unwrap_or_default(), 8192);
        tags::check_members(checks, &self.tags);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct UpdatePrimaryRegion {
    key_id: Option<String>,
    primary_region: Option<String>,
}

impl Input for UpdatePrimaryRegion {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.region("primaryRegion", self.primary_region.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Replicated {
    replica_key_metadata: KeyMetadata,
    replica_policy: String,
    replica_tags: Vec<TagEntry>,
}

impl Service {
    pub(super) fn replicate_key(&self, exchange: &Exchange<'_>, input: ReplicateKey) -> Reply<Replicated> {
        input.policy.as_deref().map_or(Ok(()), check_document)?;
        let tags = new_tags(input.tags)?;
        let region = of_request(input.replica_region.as_deref())?;
        let now = exchange.now;
        let key_id = input.key_id.unwrap_or_default();
        let replica = self.change_related(exchange, &key_id, |transaction, place, config| {
            let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
            let mut replica = key.replica(region.clone(), &self.account, now);
            if config.regions().any(|there| *there == region) {
                let message = format!("Key '{}' already exists", replica.arn);
                return Err(KmsError::new("AlreadyExistsException", message));
            }
            config.replicas.insert(region);
            replica.description = input.description.unwrap_or_default();
            (replica.policy, replica.tags) = (input.policy, tags);
            replica.multi_region = Some(config.clone());
            transaction.put_key(replica.clone());
            Ok(replica)
        })?;
        let arn = replica.answer.arn.clone();
        let replicated = replica.map(|replica| Replicated {
            replica_key_metadata: self.metadata(&replica).creating(),
            replica_policy: self.policy_of(replica.policy.as_deref()),
            replica_tags: tags::entries(&replica.tags),
        });
        Ok(replicated.and_about(arn).logged())
    }

    /// Moves the rotation too.
    pub(super) fn update_primary_region(&self, exchange: &Exchange<'_>, input: UpdatePrimaryRegion) -> Reply<()> {
        let region = of_request(input.primary_region.as_deref())?;
        let key_id = input.key_id.unwrap_or_default();
        self.change_related(exchange, &key_id, |transaction, place, config| {
            let next = Place { region, id: place.id };
            if next == *place {
                return Ok(());
            }
            let replica = transaction.key(&next).ok_or_else(|| self.no_such_key(&next))?;
            replica.require_enabled(replica.status())?;
            let rotation = transaction.key_mut(place).and_then(|key| key.take_rotation());
            if let Some(key) = transaction.key_mut(&next) {
                key.give_rotation(rotation);
            }
            config.replicas.remove(&next.region);
            config
                .replicas
                .insert(std::mem::replace(&mut config.primary, next.region));
            Ok(())
        })
    }

    /// Changes the regions of an enabled primary key and its replicas.
    fn change_related<T>(
        &self,
        exchange: &Exchange<'_>,
        key_id: &str,
        change: impl FnOnce(&mut Transaction<'_>, &Place, &mut MultiRegion) -> Result<T, KmsError>,
    ) -> Reply<T> {
        self.change_keys(exchange, key_id, |transaction, place| {
            let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
            let mut config = key.require_primary()?.clone();
            key.require_enabled(key.status())?;
            let made = change(transaction, place, &mut config)?;
            transaction.relate(place, &config);
            Ok(made)
        })
    }
}

/// # Errors
/// `ValidationException`. Every text in the form of AWS's region names is valid.
fn of_request(region: Option<&str>) -> Result<Region, KmsError> {
    let region = region.and_then(Region::parse);
    region.ok_or_else(|| KmsError::validation("The region is not one."))
}
