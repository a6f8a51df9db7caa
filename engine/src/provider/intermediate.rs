//! Keys between a key service and the data keys of many objects: the model of S3's bucket keys.
//!
//! ```text
//! inner provider --one call--> intermediate key, bound to a few pairs of the objects' context (e.g. the bucket)
//!     intermediate key --here, many times--> data keys, each bound to its object's whole context
//! ```
//!
//! A slot holds both wraps; `slot` draws its bytes.

mod cache;
mod flight;
mod slot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::cache::{Cache, Key, Limits, Outcome};
use self::slot::{Scope, Slot};
use super::{BoxFuture, GeneratedKey, KeyMatch, KeyProvider, wrap};
use crate::context::EncryptionContext;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::{PASSPHRASE, WrappedKey};
use crate::keys::DataKey;
use crate::sys;

pub(crate) const ID: &str = "intermediate";

/// Wraps data keys under keys that another provider makes, one for very many objects, so that a key service is
/// called a few times where it would be called for every object.
///
/// Each intermediate key belongs to the inner provider's sealing key and to the *scope*: some pairs of the objects'
/// context, such as the bucket, which the inner provider binds it to. The inner provider's own policy over contexts
/// so holds for intermediate keys too. Data keys are bound to the whole context of their object.
///
/// What is given up for the saved calls: the key service's log shows one call for many objects, and a withdrawn
/// permission takes effect when the cached keys have come to their age. Calls of one key that come at the same time
/// are one call of the inner provider; if it fails, all of them get its error, and the next call tries again.
///
/// Keys in memory are wiped when they are dropped. One that has come to its age is dropped by the next call of
/// anything, or by [`drop_expired`](Self::drop_expired).
pub struct IntermediateKeys {
    inner: Arc<dyn KeyProvider>,
    scope: Scope,
    /// Which pairs the keys of slots have to be bound to.
    required: Scope,
    age: Duration,
    wraps: u64,
    cached: usize,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// By their own context: what the next data key is wrapped under.
    sealing: Cache,
    /// By their wrap and own context. Apart from those that seal: that one may seal says nothing of reading.
    reading: Cache,
    counters: Arc<Counters>,
}

impl IntermediateKeys {
    /// How old a key may be that is used without asking again.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
    /// How many data keys one key wraps.
    pub const DEFAULT_MAX_WRAPS: u64 = 1 << 20;
    /// How many keys are kept for reading, and as many for sealing.
    pub const DEFAULT_MAX_CACHED: usize = 1024;

    /// Has `inner` make a key for each set of values of these keys of the objects' context. Without keys one serves
    /// all objects.
    ///
    /// To read, slots tell their scope, which must have all of these keys: a slot of an intermediate key that is bound to
    /// less was made by someone whom the inner provider did not hold to the rest. For slots of an earlier, narrower
    /// scope there is [`with_required_scope`](Self::with_required_scope).
    ///
    /// # Errors
    /// Class `Configuration` for a scope that no slot holds (over 255 keys, an empty or overlong one, or the reserved
    /// `sealstone:key`), and for an inner provider of passphrases or of intermediate keys.
    pub fn new(
        inner: Arc<dyn KeyProvider>,
        scope: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ProviderError> {
        if [PASSPHRASE, ID].contains(&inner.id()) {
            let message = format!("keys of the provider {} cannot wrap intermediate keys", inner.id());
            return Err(ProviderError::new(ProviderErrorClass::Configuration, ID, message));
        }
        let scope = Scope::new(scope.into_iter().map(Into::into).collect()).ok_or_else(|| {
            let message =
                "a scope is at most 255 context keys, none of them empty, longer than 65,535 bytes or reserved";
            ProviderError::new(ProviderErrorClass::Configuration, ID, message)
        })?;
        Ok(Self {
            inner,
            required: scope.clone(),
            scope,
            age: Self::DEFAULT_MAX_AGE,
            wraps: Self::DEFAULT_MAX_WRAPS,
            cached: Self::DEFAULT_MAX_CACHED,
            now: Arc::new(sys::clock()),
            sealing: Cache::default(),
            reading: Cache::default(),
            counters: Arc::default(),
        })
    }

    /// Takes slots whose scope has these keys of the objects' context, in the place of those given to
    /// [`new`](Self::new), which still are the scope of new slots. Without keys, slots of every scope are taken.
    #[must_use]
    pub fn with_required_scope(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.required = Scope::required(keys.into_iter().map(Into::into).collect());
        self
    }

    /// How old a key may be that is used without asking the inner provider again. With zero, only calls at the same
    /// time share a key.
    #[must_use]
    pub const fn with_max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// How many data keys one key wraps before another is asked for; at least 1.
    #[must_use]
    pub const fn with_max_wraps(mut self, wraps: u64) -> Self {
        self.wraps = if wraps == 0 { 1 } else { wraps };
        self
    }

    /// How many keys are kept for reading, and as many for sealing; the one not used for longest makes room.
    #[must_use]
    pub const fn with_max_cached(mut self, keys: usize) -> Self {
        self.cached = keys;
        self
    }

    /// The clock that ages are measured by, for tests. By default one that goes on while the machine is suspended, on
    /// Linux.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// What the cache was good for so far.
    #[must_use]
    pub fn stats(&self) -> IntermediateKeyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IntermediateKeyStats {
            hits: read(&self.counters.hits),
            misses: read(&self.counters.misses),
            generate_calls: read(&self.counters.generate_calls),
            unwrap_calls: read(&self.counters.unwrap_calls),
            cached: self.drop_expired(),
        }
    }

    /// Drops, and so wipes, the keys that have come to their age; gives how many are left. For processes that may be
    /// idle for long: those that call on get it done by the way.
    pub fn drop_expired(&self) -> usize {
        let now = (self.now)();
        self.sealing.sweep(&self.sealing_limits(), now) + self.reading.sweep(&self.reading_limits(), now)
    }

    const fn sealing_limits(&self) -> Limits {
        Limits {
            age: self.age,
            uses: self.wraps,
            keys: self.cached,
        }
    }

    const fn reading_limits(&self) -> Limits {
        Limits {
            uses: u64::MAX,
            ..self.sealing_limits()
        }
    }

    pub(crate) fn inner_id(&self) -> &str {
        self.inner.id()
    }

    async fn wrap_now(&self, data_key: &DataKey, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
        let own = self.scope.own_context(context).map_err(|missing| {
            let message =
                format!("the object's context has no pair {missing:?}, which the intermediate keys' scope names");
            ProviderError::new(ProviderErrorClass::Configuration, ID, message)
        })?;
        let key = self.sealing_key(&own).await?;
        let key_id = slot::key_id(&key.inner);
        let head = slot::head(&self.scope, &key.inner);
        let head = head.map_err(|error| wrap::unbindable(ID, error))?;
        let aad = slot::aad(ID, &key_id, &head, context).map_err(|error| wrap::unbindable(ID, error))?;
        let local = wrap::seal_data_key(key.secret.as_secret(), ID, &aad, data_key)?;
        Ok(slot::join(&key_id, head, &local))
    }

    async fn unwrap_now(&self, wrapped: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let (slot, own) = self.slot_and_own_context(wrapped, context)?;
        let aad = slot::aad(&wrapped.provider, &wrapped.key_id, slot.head, context);
        let aad = aad.map_err(|error| wrap::unbindable(ID, error))?;
        let key = self.reading_key(&slot.inner, &own).await?;
        wrap::open_data_key(key.secret.as_secret(), &aad, slot.local)
            .ok_or_else(|| wrap::refused(wrapped, wrap::ALTERED_OR_OTHER_CONTEXT))
    }

    /// The inner provider may have several keys, and makes new intermediate keys under one of them: that has to be the
    /// slot's, or a newer version of it.
    async fn rebind_now(
        &self,
        wrapped: &WrappedKey,
        from: &EncryptionContext,
        to: &EncryptionContext,
    ) -> Result<WrappedKey, ProviderError> {
        let data_key = self.unwrap_now(wrapped, from).await?;
        let made = self.wrap_now(&data_key, to).await?;
        if made.key_id != wrapped.key_id && made.key_id != self.name_when_rebound(wrapped, from).await? {
            let message = format!(
                "its intermediate key is one of {}, and new ones are of {}: bind it by the former",
                wrapped.key_id, made.key_id
            );
            let error = ProviderError::new(ProviderErrorClass::Configuration, ID, message);
            return Err(error.with_key_id(&wrapped.key_id));
        }
        Ok(made)
    }

    /// The key id of a slot whose intermediate key the inner provider binds again.
    async fn name_when_rebound(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<String, ProviderError> {
        let (slot, own) = self.slot_and_own_context(wrapped, context)?;
        let rebound = self.inner.rebind(&slot.inner, &own, &own).await?;
        Ok(slot::key_id(&rebound))
    }

    /// Takes a slot of an object with this context apart, and makes the context that its intermediate key is bound to.
    fn slot_and_own_context<'a>(
        &self,
        wrapped: &'a WrappedKey,
        context: &EncryptionContext,
    ) -> Result<(Slot<'a>, EncryptionContext), ProviderError> {
        let slot = self
            .parse(wrapped)
            .map_err(|message| wrap::refused(wrapped, &message))?;
        let own = slot.scope.own_context(context).map_err(|missing| {
            let message = format!("its intermediate key is bound to a pair {missing:?}, which the context has not");
            wrap::refused(wrapped, &message)
        })?;
        Ok((slot, own))
    }

    /// Takes a slot apart; the error is what to tell a person.
    fn parse<'a>(&self, wrapped: &'a WrappedKey) -> Result<Slot<'a>, String> {
        let slot = Slot::parse(wrapped).map_err(|error| format!("not a slot of an intermediate key: {error}"))?;
        if slot.inner.provider != self.inner.id() {
            return Err(format!(
                "its intermediate key is one of the provider {}, not {}",
                slot.inner.provider,
                self.inner.id()
            ));
        }
        if let Some(missing) = slot.scope.lacks(&self.required) {
            return Err(format!(
                "its intermediate key is not bound to a pair {missing:?}, which is required here"
            ));
        }
        Ok(slot)
    }

    async fn sealing_key(&self, own: &EncryptionContext) -> Outcome {
        let call = || -> BoxFuture<'static, Outcome> {
            let (inner, own, counters) = (self.inner.clone(), own.clone(), self.counters.clone());
            let made = (self.now)();
            Box::pin(async move {
                counters.generate_calls.fetch_add(1, Ordering::Relaxed);
                let GeneratedKey { data_key, wrapped } = inner.generate(&own).await?;
                Ok(Arc::new(Key::new(data_key, wrapped, made)))
            })
        };
        let limits = self.sealing_limits();
        let id = own.canonical_bytes().map_err(|error| wrap::unbindable(ID, error))?;
        let found = self.sealing.get(&id, &limits, &*self.now, call);
        self.counted(found.await)
    }

    async fn reading_key(&self, wrapped: &WrappedKey, own: &EncryptionContext) -> Outcome {
        let call = || -> BoxFuture<'static, Outcome> {
            let (inner, own, counters) = (self.inner.clone(), own.clone(), self.counters.clone());
            let (wrapped, made) = (wrapped.clone(), (self.now)());
            Box::pin(async move {
                counters.unwrap_calls.fetch_add(1, Ordering::Relaxed);
                let secret = inner.unwrap(&wrapped, &own).await?;
                Ok(Arc::new(Key::new(secret, wrapped, made)))
            })
        };
        let limits = self.reading_limits();
        let id = slot::reading_id(wrapped, own).map_err(|error| wrap::unbindable(ID, error))?;
        let found = self.reading.get(&id, &limits, &*self.now, call);
        self.counted(found.await)
    }

    fn counted(&self, (hit, outcome): (bool, Option<Outcome>)) -> Outcome {
        let counter = if hit {
            &self.counters.hits
        } else {
            &self.counters.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome.unwrap_or_else(|| {
            let message = "the call of another caller panicked";
            Err(ProviderError::new(
                ProviderErrorClass::Unavailable,
                self.inner.id(),
                message,
            ))
        })
    }
}

impl KeyProvider for IntermediateKeys {
    fn id(&self) -> &str {
        ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match self.parse(slot) {
            Ok(slot) => self.inner.matches(&slot.inner),
            Err(reason) => KeyMatch::No(Some(reason)),
        }
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.wrap_now(data_key, context))
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(self.unwrap_now(wrapped, context))
    }

    fn rebind<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.rebind_now(wrapped, from, to))
    }
}

impl fmt::Debug for IntermediateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntermediateKeys")
            .field("inner", &self.inner)
            .field("scope", &self.scope)
            .field("required_scope", &self.required)
            .field("max_age", &self.age)
            .field("max_wraps", &self.wraps)
            .field("max_cached", &self.cached)
            .finish_non_exhaustive()
    }
}

/// What an [`IntermediateKeys`] did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntermediateKeyStats {
    /// Data keys wrapped or unwrapped under a key that was there.
    pub hits: u64,
    /// Those that had to wait for the inner provider, or for a call of another caller's.
    pub misses: u64,
    /// Keys that the inner provider was asked to make.
    pub generate_calls: u64,
    /// Keys that the inner provider was asked to unwrap.
    pub unwrap_calls: u64,
    /// Keys that are kept now, for sealing and for reading.
    pub cached: usize,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    generate_calls: AtomicU64,
    unwrap_calls: AtomicU64,
}
