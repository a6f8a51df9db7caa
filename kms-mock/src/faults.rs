//! Injected faults: which calls fail, and how.
//!
//! ```text
//! call -> outage? -> token bucket -> rules, in the order they were made -> latency, and at most one of:
//!                                                                          error, hang, reset, cut-off answer
//! ```
//!
//! All random choices come from one seeded generator: the same calls in the same order meet the same faults.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::service::Service;

mod bucket;
mod engine;
mod rule;
mod settings;

use engine::Engine;
pub use engine::RunningFault;
pub(crate) use engine::{Ending, Plan};
pub use rule::{Fault, InjectedError, InvalidFault, Latency};
pub use settings::{Outage, Rate, Settings};

/// A handle to the faults of a running mock. It does in-process what the control port does over HTTP.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Nothing is set, so that calls can skip the lock.
    quiet: AtomicBool,
    engine: Mutex<Engine>,
    /// Weak: a handle does not keep the keys of a stopped mock alive.
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

    /// Adds a fault. Returns its id.
    ///
    /// # Errors
    ///
    /// The fault is invalid, or a thousand faults exist already.
    pub fn add(&self, fault: Fault) -> Result<u64, InvalidFault> {
        fault.check()?;
        self.change(|engine| engine.add(fault))
    }

    /// Returns all faults with their counters.
    #[must_use]
    pub fn list(&self) -> Vec<RunningFault> {
        self.lock().rules.values().cloned().collect()
    }

    /// Returns the fault with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<RunningFault> {
        self.lock().rules.get(&id).cloned()
    }

    /// Replaces the fault with this id and keeps its counters. Returns `false` if the id is unknown.
    ///
    /// # Errors
    ///
    /// The fault is invalid.
    pub fn replace(&self, id: u64, fault: Fault) -> Result<bool, InvalidFault> {
        fault.check()?;
        Ok(self
            .change(|engine| engine.rules.get_mut(&id).map(|rule| rule.fault = fault))
            .is_some())
    }

    /// Removes the fault with this id. Returns `false` if the id is unknown.
    #[must_use = "whether there was one"]
    pub fn remove(&self, id: u64) -> bool {
        self.change(|engine| engine.rules.remove(&id)).is_some()
    }

    /// Removes all faults. The settings are kept.
    pub fn clear(&self) {
        self.change(|engine| engine.rules.clear());
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// Replaces the settings. A new rate starts with a full bucket.
    ///
    /// # Errors
    ///
    /// The settings are invalid.
    pub fn set_settings(&self, settings: Settings) -> Result<(), InvalidFault> {
        settings.check()?;
        if let Some(service) = self.shared.service.upgrade() {
            service.set_propagation_delay(Duration::from_millis(settings.propagation_delay_ms));
            service.set_on_demand_rotations(settings.on_demand_rotations);
        }
        self.change(|engine| engine.set(settings));
        Ok(())
    }

    /// The outage, if one is set.
    pub(crate) fn outage(&self) -> Option<Outage> {
        if self.shared.quiet.load(Ordering::Acquire) {
            return None;
        }
        self.lock().settings.outage
    }

    /// Decides what happens to a call.
    pub(crate) fn plan(&self, call: &Call<'_>) -> Plan {
        if self.shared.quiet.load(Ordering::Acquire) {
            return Plan::default();
        }
        // The body is parsed only if a rule has a key, which most have not.
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

/// The keys that a call names, as written. A body that is not JSON names none.
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

/// The part of a key's name that all of its forms share: `alias/NAME` or the id.
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
}
