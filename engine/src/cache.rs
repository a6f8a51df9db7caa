//! A cache of what a key service returned, with limits on age, uses and number.

mod flight;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use self::flight::Flight;
use crate::keys::BoxFuture;

/// The result of a call to the key service.
pub(crate) type Outcome<T, E> = Result<Arc<Entry<T>>, E>;

/// A value that is in the cache or about to be. Dropped with its last user.
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    made: Instant,
    uses: AtomicU64,
}

impl<T> Entry<T> {
    pub(crate) const fn new(value: T, made: Instant) -> Self {
        Self {
            value,
            made,
            uses: AtomicU64::new(0),
        }
    }

    /// Counts one more use; returns whether it is within the limit.
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
pub(crate) struct Limits {
    pub(crate) age: Duration,
    /// Uses of one entry; at least 1.
    pub(crate) uses: u64,
    pub(crate) entries: usize,
}

/// Identifies an entry: different entries never share it.
type Id = Vec<u8>;

pub(crate) struct Cache<T, E> {
    state: Mutex<State<T, E>>,
}

struct State<T, E> {
    held: HashMap<Id, Held<T>>,
    /// Calls in progress, owned by their callers: a call without callers is dropped.
    under_way: HashMap<Id, Weak<Flight<Outcome<T, E>>>>,
    /// No entry in `held` is older than this.
    oldest: Option<Instant>,
    clock: u64,
}

struct Held<T> {
    entry: Arc<Entry<T>>,
    /// `clock` at the last use.
    used: u64,
}

enum Found<T, E> {
    Entry(Arc<Entry<T>>),
    Flight(Arc<Flight<Outcome<T, E>>>),
}

impl<T, E> Default for Cache<T, E> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                held: HashMap::new(),
                under_way: HashMap::new(),
                oldest: None,
                clock: 0,
            }),
        }
    }
}

impl<T: Send + Sync + 'static, E: Clone + Send + 'static> Cache<T, E> {
    /// Returns whether the entry was cached, and the entry. If it was not, `call` runs once, however many callers wait
    /// for it, and its entry is cached. If the call fails, all callers that waited return its error, and the next
    /// caller makes another call.
    pub(crate) async fn get(
        &self,
        id: &[u8],
        limits: &Limits,
        now: &(dyn Fn() -> Instant + Send + Sync),
        call: impl Fn() -> BoxFuture<'static, Outcome<T, E>> + Send,
    ) -> (bool, Option<Outcome<T, E>>) {
        let mut hit = true;
        loop {
            let flight = match self.find(id, limits, now(), &call) {
                Found::Entry(entry) => return (hit, Some(Ok(entry))),
                Found::Flight(flight) => flight,
            };
            hit = false;
            let outcome = flight.clone().join().await;
            self.settle(id, &flight, outcome.as_ref(), limits);
            match outcome {
                // More callers waited than the entry may serve: the rest make another call.
                Some(Ok(entry)) if !entry.take_use(limits) => {}
                outcome => return (hit, outcome),
            }
        }
    }

    /// Returns the entry, if it is cached.
    pub(crate) fn cached(&self, id: &[u8], limits: &Limits, now: Instant) -> Option<Arc<Entry<T>>> {
        let mut state = self.lock();
        state.sweep(limits, now);
        state.held_entry(id, limits)
    }

    /// Drops expired entries and returns how many are left.
    pub(crate) fn sweep(&self, limits: &Limits, now: Instant) -> usize {
        let mut state = self.lock();
        state.sweep(limits, now);
        state.held.len()
    }

    /// Drops all entries.
    pub(crate) fn clear(&self) {
        self.lock().held.clear();
    }

    fn find(
        &self,
        id: &[u8],
        limits: &Limits,
        now: Instant,
        call: impl Fn() -> BoxFuture<'static, Outcome<T, E>>,
    ) -> Found<T, E> {
        let mut state = self.lock();
        state.sweep(limits, now);
        if let Some(entry) = state.held_entry(id, limits) {
            return Found::Entry(entry);
        }
        if let Some(flight) = state.under_way.get(id).and_then(Weak::upgrade) {
            return Found::Flight(flight);
        }
        let flight = Flight::new(call());
        state.under_way.retain(|_, flight| flight.strong_count() > 0);
        state.under_way.insert(id.to_owned(), Arc::downgrade(&flight));
        Found::Flight(flight)
    }

    /// The first caller to see a call end removes it from the list and caches its entry.
    fn settle(&self, id: &[u8], flight: &Arc<Flight<Outcome<T, E>>>, outcome: Option<&Outcome<T, E>>, limits: &Limits) {
        let mut state = self.lock();
        let listed = state
            .under_way
            .get(id)
            .is_some_and(|listed| listed.as_ptr() == Arc::as_ptr(flight));
        if !listed {
            return;
        }
        state.under_way.remove(id);
        if let Some(Ok(entry)) = outcome {
            state.keep(id, entry, limits);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // The maps' entries are independent: a panic leaves none of them half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> State<T, E> {
    fn held_entry(&mut self, id: &[u8], limits: &Limits) -> Option<Arc<Entry<T>>> {
        let held = self.held.get_mut(id)?;
        if !held.entry.take_use(limits) {
            self.held.remove(id);
            return None;
        }
        self.clock += 1;
        held.used = self.clock;
        Some(held.entry.clone())
    }

    /// Caches an entry, replacing the least recently used one if the cache is full.
    fn keep(&mut self, id: &[u8], entry: &Arc<Entry<T>>, limits: &Limits) {
        if limits.entries == 0 {
            return;
        }
        if self.held.len() >= limits.entries
            && let Some(unused) = self
                .held
                .iter()
                .min_by_key(|(_, held)| held.used)
                .map(|(id, _)| id.clone())
        {
            self.held.remove(&unused);
        }
        self.clock += 1;
        let (entry, used) = (entry.clone(), self.clock);
        self.oldest = Some(self.oldest.map_or(entry.made, |oldest| oldest.min(entry.made)));
        self.held.insert(id.to_owned(), Held { entry, used });
    }

    /// Drops expired entries. Scans them only if one may have expired.
    fn sweep(&mut self, limits: &Limits, now: Instant) {
        let due = |oldest| now.saturating_duration_since(oldest) >= limits.age;
        if !self.oldest.is_some_and(due) {
            return;
        }
        self.held.retain(|_, held| !held.entry.is_expired(limits, now));
        self.oldest = self.held.values().map(|held| held.entry.made).min();
    }
}

#[cfg(test)]
impl<T: Send + Sync + 'static, E: Clone + Send + 'static> Cache<T, E> {
    pub(crate) fn entries(&self) -> Vec<Arc<Entry<T>>> {
        self.lock().held.values().map(|held| held.entry.clone()).collect()
    }
}
