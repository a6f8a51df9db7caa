//! What holds for all calls.

use serde::{Deserialize, Serialize};

use super::rule::{InvalidFault, Latency};
use crate::service::ON_DEMAND_ROTATIONS;

const DELAY_LIMIT: u64 = 3_600_000;

/// What holds for all calls; nothing is wrong by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// At most so many cryptographic operations; more are answered with `ThrottlingException`.
    pub rate: Option<Rate>,
    /// The service cannot be reached.
    pub outage: Option<Outage>,
    /// Milliseconds until a change of a key's state shows in calls.
    pub propagation_delay_ms: u64,
    /// Of the generator behind probabilities and jitter: it starts anew when this is set.
    pub seed: u64,
    /// Every answer waits.
    pub latency_ms: Option<Latency>,
    /// How often one key may be rotated on demand: 25 times, as AWS allows it. Then `LimitExceededException`.
    pub on_demand_rotations: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: None,
            outage: None,
            propagation_delay_ms: 0,
            seed: 0,
            latency_ms: None,
            on_demand_rotations: ON_DEMAND_ROTATIONS,
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), InvalidFault> {
        self.latency_ms.iter().try_for_each(Latency::check)?;
        if let Some(rate) = &self.rate {
            let limits = 0.0..=1e9;
            if !limits.contains(&rate.per_second)
                || rate.burst.is_some_and(|burst| !(1..=1_000_000_000).contains(&burst))
            {
                return Err(InvalidFault(
                    "rate: per_second from 0 and burst from 1, to 1000000000".to_owned(),
                ));
            }
        }
        if self.propagation_delay_ms > DELAY_LIMIT {
            return Err(InvalidFault("propagation_delay_ms: at most an hour".to_owned()));
        }
        Ok(())
    }
}

/// A token bucket, as AWS meters calls: one for all keys and callers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls a second in the long run.
    pub per_second: f64,
    /// Calls at once after a pause; if absent, those of one second, but at least one.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// How the service is out of reach. Nothing of it is in the audit log: no call came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outage {
    /// Every request resets its connection.
    Reset,
    /// Every request is answered with 503 `ServiceUnavailableException`.
    Unavailable,
}
