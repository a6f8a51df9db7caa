//! A key: its state, its materials, its grants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::material::MaterialRotation;
use super::{Grant, Material, RotationType, persist};
use crate::error::KmsError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A symmetric key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    #[serde(with = "persist::text")]
    pub(crate) id: Uuid,
    pub(crate) arn: String,
    pub(crate) description: String,
    pub(crate) manager: KeyManager,
    #[serde(with = "persist::millis")]
    pub(crate) created: Duration,
    status: KeyStatus,
    /// What cryptographic operations see, and from when on: oldest first. Empty: the status.
    #[serde(skip)]
    seen: Vec<(Duration, KeyStatus)>,
    rotation: Option<Rotation>,
    /// At least one; the last is the current one.
    materials: Vec<Material>,
    /// By grant id.
    #[serde(with = "persist::arcs")]
    pub(crate) grants: BTreeMap<String, Arc<Grant>>,
}

/// Who has the say over a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum KeyManager {
    Aws,
    Customer,
}

/// What a key may be used for.
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
}

impl KeyStatus {
    /// AWS's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
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
    pub(crate) fn new(
        arn: String,
        manager: KeyManager,
        description: String,
        created: Duration,
        first: Material,
    ) -> Self {
        let id = arn
            .rsplit_once('/')
            .and_then(|(_, id)| Uuid::parse_str(id).ok())
            .unwrap_or_default();
        Self {
            id,
            arn,
            description,
            manager,
            created,
            status: KeyStatus::Enabled,
            seen: Vec::new(),
            rotation: None,
            materials: vec![first],
            grants: BTreeMap::new(),
        }
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
        // Changes that are on their way arrive before this one, or never.
        self.seen.retain(|(from, _)| *from > now && *from < visible);
        self.seen.insert(0, (now, before));
        self.seen.push((visible, status));
        self.status = status;
    }

    /// # Errors
    /// `DisabledException`, `KMSInvalidStateException` if `status`, one of this key, is another than `Enabled`.
    pub(crate) fn require_enabled(&self, status: KeyStatus) -> Result<(), KmsError> {
        match status {
            KeyStatus::Enabled => Ok(()),
            KeyStatus::Disabled => Err(KmsError::new("DisabledException", format!("{} is disabled.", self.arn))),
            KeyStatus::PendingDeletion { .. } => Err(self.pending_deletion()),
        }
    }

    /// # Errors
    /// `KMSInvalidStateException` if it is pending deletion.
    pub(crate) fn require_kept(&self) -> Result<(), KmsError> {
        match self.status {
            KeyStatus::Enabled | KeyStatus::Disabled => Ok(()),
            KeyStatus::PendingDeletion { .. } => Err(self.pending_deletion()),
        }
    }

    fn pending_deletion(&self) -> KmsError {
        KmsError::new("KMSInvalidStateException", format!("{} is pending deletion.", self.arn))
    }

    pub(crate) fn rotation(&self) -> Option<Rotation> {
        self.rotation
    }

    /// Switches automatic rotation on, counted from `now`, or off.
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

    /// What wraps.
    pub(crate) fn current(&self) -> &Material {
        self.materials
            .last()
            .expect("a key has a material from the start, and loses none")
    }

    /// Makes another material the current one.
    ///
    /// # Errors
    /// `KMSInternalException` if the random generator fails.
    pub(crate) fn rotate(&mut self, kind: RotationType, date: Duration) -> Result<(), KmsError> {
        let material = Material::random(self.id, Some(MaterialRotation { kind, date }))?;
        self.materials.push(material);
        Ok(())
    }

    /// One rotation, however many periods have passed since it was due.
    pub(super) fn rotate_automatically(&mut self, now: Duration) -> Result<(), KmsError> {
        let Some(rotation) = self.rotation else {
            return Ok(());
        };
        self.rotate(RotationType::Automatic, now)?;
        self.set_rotation(Some(rotation.period_days), now);
        Ok(())
    }

    /// A key that cannot be used is not rotated; it is as soon as it can be again.
    pub(super) fn rotation_is_due(&self, now: Duration) -> bool {
        self.status == KeyStatus::Enabled && self.rotation.is_some_and(|rotation| rotation.next <= now)
    }

    pub(super) fn is_gone(&self, now: Duration) -> bool {
        matches!(self.status, KeyStatus::PendingDeletion { at, .. } if at <= now)
    }

    /// When time alone changes it.
    pub(super) fn next_due(&self) -> Option<Duration> {
        match self.status {
            KeyStatus::Enabled => self.rotation.map(|rotation| rotation.next),
            KeyStatus::Disabled => None,
            KeyStatus::PendingDeletion { at, .. } => Some(at),
        }
    }
}
