//! Settings for all calls.

use serde::{Deserialize, Serialize};

use super::rule::{InvalidFault, Latency};
use crate::service::ON_DEMAND_ROTATIONS;

const DELAY_LIMIT: u64 = 3_600_000;

/// Settings for all calls. By default, nothing fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Limits the rate of cryptographic operations. Calls above it get `ThrottlingException`.
    pub rate: Option<Rate>,
    /// Makes the service unavailable.
    pub outage: Option<Outage>,
    /// Milliseconds until calls see a change of a key's state.
    pub propagation_delay_ms: u64,
    /// Seeds the generator for probabilities and jitter. Setting it restarts the generator.
    pub seed: u64,
    /// Delays every answer.
    pub latency_ms: Option<Latency>,
    /// How often one key may be rotated on demand before `LimitExceededException`. AWS's limit of 25 if absent.
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
                    "rate.per_second must be from 0 to 1000000000, and rate.burst from 1 to 1000000000".to_owned(),
                ));
            }
        }
        if self.propagation_delay_ms > DELAY_LIMIT {
            return Err(InvalidFault("propagation_delay_ms must be at most an hour".to_owned()));
        }
        Ok(())
    }
}

/// A token bucket for all keys and callers, which is how AWS meters calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls per second in the long run.
    pub per_second: f64,
    /// Calls at once after a pause. If absent, the calls of one second, but at least one.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// How the service is unavailable. No call gets through, so none is in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outage {
    /// Every request resets its connection.
    Reset,
    /// Every request is answered with 503 `ServiceUnavailableException`.
    Unavailable,
}
