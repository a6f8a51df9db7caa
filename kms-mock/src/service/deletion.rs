//! Scheduling and cancelling the deletion of keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::{Checks, Input};
use super::keys::KeyOnly;
use super::output::maybe_seconds;
use super::reply::{Done, Reply};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::KeyStatus;

/// Days.
const DEFAULT_WINDOW: u32 = 30;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ScheduleKeyDeletion {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_window_in_days: Option<i64>,
}

impl Input for ScheduleKeyDeletion {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.range("pendingWindowInDays", self.pending_window_in_days, 7, 30);
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scheduled {
    /// The ARN.
    key_id: String,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    deletion_date: Option<Duration>,
    key_state: &'static str,
    pending_window_in_days: u32,
}

/// The key whose deletion was cancelled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Kept {
    /// The ARN.
    key_id: String,
}

impl Service {
    pub(super) fn schedule_key_deletion(
        &self,
        exchange: &Exchange<'_>,
        input: ScheduleKeyDeletion,
    ) -> Reply<Scheduled> {
        let window = input.pending_window_in_days.and_then(|days| u32::try_from(days).ok());
        let window_days = window.unwrap_or(DEFAULT_WINDOW);
        let (now, delay) = (exchange.now, self.propagation_delay());
        let scheduled = self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.require_kept()?;
            let status = match key.require_primary() {
                // The waiting period begins when the last replica is deleted.
                Ok(config) if !config.replicas.is_empty() => KeyStatus::PendingReplicaDeletion { window_days },
                _ => KeyStatus::pending(window_days, now),
            };
            key.set_status(status, now, delay);
            Ok(Scheduled {
                key_id: key.arn.clone(),
                deletion_date: status.deletion_date(),
                key_state: status.name(),
                pending_window_in_days: window_days,
            })
        });
        scheduled.map(Done::logged)
    }

    /// Leaves the key disabled, as the real service does.
    pub(super) fn cancel_key_deletion(&self, exchange: &Exchange<'_>, input: KeyOnly) -> Reply<Kept> {
        let (now, delay) = (exchange.now, self.propagation_delay());
        self.change_key(exchange, &input.into_key_id(), |key| {
            if key.require_kept().is_ok() {
                let message = format!("{} is not pending deletion.", key.arn);
                return Err(KmsError::new("KMSInvalidStateException", message));
            }
            key.set_status(KeyStatus::Disabled, now, delay);
            Ok(Kept {
                key_id: key.arn.clone(),
            })
        })
    }
}
