//! Keys: their state, their materials and their related keys in other regions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Material, Place, Region, persist};
use crate::error::KmsError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A symmetric key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) arn: String,
    pub(crate) description: String,
    /// `None` for the default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) manager: KeyManager,
    #[serde(with = "persist::millis")]
    pub(crate) created: Duration,
    /// `None` for a single-region key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) multi_region: Option<MultiRegion>,
    status: KeyStatus,
    /// The statuses that cryptographic operations see and when each begins, oldest first. Empty if they see `status`.
    #[serde(skip)]
    seen: Vec<(Duration, KeyStatus)>,
    rotation: Option<Rotation>,
    /// At least one. The last is the current one.
    materials: Vec<Material>,
}

/// Where the related keys with one id are; each of them has the same value. Material and rotation are the primary's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MultiRegion {
    pub(crate) primary: Region,
    pub(crate) replicas: BTreeSet<Region>,
}

impl MultiRegion {
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }
}

/// Who manages a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum KeyManager {
    Aws,
    Customer,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum KeyStatus {
    Enabled,
    Disabled,
    PendingDeletion {
        #[serde(with = "persist::millis")]
        at: Duration,
        window_days: u32,
    },
    /// A primary key that will be deleted after its replicas.
    PendingReplicaDeletion {
        window_days: u32,
    },
}

impl KeyStatus {
    /// Deletion this many days after `now`.
    pub(crate) fn pending(window_days: u32, now: Duration) -> Self {
        let at = now.saturating_add(DAY.saturating_mul(window_days));
        Self::PendingDeletion { at, window_days }
    }

    /// When a key with this status is deleted.
    pub(crate) fn deletion_date(self) -> Option<Duration> {
        match self {
            Self::PendingDeletion { at, .. } => Some(at),
            Self::Enabled | Self::Disabled | Self::PendingReplicaDeletion { .. } => None,
        }
    }

    /// AWS's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingReplicaDeletion { .. } => "PendingReplicaDeletion",
        }
    }
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    pub(crate) period_days: u32,
    #[serde(with = "persist::millis")]
    pub(crate) next: Duration,
}

impl Key {
    /// An enabled key with one material.
    pub(crate) fn new(place: Place, account: &str, manager: KeyManager, created: Duration, first: Material) -> Self {
        Self {
            arn: place.arn(account),
            multi_region: place.id.is_multi_region.then(|| MultiRegion {
                primary: place.region.clone(),
                replicas: BTreeSet::new(),
            }),
            place,
            description: String::new(),
            policy: None,
            tags: BTreeMap::new(),
            manager,
            created,
            status: KeyStatus::Enabled,
            seen: Vec::new(),
            rotation: None,
            materials: vec![first],
        }
    }

    /// A key with the same id and materials in another region. Everything else is separate.
    pub(crate) fn replica(&self, region: Region, account: &str, created: Duration) -> Self {
        let place = Place {
            region,
            id: self.place.id,
        };
        Self {
            materials: self.materials.clone(),
            multi_region: self.multi_region.clone(),
            ..Self::new(place, account, self.manager, created, self.current().clone())
        }
    }

    /// The related keys, itself included; empty for a single-region key.
    pub(crate) fn related(&self) -> Vec<Place> {
        let regions = self.multi_region.iter().flat_map(MultiRegion::regions);
        let place = |region: &Region| Place {
            region: region.clone(),
            id: self.place.id,
        };
        regions.map(place).collect()
    }

    /// # Errors
    /// `UnsupportedOperationException` if it is a replica: material and rotation belong to the primary key.
    pub(crate) fn require_not_replica(&self) -> Result<(), KmsError> {
        match &self.multi_region {
            Some(config) if config.primary != self.place.region => Err(self.not_primary()),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// `UnsupportedOperationException` unless it is a primary key.
    pub(crate) fn require_primary(&self) -> Result<&MultiRegion, KmsError> {
        self.require_not_replica()?;
        self.multi_region.as_ref().ok_or_else(|| self.not_primary())
    }

    fn not_primary(&self) -> KmsError {
        KmsError::unsupported(format!("{} is not a multi-region primary key.", self.arn))
    }

    pub(crate) fn status(&self) -> KeyStatus {
        self.status
    }

    /// The status that cryptographic operations see.
    pub(crate) fn seen_status(&self, now: Duration) -> KeyStatus {
        let seen = self.seen.iter().rev().find(|(from, _)| *from <= now);
        seen.map_or(self.status, |(_, status)| *status)
    }

    /// Changes the status, which cryptographic operations see after `delay`.
    pub(crate) fn set_status(&mut self, status: KeyStatus, now: Duration, delay: Duration) {
        let before = self.seen_status(now);
        let visible = now.saturating_add(delay);
        // Earlier changes take effect before this one, or not at all.
        self.seen.retain(|(from, _)| *from > now && *from < visible);
        self.seen.insert(0, (now, before));
        self.seen.push((visible, status));
        self.status = status;
    }

    /// # Errors
    /// `DisabledException` or `KMSInvalidStateException` unless `status`, a status of this key, is `Enabled`.
    pub(crate) fn require_enabled(&self, status: KeyStatus) -> Result<(), KmsError> {
        match status {
            KeyStatus::Enabled => Ok(()),
            KeyStatus::Disabled => Err(KmsError::new("DisabledException", format!("{} is disabled.", self.arn))),
            KeyStatus::PendingDeletion { .. } => Err(self.pending("deletion")),
            KeyStatus::PendingReplicaDeletion { .. } => Err(self.pending("replica deletion")),
        }
    }

    /// # Errors
    /// `KMSInvalidStateException` if it is pending deletion.
    pub(crate) fn require_kept(&self) -> Result<(), KmsError> {
        match self.status {
            KeyStatus::Disabled => Ok(()),
            status => self.require_enabled(status),
        }
    }

    fn pending(&self, what: &str) -> KmsError {
        KmsError::new("KMSInvalidStateException", format!("{} is pending {what}.", self.arn))
    }

    pub(crate) fn rotation(&self) -> Option<Rotation> {
        self.rotation
    }

    /// Enables automatic rotation, counted from `now`, or disables it.
    pub(crate) fn set_rotation(&mut self, period_days: Option<u32>, now: Duration) {
        self.rotation = period_days.map(|period_days| Rotation {
            period_days,
            next: now.saturating_add(DAY.saturating_mul(period_days)),
        });
    }

    /// All materials, the current one last.
    pub(crate) fn materials(&self) -> &[Material] {
        &self.materials
    }

    /// The material that wraps.
    pub(crate) fn current(&self) -> &Material {
        self.materials
            .last()
            .expect("a key has a material from the start, and loses none")
    }

    /// Makes `material` the current one.
    pub(super) fn add_material(&mut self, material: Material) {
        self.materials.push(material);
    }

    /// Removes and returns the automatic rotation, to move it to another key.
    pub(crate) fn take_rotation(&mut self) -> Option<Rotation> {
        self.rotation.take()
    }

    pub(crate) fn give_rotation(&mut self, rotation: Option<Rotation>) {
        self.rotation = rotation;
    }

    /// The rotation, if it is due. A key that is not enabled is rotated once it is enabled again.
    pub(super) fn due_rotation(&self, now: Duration) -> Option<Rotation> {
        let rotation = self.rotation.filter(|rotation| rotation.next <= now);
        rotation.filter(|_| self.status == KeyStatus::Enabled)
    }

    pub(super) fn is_gone(&self, now: Duration) -> bool {
        matches!(self.status, KeyStatus::PendingDeletion { at, .. } if at <= now)
    }

    /// When the key will change without a call.
    pub(super) fn next_due(&self) -> Option<Duration> {
        match self.status {
            KeyStatus::Enabled => self.rotation.map(|rotation| rotation.next),
            KeyStatus::Disabled | KeyStatus::PendingReplicaDeletion { .. } => None,
            KeyStatus::PendingDeletion { at, .. } => Some(at),
        }
    }
}
