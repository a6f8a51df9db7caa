//! Rotation: new material for the same key. Older material still decrypts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::{Checks, Input};
use super::keys::KeyOnly;
use super::output::{Page, begin, maybe_seconds, seconds};
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Key, Material, Place, Rotation, RotationType};

const DEFAULT_PERIOD_DAYS: u32 = 365;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct EnableKeyRotation {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_period_in_days: Option<i64>,
}

impl Input for EnableKeyRotation {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.range("rotationPeriodInDays", self.rotation_period_in_days, 90, 2560);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ListKeyRotations {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_key_material: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

const ALL_MATERIALS: &str = "ALL_KEY_MATERIAL";

impl Input for ListKeyRotations {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        let words = [ALL_MATERIALS, "ROTATIONS_ONLY"];
        checks.one_of("includeKeyMaterial", self.include_key_material.as_deref(), &words);
        checks.page(self.limit, 1000, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RotationStatus {
    key_rotation_enabled: bool,
    /// The ARN.
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_period_in_days: Option<u32>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    next_rotation_date: Option<Duration>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Rotated {
    /// The ARN.
    key_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RotationList {
    rotations: Vec<RotationEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RotationEntry {
    key_id: String,
    key_material_id: String,
    key_material_state: &'static str,
    #[serde(flatten)]
    rotation: Option<RotationOfEntry>,
}

/// Absent for the key's first material.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RotationOfEntry {
    #[serde(serialize_with = "seconds")]
    rotation_date: Duration,
    rotation_type: RotationType,
}

impl Service {
    pub(super) fn enable_key_rotation(&self, exchange: &Exchange<'_>, input: EnableKeyRotation) -> Reply<()> {
        let days = input.rotation_period_in_days.and_then(|days| u32::try_from(days).ok());
        self.set_rotation(
            exchange,
            &input.key_id.unwrap_or_default(),
            Some(days.unwrap_or(DEFAULT_PERIOD_DAYS)),
        )
    }

    pub(super) fn disable_key_rotation(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<()> {
        self.set_rotation(exchange, &input.into_key_id(), None)
    }

    fn set_rotation(&self, exchange: &Exchange<'_>, key_id: &str, days: Option<u32>) -> Reply<()> {
        let now = exchange.now;
        self.change_key(exchange, key_id, |key| {
            key.require_not_replica()?;
            key.require_enabled(key.status())?;
            // Enabling it again keeps the date.
            if key.rotation().map(|rotation| rotation.period_days) != days {
                key.set_rotation(days, now);
            }
            Ok(())
        })
    }

    pub(super) fn get_key_rotation_status(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<RotationStatus> {
        let key = self.find_by_id(exchange, &input.into_key_id())?;
        about([&key.arn], || {
            // The service reports no rotation for a key that is pending deletion.
            let rotation = self.rotation_of(exchange, &key)?.filter(|_| key.require_kept().is_ok());
            Ok(Done::new(RotationStatus {
                key_rotation_enabled: rotation.is_some(),
                key_id: key.arn.clone(),
                rotation_period_in_days: rotation.map(|rotation| rotation.period_days),
                next_rotation_date: rotation.map(|rotation| rotation.next),
            }))
        })
    }

    pub(super) fn rotate_key_on_demand(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<Rotated> {
        let (now, limit) = (exchange.now, self.max_on_demand_rotations());
        self.change_keys(exchange, &input.into_key_id(), |transaction, place| {
            let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
            key.require_not_replica()?;
            key.require_enabled(key.status())?;
            let on_demand = key.materials().iter().filter(|material| is_on_demand(material));
            if on_demand.count() as u64 >= u64::from(limit) {
                let message = format!(
                    "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations \
                     can be performed for this key: {}",
                    key.arn
                );
                return Err(KmsError::new("LimitExceededException", message));
            }
            let key_id = key.arn.clone();
            transaction.rotate(place, RotationType::OnDemand, now)?;
            Ok(Rotated { key_id })
        })
    }

    /// The automatic rotation, which is the primary key's for related keys.
    fn rotation_of(&self, exchange: &Exchange<'_>, key: &Key) -> Result<Option<Rotation>, KmsError> {
        let Some(config) = &key.multi_region else {
            return Ok(key.rotation());
        };
        let primary = Place {
            region: config.primary.clone(),
            id: key.place.id,
        };
        let state = self.store.view(exchange.now)?;
        Ok(state.key(&primary).and_then(|key| key.rotation()))
    }

    pub(super) fn list_key_rotations(&self, exchange: &Exchange<'_>, input: ListKeyRotations) -> Reply<RotationList> {
        let key = self.find_by_id(exchange, input.key_id.as_deref().unwrap_or_default())?;
        about([&key.arn], || Ok(Done::new(page_of_rotations(&key, input)?)))
    }
}

fn page_of_rotations(key: &Key, input: ListKeyRotations) -> Result<RotationList, KmsError> {
    let all = input.include_key_material.as_deref() == Some(ALL_MATERIALS);
    let current = key.current().id;
    let is_material = |marker: &str| key.materials().iter().any(|material| material.id.to_string() == marker);
    let after = begin(input.marker, is_material)?;
    let materials = key
        .materials()
        .iter()
        .filter(|material| all || material.rotation.is_some());
    let rest: Vec<_> = if after.is_empty() {
        materials.collect()
    } else {
        let from_it_on = materials.skip_while(|material| material.id.to_string() != after);
        from_it_on.skip(1).collect()
    };
    let page = Page::of(rest.into_iter(), input.limit, |material| material.id.to_string());
    let rotations = page.items.into_iter().map(|material| RotationEntry {
        key_id: key.arn.clone(),
        key_material_id: material.id.to_string(),
        key_material_state: if material.id == current {
            "CURRENT"
        } else {
            "NON_CURRENT"
        },
        rotation: material.rotation.as_ref().map(|rotation| RotationOfEntry {
            rotation_date: rotation.date,
            rotation_type: rotation.kind,
        }),
    });
    Ok(RotationList {
        rotations: rotations.collect(),
        truncated: page.next_marker.is_some(),
        next_marker: page.next_marker,
    })
}

fn is_on_demand(material: &Material) -> bool {
    let rotation = material.rotation.as_ref();
    rotation.is_some_and(|rotation| rotation.kind == RotationType::OnDemand)
}
