//! Keys between a key service and the data keys of many objects, like S3's bucket keys.
//!
//! ```text
//! inner provider --one call--> intermediate key, bound to a few pairs of the objects' context (e.g. the bucket)
//!     intermediate key --here, many times--> data keys, each bound to its object's whole context
//! ```
//!
//! A slot holds both wraps; the module `slot` describes its bytes.

mod slot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::slot::{Scope, Slot};
use super::{BoxFuture, GeneratedKey, KeyMatch, KeyProvider, wrap};
use crate::cache::{Cache, Entry, Limits, Outcome};
use crate::context::EncryptionContext;
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::registry;
use crate::sys;

const ID: &str = IntermediateKeys::ID;

/// An intermediate key in plaintext. Wiped when the last user drops it.
struct Key {
    secret: DataKey,
    /// The same key, wrapped by the inner provider.
    inner: WrappedKey,
}

type Found = Outcome<Key, ProviderError>;

/// Wraps data keys under intermediate keys. Another provider generates each intermediate key, one for very many
/// objects, so that a key service is called a few times instead of once per object.
///
/// The inner provider binds each intermediate key to the *scope*: some pairs of the objects' context, such as the
/// bucket. Its policies on contexts therefore also apply to intermediate keys. Each data key is bound to the whole
/// context of its object.
///
/// Fewer calls have a price: the key service's log shows one call for many objects, and a revoked permission takes
/// effect only when the cached keys expire. Concurrent calls for one key share one call to the inner provider; if that
/// fails, all of them return its error, and the next call tries again.
///
/// Keys in memory are wiped when they are dropped. An expired key is dropped by the next call of any method, or by
/// [`drop_expired`](Self::drop_expired).
pub struct IntermediateKeys {
    inner: Arc<dyn KeyProvider>,
    scope: Scope,
    /// Context keys that a slot's scope must include.
    required: Scope,
    age: Duration,
    wraps: u64,
    cached: usize,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// Keys that wrap new data keys, by their own context.
    sealing: Cache<Key, ProviderError>,
    /// Keys that unwrap, by their wrapped form and own context. Kept apart: permission to seal is not permission to
    /// read.
    reading: Cache<Key, ProviderError>,
    counters: Arc<Counters>,
}

impl IntermediateKeys {
    /// The provider id of intermediate keys.
    pub const ID: &'static str = registry::INTERMEDIATE;
    /// How long a cached key is used before the inner provider is called again.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
    /// How many data keys one intermediate key wraps.
    pub const DEFAULT_MAX_WRAPS: u64 = 1 << 20;
    /// How many keys are cached for reading, and as many again for sealing.
    pub const DEFAULT_MAX_CACHED: usize = 1024;

    /// Creates a provider with keys that `inner` generates: one for each combination of values that the objects'
    /// contexts have for the keys in `scope`. With an empty scope, one intermediate key serves all objects.
    ///
    /// When reading, the scope that a slot names must include all of these keys: for an intermediate key with a
    /// narrower scope, the inner provider did not check the remaining pairs. To read slots written with an earlier,
    /// narrower scope, use [`with_required_scope`](Self::with_required_scope).
    ///
    /// # Errors
    /// Class `Configuration` for a scope that no slot can hold (over 255 keys, an empty or overlong key, or the
    /// reserved `sealstone:key`), and if `inner` is a provider of passphrases or of intermediate keys.
    pub fn new(
        inner: Arc<dyn KeyProvider>,
        scope: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ProviderError> {
        if [registry::PASSPHRASE, ID].contains(&inner.id()) {
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

    /// Accepts slots whose scope includes these keys of the objects' context, instead of those passed to [`new`](Self::new),
    /// which remain the scope of new slots. Without keys, slots of every scope are accepted.
    #[must_use]
    pub fn with_required_scope(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.required = Scope::required(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Sets how long a cached key is used before the inner provider is called again. With zero, only concurrent calls
    /// share a key.
    #[must_use]
    pub const fn with_max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Sets how many data keys one intermediate key wraps before the next one is generated; at least 1.
    #[must_use]
    pub const fn with_max_wraps(mut self, wraps: u64) -> Self {
        self.wraps = if wraps == 0 { 1 } else { wraps };
        self
    }

    /// Sets how many keys are cached for reading, and as many again for sealing. The least recently used key is
    /// evicted.
    #[must_use]
    pub const fn with_max_cached(mut self, keys: usize) -> Self {
        self.cached = keys;
        self
    }

    /// Sets the clock that measures ages, for tests. The default on Linux keeps running while the machine is suspended.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// Statistics of the cache so far.
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

    /// Drops and wipes expired keys, and returns how many are left. Any other call does this too; call it in processes
    /// that may be idle for a long time.
    pub fn drop_expired(&self) -> usize {
        let now = (self.now)();
        self.sealing.sweep(&self.sealing_limits(), now) + self.reading.sweep(&self.reading_limits(), now)
    }

    const fn sealing_limits(&self) -> Limits {
        Limits {
            age: self.age,
            uses: self.wraps,
            entries: self.cached,
        }
    }

    const fn reading_limits(&self) -> Limits {
        Limits {
            uses: u64::MAX,
            ..self.sealing_limits()
        }
    }

    /// The provider that wraps the intermediate keys.
    #[must_use]
    pub fn inner(&self) -> &dyn KeyProvider {
        self.inner.as_ref()
    }

    async fn wrap_now(&self, data_key: &DataKey, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
        let own = self.scope.own_context(context).map_err(|missing| {
            let message =
                format!("the object's context lacks the pair {missing:?}, which the intermediate keys' scope requires");
            ProviderError::new(ProviderErrorClass::Configuration, ID, message)
        })?;
        let key = self.sealing_key(&own).await?;
        let key_id = slot::key_id(&key.value.inner);
        let head = slot::head(&self.scope, &key.value.inner);
        let head = head.map_err(|error| wrap::unbindable(ID, error))?;
        let aad = slot::aad(ID, &key_id, &head, context).map_err(|error| wrap::unbindable(ID, error))?;
        let local = wrap::seal_data_key(key.value.secret.as_secret(), ID, &aad, data_key)?;
        Ok(slot::join(&key_id, head, &local))
    }

    async fn unwrap_now(&self, wrapped: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let (slot, own) = self.slot_and_own_context(wrapped, context)?;
        let aad = slot::aad(&wrapped.provider, &wrapped.key_id, slot.head, context);
        let aad = aad.map_err(|error| wrap::unbindable(ID, error))?;
        let key = self.reading_key(&slot.inner, &own).await?;
        wrap::open_data_key(key.value.secret.as_secret(), &aad, slot.local)
            .ok_or_else(|| wrap::refused(wrapped, wrap::ALTERED_OR_OTHER_CONTEXT))
    }

    /// The inner provider may have several keys. The new intermediate key must be wrapped under the slot's key or a
    /// newer version of it.
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
                "its intermediate key was wrapped by {}, but new ones are wrapped by {}: use the former to bind it",
                wrapped.key_id, made.key_id
            );
            let error = ProviderError::new(ProviderErrorClass::Configuration, ID, message);
            return Err(error.with_key_id(&wrapped.key_id));
        }
        Ok(made)
    }

    /// The key id that a slot has after the inner provider rebinds its intermediate key.
    async fn name_when_rebound(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<String, ProviderError> {
        let (slot, own) = self.slot_and_own_context(wrapped, context)?;
        let rebound = self.inner.rebind_key(&slot.inner, &own, &own).await?;
        Ok(slot::key_id(&rebound))
    }

    /// Parses a slot of an object with this context, and derives the context that the slot's intermediate key is bound
    /// to.
    fn slot_and_own_context<'a>(
        &self,
        wrapped: &'a WrappedKey,
        context: &EncryptionContext,
    ) -> Result<(Slot<'a>, EncryptionContext), ProviderError> {
        let slot = self
            .parse(wrapped)
            .map_err(|message| wrap::refused(wrapped, &message))?;
        let own = slot.scope.own_context(context).map_err(|missing| {
            let message = format!("its intermediate key is bound to a pair {missing:?}, which the context lacks");
            wrap::refused(wrapped, &message)
        })?;
        Ok((slot, own))
    }

    /// Parses a slot; the error is a human-readable reason.
    fn parse<'a>(&self, wrapped: &'a WrappedKey) -> Result<Slot<'a>, String> {
        let slot = Slot::parse(wrapped).map_err(|error| format!("not a slot of an intermediate key: {error}"))?;
        if slot.inner.provider != self.inner.id() {
            return Err(format!(
                "its intermediate key was wrapped by the provider {}, not by {}",
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

    async fn sealing_key(&self, own: &EncryptionContext) -> Found {
        let call = || -> BoxFuture<'static, Found> {
            let (inner, own, counters) = (self.inner.clone(), own.clone(), self.counters.clone());
            let made = (self.now)();
            Box::pin(async move {
                counters.generate_calls.fetch_add(1, Ordering::Relaxed);
                let GeneratedKey { data_key, wrapped } = inner.generate_key(&own).await?;
                Ok(Arc::new(Entry::new(
                    Key {
                        secret: data_key,
                        inner: wrapped,
                    },
                    made,
                )))
            })
        };
        let limits = self.sealing_limits();
        let id = own.canonical_bytes().map_err(|error| wrap::unbindable(ID, error))?;
        let found = self.sealing.get(&id, &limits, &*self.now, call);
        self.counted(found.await)
    }

    async fn reading_key(&self, wrapped: &WrappedKey, own: &EncryptionContext) -> Found {
        let call = || -> BoxFuture<'static, Found> {
            let (inner, own, counters) = (self.inner.clone(), own.clone(), self.counters.clone());
            let (wrapped, made) = (wrapped.clone(), (self.now)());
            Box::pin(async move {
                counters.unwrap_calls.fetch_add(1, Ordering::Relaxed);
                let secret = inner.unwrap_key(&wrapped, &own).await?;
                Ok(Arc::new(Entry::new(Key { secret, inner: wrapped }, made)))
            })
        };
        let limits = self.reading_limits();
        let id = slot::reading_id(wrapped, own).map_err(|error| wrap::unbindable(ID, error))?;
        let found = self.reading.get(&id, &limits, &*self.now, call);
        self.counted(found.await)
    }

    fn counted(&self, (hit, outcome): (bool, Option<Found>)) -> Found {
        let counter = if hit {
            &self.counters.hits
        } else {
            &self.counters.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome.unwrap_or_else(|| {
            let message = "another caller's call for the same key panicked";
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

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.wrap_now(data_key, context))
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(self.unwrap_now(wrapped, context))
    }

    fn rebind_key<'a>(
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

/// Statistics of an [`IntermediateKeys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntermediateKeyStats {
    /// Data keys wrapped or unwrapped under a cached key.
    pub hits: u64,
    /// Data keys that had to wait for the inner provider, or for another caller's call to it.
    pub misses: u64,
    /// Calls to the inner provider to generate a key.
    pub generate_calls: u64,
    /// Calls to the inner provider to unwrap a key.
    pub unwrap_calls: u64,
    /// Keys in the cache now, for sealing and for reading.
    pub cached: usize,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    generate_calls: AtomicU64,
    unwrap_calls: AtomicU64,
}
