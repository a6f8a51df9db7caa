//! Intermediate keys in memory, within limits on age, uses and number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::flight::Flight;
use crate::error::ProviderError;
use crate::header::WrappedKey;
use crate::keys::DataKey;
use crate::provider::BoxFuture;

/// The result of a call of the inner provider.
pub(super) type Outcome = Result<Arc<Key>, ProviderError>;

/// An intermediate key in plaintext. Wiped when the last user drops it.
pub(super) struct Key {
    pub(super) secret: DataKey,
    /// The same key as the inner provider wrapped it.
    pub(super) inner: WrappedKey,
    made: Instant,
    uses: AtomicU64,
}

impl Key {
    pub(super) const fn new(secret: DataKey, inner: WrappedKey, made: Instant) -> Self {
        Self {
            secret,
            inner,
            made,
            uses: AtomicU64::new(0),
        }
    }

    /// Counts one more use; whether it was within the limit.
    fn take_use(&self, limits: &Limits) -> bool {
        let more = |uses| (uses < limits.uses).then_some(uses + 1);
        self.uses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn is_expired(&self, limits: &Limits, now: Instant) -> bool {
        now.saturating_duration_since(self.made) >= limits.age
    }
}

/// Limits on age, uses and number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) age: Duration,
    /// Uses of one key; at least 1.
    pub(super) uses: u64,
    pub(super) keys: usize,
}

/// Identifies a key: two different keys never share it.
type Id = Vec<u8>;

#[derive(Default)]
pub(super) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<Id, Held>,
    /// Calls in flight, owned by their callers: a call without callers is gone.
    under_way: HashMap<Id, Weak<Flight<Outcome>>>,
    /// No key in `held` is older than this.
    oldest: Option<Instant>,
    clock: u64,
}

struct Held {
    key: Arc<Key>,
    /// `clock` at the last use.
    used: u64,
}

enum Found {
    Key(Arc<Key>),
    Flight(Arc<Flight<Outcome>>),
}

impl Cache {
    /// Returns whether the key was cached, and the key. If it was not, `call` runs once, however many callers ask, and its key
    /// is cached. All who waited for a call that fails get its error; the next caller makes another call.
    pub(super) async fn get(
        &self,
        id: &[u8],
        limits: &Limits,
        now: &(dyn Fn() -> Instant + Send + Sync),
        call: impl Fn() -> BoxFuture<'static, Outcome> + Send,
    ) -> (bool, Option<Outcome>) {
        let mut hit = true;
        loop {
            let flight = match self.find(id, limits, now(), &call) {
                Found::Key(key) => return (hit, Some(Ok(key))),
                Found::Flight(flight) => flight,
            };
            hit = false;
            let outcome = flight.clone().join().await;
            self.settle(id, &flight, outcome.as_ref(), limits);
            match outcome {
                // More callers waited than the key may wrap for: the rest ask for another key.
                Some(Ok(key)) if !key.take_use(limits) => {}
                outcome => return (hit, outcome),
            }
        }
    }

    /// Drops expired keys and returns how many are left.
    pub(super) fn sweep(&self, limits: &Limits, now: Instant) -> usize {
        let mut state = self.lock();
        state.sweep(limits, now);
        state.held.len()
    }

    fn find(&self, id: &[u8], limits: &Limits, now: Instant, call: impl Fn() -> BoxFuture<'static, Outcome>) -> Found {
        let mut state = self.lock();
        state.sweep(limits, now);
        if let Some(key) = state.held_key(id, limits) {
            return Found::Key(key);
        }
        if let Some(flight) = state.under_way.get(id).and_then(Weak::upgrade) {
            return Found::Flight(flight);
        }
        let flight = Flight::new(call());
        state.under_way.retain(|_, flight| flight.strong_count() > 0);
        state.under_way.insert(id.to_owned(), Arc::downgrade(&flight));
        Found::Flight(flight)
    }

    /// The first caller to see a call end takes it off the list and caches its key.
    fn settle(&self, id: &[u8], flight: &Arc<Flight<Outcome>>, outcome: Option<&Outcome>, limits: &Limits) {
        let mut state = self.lock();
        let listed = state
            .under_way
            .get(id)
            .is_some_and(|listed| listed.as_ptr() == Arc::as_ptr(flight));
        if !listed {
            return;
        }
        state.under_way.remove(id);
        if let Some(Ok(key)) = outcome {
            state.keep(id, key, limits);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The maps' entries are independent: a panic leaves none of them half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held_key(&mut self, id: &[u8], limits: &Limits) -> Option<Arc<Key>> {
        let held = self.held.get_mut(id)?;
        if !held.key.take_use(limits) {
            self.held.remove(id);
            return None;
        }
        self.clock += 1;
        held.used = self.clock;
        Some(held.key.clone())
    }

    /// Replaces the least recently used key if the cache is full.
    fn keep(&mut self, id: &[u8], key: &Arc<Key>, limits: &Limits) {
        if limits.keys == 0 {
            return;
        }
        if self.held.len() >= limits.keys
            && let Some(unused) = self
                .held
                .iter()
                .min_by_key(|(_, held)| held.used)
                .map(|(id, _)| id.clone())
        {
            self.held.remove(&unused);
        }
        self.clock += 1;
        let (key, used) = (key.clone(), self.clock);
        self.oldest = Some(self.oldest.map_or(key.made, |oldest| oldest.min(key.made)));
        self.held.insert(id.to_owned(), Held { key, used });
    }

    /// Looks at the keys only when one of them may have expired.
    fn sweep(&mut self, limits: &Limits, now: Instant) {
        let due = |oldest| now.saturating_duration_since(oldest) >= limits.age;
        if !self.oldest.is_some_and(due) {
            return;
        }
        self.held.retain(|_, held| !held.key.is_expired(limits, now));
        self.oldest = self.held.values().map(|held| held.key.made).min();
    }
}

#[cfg(test)]
impl Cache {
    pub(super) fn keys(&self) -> Vec<Arc<Key>> {
        self.lock().held.values().map(|held| held.key.clone()).collect()
    }
}
