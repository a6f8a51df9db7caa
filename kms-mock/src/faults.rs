//! Faults on purpose: what goes wrong, for which calls.
//!
//! ```text
//! call -> outage? -> token bucket -> rules, in the order they were made -> latency, and at most one of:
//!                                                                          error, hang, reset, cut-off answer
//! ```
//!
//! One seeded generator is behind all of it: the same calls in the same order meet the same faults.

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
            service.set_on_demand_rotations(settings.on_demand_rotations);
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
