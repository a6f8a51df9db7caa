//! Faults on purpose: what goes wrong, for which calls.
//!
//! ```text
//! call -> outage? -> token bucket -> rules, in the order they were made -> latency, and at most one of:
//!                                                                          error, hang, reset, cut-off answer
//! ```
//!
//! One seeded generator is behind all of it: the same calls in the same order meet the same faults.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::call::Call;
use crate::error::KmsError;
use crate::service::Service;

mod bucket;
mod rule;
mod settings;

use bucket::Bucket;
pub use rule::{Fault, InjectedError, InvalidFault, Latency};
pub use settings::{Outage, Rate, Settings};

const RULES_LIMIT: usize = 1000;

/// A handle to the faults of a running mock: what the control port does, in the same process.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Nothing is set: calls need not ask further.
    quiet: AtomicBool,
    engine: Mutex<Engine>,
    /// A handle does not keep the keys of a mock that has ended.
    service: Weak<Service>,
}

impl Faults {
    pub(crate) fn new(service: &Arc<Service>) -> Self {
        let shared = Shared {
            quiet: AtomicBool::new(true),
            engine: Mutex::new(Engine::default()),
            service: Arc::downgrade(service),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Adds a fault, and gives the number by which it can be changed and removed.
    ///
    /// # Errors
    ///
    /// It makes no sense, or there are a thousand.
    pub fn add(&self, fault: Fault) -> Result<u64, InvalidFault> {
        fault.check()?;
        self.change(|engine| engine.add(fault))
    }

    /// All faults, and how often each was met.
    #[must_use]
    pub fn list(&self) -> Vec<RunningFault> {
        self.lock().rules.values().cloned().collect()
    }

    /// The fault of this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<RunningFault> {
        self.lock().rules.get(&id).cloned()
    }

    /// Puts another fault in the place of one, which goes on counting. False if there is none of this number.
    ///
    /// # Errors
    ///
    /// It makes no sense.
    pub fn replace(&self, id: u64, fault: Fault) -> Result<bool, InvalidFault> {
        fault.check()?;
        Ok(self
            .change(|engine| engine.rules.get_mut(&id).map(|rule| rule.fault = fault))
            .is_some())
    }

    /// Removes a fault. False if there is none of this number.
    #[must_use = "whether there was one"]
    pub fn remove(&self, id: u64) -> bool {
        self.change(|engine| engine.rules.remove(&id)).is_some()
    }

    /// Removes all faults; the settings stay.
    pub fn clear(&self) {
        self.change(|engine| engine.rules.clear());
    }

    /// What holds for all calls.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// Sets what holds for all calls. The bucket of a new rate is full.
    ///
    /// # Errors
    ///
    /// They make no sense.
    pub fn set_settings(&self, settings: Settings) -> Result<(), InvalidFault> {
        settings.check()?;
        if let Some(service) = self.shared.service.upgrade() {
            service.set_propagation_delay(Duration::from_millis(settings.propagation_delay_ms));
        }
        self.change(|engine| engine.set(settings));
        Ok(())
    }

    /// Whether the service can be reached.
    pub(crate) fn outage(&self) -> Option<Outage> {
        if self.shared.quiet.load(Ordering::Acquire) {
            return None;
        }
        self.lock().settings.outage
    }

    /// What is to happen to a call.
    pub(crate) fn plan(&self, call: &Call<'_>) -> Plan {
        if self.shared.quiet.load(Ordering::Acquire) {
            return Plan::default();
        }
        // Most rules have no key, and then nobody reads the body.
        let keys = OnceCell::new();
        let names = |rule: &str| {
            let keys: &Vec<String> = keys.get_or_init(|| named_keys(call.body));
            keys.iter().any(|key| resource(key) == resource(rule))
        };
        self.lock().plan(
            call.operation.name(),
            call.operation.is_cryptographic(),
            &names,
            Instant::now(),
        )
    }

    fn change<T>(&self, change: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.lock();
        let result = change(&mut engine);
        self.shared.quiet.store(engine.is_quiet(), Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault and its counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningFault {
    /// Its number.
    pub id: u64,
    /// What it does.
    #[serde(flatten)]
    pub fault: Fault,
    /// Calls that its operation and key matched.
    pub matched: u64,
    /// Calls that it made go wrong.
    pub fired: u64,
}

impl RunningFault {
    fn fires(&mut self, random: &mut fastrand::Rng) -> bool {
        self.matched += 1;
        let open = self.matched > self.fault.skip_first && self.fault.count.is_none_or(|count| self.fired < count);
        // The generator gives from 0 to below 1: a probability of 1 always fires, one of 0 never.
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

/// The rules and the settings, without a clock of their own.
#[derive(Debug)]
struct Engine {
    rules: BTreeMap<u64, RunningFault>,
    next_id: u64,
    settings: Settings,
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
    fn is_quiet(&self) -> bool {
        let Settings {
            rate,
            outage,
            latency_ms,
            ..
        } = &self.settings;
        self.rules.is_empty() && rate.is_none() && outage.is_none() && latency_ms.is_none()
    }

    fn add(&mut self, fault: Fault) -> Result<u64, InvalidFault> {
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

    fn set(&mut self, settings: Settings) {
        self.random = fastrand::Rng::with_seed(settings.seed);
        self.bucket = settings.rate.map(|rate| Bucket::new(rate, Instant::now()));
        self.settings = settings;
    }

    fn plan(&mut self, operation: &str, cryptographic: bool, names: &dyn Fn(&str) -> bool, now: Instant) -> Plan {
        let mut wait = self
            .settings
            .latency_ms
            .map_or(Duration::ZERO, |latency| latency.draw(&mut self.random));
        if cryptographic && self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            let message = rule::THROTTLED.to_owned();
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

/// The keys that a call names, as it names them. A body that is no JSON names none.
pub(crate) fn named_keys(body: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Keys {
        key_id: Option<String>,
        source_key_id: Option<String>,
        destination_key_id: Option<String>,
        target_key_id: Option<String>,
    }
    let Ok(keys) = serde_json::from_slice::<Keys>(body) else {
        return Vec::new();
    };
    [
        keys.key_id,
        keys.source_key_id,
        keys.destination_key_id,
        keys.target_key_id,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What of a key's name is the same in all of its forms: `alias/NAME` or the id.
fn resource(name: &str) -> &str {
    let resource = if name.starts_with("arn:") {
        name.splitn(6, ':').nth(5).unwrap_or(name)
    } else {
        name
    };
    resource.strip_prefix("key/").unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn keys_match_in_all_forms_of_one_name() {
        assert_eq!(resource("arn:aws:kms:us-east-1:000000000000:alias/a:b"), "alias/a:b");
        assert_eq!(
            resource("arn:aws:kms:us-east-1:000000000000:key/1234"),
            resource("1234")
        );
        assert_ne!(resource("alias/1234"), resource("1234"));
        assert_eq!(
            named_keys(br#"{"DestinationKeyId":"a","SourceKeyId":"b","More":1}"#),
            ["b", "a"]
        );
        assert!(named_keys(b"{").is_empty());
    }

    #[test]
    fn a_fault_must_do_one_thing() {
        let two = Fault {
            hang: true,
            truncate_body: true,
            ..Fault::default()
        };
        let unlikely = Fault {
            probability: 1.5,
            hang: true,
            ..Fault::default()
        };
        let unknown = Fault {
            op: Some("Conjure".to_owned()),
            hang: true,
            ..Fault::default()
        };
        let status = Some(200);
        let fine = Fault {
            error: Some(InjectedError {
                status,
                ..error("X").unwrap()
            }),
            ..Fault::default()
        };
        for wrong in [Fault::default(), two, unlikely, unknown, fine] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
