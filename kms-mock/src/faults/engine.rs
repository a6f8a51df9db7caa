//! Decides what happens to the next call from the rules, the settings and the time it is given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::bucket::Bucket;
use super::rule::{Fault, InvalidFault, THROTTLED};
use super::settings::Settings;
use crate::error::KmsError;

const RULES_LIMIT: usize = 1000;

/// A fault with its counters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningFault {
    /// The fault's id.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub fault: Fault,
    /// Calls that matched its operation and key.
    pub matched: u64,
    /// Calls that it affected.
    pub fired: u64,
}

impl RunningFault {
    fn fires(&mut self, random: &mut fastrand::Rng) -> bool {
        self.matched += 1;
        let open = self.matched > self.fault.skip_first && self.fault.count.is_none_or(|count| self.fired < count);
        // The generator returns values in 0..1: a probability of 1 always fires, one of 0 never.
        let fires = open && random.f64() < self.fault.probability;
        self.fired += u64::from(fires);
        fires
    }

    fn end(&self) -> Option<Ending> {
        let Fault {
            error,
            hang,
            reset_connection,
            truncate_body,
            ..
        } = &self.fault;
        match error {
            Some(error) => Some(Ending::Error(error.to_error())),
            None if *hang => Some(Ending::Hang),
            None if *reset_connection => Some(Ending::Reset),
            None if *truncate_body => Some(Ending::Truncate),
            None => None,
        }
    }
}

/// What happens to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) wait: Duration,
    pub(crate) ending: Ending,
}

/// How a call ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Answer,
    Error(KmsError),
    Hang,
    Reset,
    Truncate,
}

/// The settings, the rules and their counters.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) rules: BTreeMap<u64, RunningFault>,
    next_id: u64,
    pub(super) settings: Settings,
    bucket: Option<Bucket>,
    random: fastrand::Rng,
}

impl Default for Engine {
    fn default() -> Self {
        let settings = Settings::default();
        let random = fastrand::Rng::with_seed(settings.seed);
        Self {
            rules: BTreeMap::new(),
            next_id: 1,
            settings,
            bucket: None,
            random,
        }
    }
}

impl Engine {
    pub(super) fn is_quiet(&self) -> bool {
        let Settings {
            rate,
            outage,
            latency_ms,
            ..
        } = &self.settings;
        self.rules.is_empty() && rate.is_none() && outage.is_none() && latency_ms.is_none()
    }

    pub(super) fn add(&mut self, fault: Fault) -> Result<u64, InvalidFault> {
        if self.rules.len() >= RULES_LIMIT {
            return Err(InvalidFault(format!("there are {RULES_LIMIT} faults already")));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.rules.insert(
            id,
            RunningFault {
                id,
                fault,
                matched: 0,
                fired: 0,
            },
        );
        Ok(id)
    }

    pub(super) fn set(&mut self, settings: Settings) {
        self.random = fastrand::Rng::with_seed(settings.seed);
        self.bucket = settings.rate.map(|rate| Bucket::new(rate, Instant::now()));
        self.settings = settings;
    }

    pub(super) fn plan(
        &mut self,
        operation: &str,
        cryptographic: bool,
        names: &dyn Fn(&str) -> bool,
        now: Instant,
    ) -> Plan {
        let mut wait = self
            .settings
            .latency_ms
            .map_or(Duration::ZERO, |latency| latency.draw(&mut self.random));
        if cryptographic && self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            let message = THROTTLED.to_owned();
            let error = KmsError {
                kind: "ThrottlingException".to_owned(),
                message,
                status: 400,
            };
            return Plan {
                wait,
                ending: Ending::Error(error),
            };
        }
        for rule in self.rules.values_mut() {
            let matches = rule.fault.op.as_ref().is_none_or(|op| op == operation)
                && rule.fault.key.as_ref().is_none_or(|key| names(key));
            if !matches || !rule.fires(&mut self.random) {
                continue;
            }
            if let Some(latency) = &rule.fault.latency_ms {
                wait += latency.draw(&mut self.random);
            }
            if let Some(ending) = rule.end() {
                return Plan { wait, ending };
            }
        }
        Plan {
            wait,
            ending: Ending::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::rule::{InjectedError, Latency};
    use crate::faults::settings::Rate;

    fn plan(engine: &mut Engine, operation: &str) -> Plan {
        engine.plan(operation, true, &|_| false, Instant::now())
    }

    fn error(kind: &str) -> Option<InjectedError> {
        Some(InjectedError {
            kind: kind.to_owned(),
            message: None,
            status: None,
        })
    }

    #[test]
    fn skipped_then_counted_then_over() {
        let mut engine = Engine::default();
        let fault = Fault {
            op: Some("Decrypt".to_owned()),
            skip_first: 2,
            count: Some(3),
            hang: true,
            ..Fault::default()
        };
        engine.add(fault).unwrap();
        let hangs: Vec<bool> = (0..8)
            .map(|_| plan(&mut engine, "Decrypt").ending == Ending::Hang)
            .collect();
        assert_eq!(hangs, [false, false, true, true, true, false, false, false]);
        assert_eq!(plan(&mut engine, "Encrypt").ending, Ending::Answer);
        let rule = &engine.rules[&1];
        assert_eq!((rule.matched, rule.fired), (8, 3));
    }

    #[test]
    fn the_seed_decides_who_is_hit() {
        let outcomes = |seed| {
            let mut engine = Engine::default();
            engine.set(Settings {
                seed,
                ..Settings::default()
            });
            engine
                .add(Fault {
                    probability: 0.5,
                    hang: true,
                    ..Fault::default()
                })
                .unwrap();
            (0..64)
                .map(|_| plan(&mut engine, "Decrypt").ending == Ending::Hang)
                .collect::<Vec<_>>()
        };
        assert_eq!(outcomes(7), outcomes(7));
        assert_ne!(outcomes(7), outcomes(8));
        assert!(outcomes(7).contains(&true) && outcomes(7).contains(&false));
    }

    #[test]
    fn latencies_add_up_and_the_first_ending_wins() {
        let mut engine = Engine::default();
        engine.set(Settings {
            latency_ms: Some(Latency { fixed: 1, jitter: 0 }),
            ..Settings::default()
        });
        let latency_ms = Some(Latency { fixed: 10, jitter: 0 });
        engine
            .add(Fault {
                latency_ms,
                ..Fault::default()
            })
            .unwrap();
        engine
            .add(Fault {
                latency_ms,
                error: error("KMSInternalException"),
                ..Fault::default()
            })
            .unwrap();
        engine
            .add(Fault {
                latency_ms,
                hang: true,
                ..Fault::default()
            })
            .unwrap();
        let plan = plan(&mut engine, "Decrypt");
        assert_eq!(plan.wait, Duration::from_millis(21));
        assert!(matches!(plan.ending, Ending::Error(error) if error.status == 500));
    }

    #[test]
    fn only_cryptographic_operations_are_metered() {
        let mut engine = Engine::default();
        engine.set(Settings {
            rate: Some(Rate {
                per_second: 0.0,
                burst: Some(1),
            }),
            ..Settings::default()
        });
        let now = Instant::now();
        let mut call = |cryptographic| engine.plan("X", cryptographic, &|_| false, now).ending;
        assert_eq!(call(false), Ending::Answer);
        assert_eq!(call(true), Ending::Answer);
        assert!(
            matches!(call(true), Ending::Error(error) if error.kind == "ThrottlingException" && error.status == 400)
        );
        assert_eq!(call(false), Ending::Answer);
    }
}
