//! A cache of unlocked objects, for servers that repeatedly read ranges of the same objects.
//!
//! ```text
//! header --SHA-256--> cached?  --yes--> Unlocked
//!                              --no---> one key provider call, shared by all requests that wait --> Unlocked
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::Unlocked;
use crate::cache::{Cache, Entry, Limits, Outcome};
use crate::decrypt::Decryptor;
use crate::error::{Error, Result};
use crate::header::{CopyFault, ObjectHeader};
use crate::keys::BoxFuture;
use crate::sys;

/// Unlocks objects and caches them: requests for an object that was unlocked recently, or that wait for the same key
/// call, cause no further call. Failures are not cached.
///
/// Entries are keyed by the whole header, so a rewrapped object is unlocked again. While an entry is cached, the key
/// service is not called and its log shows no use: a revoked permission takes effect when the entry expires. Entries
/// hold the objects' keys. The next call drops entries that have expired, [`UnlockedCache::clear`] drops all, and keys
/// are wiped when their last user is dropped.
pub struct UnlockedCache {
    decryptor: Decryptor,
    limits: Limits,
    cache: Cache<Unlocked, Error>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
}

impl UnlockedCache {
    /// The default age at which an entry expires: 5 minutes.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(5 * 60);
    /// The default limit on the number of entries.
    pub const DEFAULT_MAX_OBJECTS: usize = 1000;

    /// Creates a cache that unlocks with `decryptor`.
    #[must_use]
    pub fn new(decryptor: Decryptor) -> Self {
        Self {
            decryptor,
            limits: Limits {
                age: Self::DEFAULT_MAX_AGE,
                uses: u64::MAX,
                entries: Self::DEFAULT_MAX_OBJECTS,
            },
            cache: Cache::default(),
            now: Arc::new(sys::clock()),
        }
    }

    /// Sets the age at which an entry expires.
    #[must_use]
    pub const fn with_max_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// Sets the limit on the number of entries. The least recently used entry is evicted. With 0, nothing is cached,
    /// but concurrent requests still share calls.
    #[must_use]
    pub const fn with_max_objects(mut self, objects: usize) -> Self {
        self.limits.entries = objects;
        self
    }

    /// [`Decryptor::unlock_async`], unless the object is cached.
    ///
    /// # Errors
    /// As [`Decryptor::unlock_async`]; every request that waits for a failing call returns its error.
    /// [`Error::Poisoned`] if the request that made the call panicked.
    pub async fn unlock_async(&self, header: impl Into<ObjectHeader>) -> Result<Unlocked> {
        let header = header.into();
        let unlock = || {
            let (decryptor, header) = (self.decryptor.clone(), header.clone());
            async move { decryptor.unlock_async(header).await }
        };
        self.get_or_unlock_async(&id(&header)?, unlock).await
    }

    /// Returns the object that was cached under `id`, as in [`UnlockedCache::get_or_unlock_async`].
    #[must_use]
    pub fn get(&self, id: &[u8]) -> Option<Unlocked> {
        let found = self.cache.cached(id, &self.limits, (self.now)());
        found.map(|entry| entry.value.clone())
    }

    /// Returns the object that was cached under `id`, or unlocks it with `unlock` and caches it. For callers who can
    /// identify an object without its header, or who use several decryptors; this cache's own is not used.
    ///
    /// `id` must identify the object's version and everything that decides whether `unlock` succeeds, such as the
    /// encryption context: whoever passes the same `id` gets the same object.
    ///
    /// # Errors
    /// As `unlock`; every request that waits for a failing call returns its error. [`Error::Poisoned`] if the request
    /// that made the call panicked.
    pub async fn get_or_unlock_async<F>(&self, id: &[u8], unlock: impl Fn() -> F + Send + Sync) -> Result<Unlocked>
    where
        F: Future<Output = Result<Unlocked>> + Send + 'static,
    {
        let call = || -> BoxFuture<'static, Outcome<Unlocked, Error>> {
            let (unlocking, made) = (unlock(), (self.now)());
            Box::pin(async move { Ok(Arc::new(Entry::new(unlocking.await?, made))) })
        };
        let (_, found) = self.cache.get(id, &self.limits, &*self.now, call).await;
        // `None`: the call panicked for the request that made it.
        found.unwrap_or(Err(Error::Poisoned)).map(|entry| entry.value.clone())
    }

    /// [`Decryptor::unlock`], unless the object is cached. Blocks the caller's thread.
    ///
    /// # Errors
    /// As [`UnlockedCache::unlock_async`].
    pub fn unlock(&self, header: impl Into<ObjectHeader>) -> Result<Unlocked> {
        pollster::block_on(self.unlock_async(header))
    }

    /// Drops expired entries; returns how many are left.
    pub fn drop_expired(&self) -> usize {
        self.cache.sweep(&self.limits, (self.now)())
    }

    /// Drops all entries. A call in progress is not cancelled, and its result is cached.
    pub fn clear(&self) {
        self.cache.clear();
    }
}

/// The key of an entry: a hash of the whole header and of where it was stored.
fn id(header: &ObjectHeader) -> Result<Vec<u8>> {
    let mut hash = Sha256::new();
    hash.update(header.payload_start().to_be_bytes());
    for copy in [Some(header.header()), header.stale()].into_iter().flatten() {
        let bytes = copy.to_detached()?;
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    // A caller is shown the faults of the copies that it read, not those of an earlier read.
    let faults = header.faults().each_ref().map(|fault| match fault {
        None => 0,
        Some(CopyFault::Damaged(_)) => 1,
        Some(CopyFault::Stale) => 2,
        Some(CopyFault::DoesNotOpen(_)) => 3,
    });
    hash.update(faults);
    if let Some(prefix) = header.payload_prefix() {
        hash.update(prefix);
    }
    Ok(hash.finalize().to_vec())
}

impl fmt::Debug for UnlockedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnlockedCache")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Encryptor, RawKey};

    #[test]
    fn reads_of_a_header_with_other_faults_are_other_entries() {
        let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
        let object = Encryptor::new(key.clone()).seal(b"it").unwrap();
        let cache = UnlockedCache::new(Decryptor::new(key));
        for (damaged, faults) in [
            (None, [false, false]),
            (Some(100), [true, false]),
            (Some(5000), [false, true]),
        ] {
            let mut object = object.clone();
            if let Some(at) = damaged {
                object[at] ^= 1;
            }
            let unlocked = cache.unlock(Decryptor::read_header(&object).unwrap()).unwrap();
            assert_eq!(
                unlocked.object_header().faults().each_ref().map(Option::is_some),
                faults
            );
        }
        assert_eq!(cache.drop_expired(), 3);
    }

    #[test]
    fn an_entry_expires_at_its_age_and_makes_room_for_another() {
        let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
        let headers = [1, 2, 3].map(|_| {
            let object = Encryptor::new(key.clone()).begin().unwrap();
            object.detach().0
        });
        let clock = Arc::new(Mutex::new(Instant::now()));
        let mut cache = UnlockedCache::new(Decryptor::new(key))
            .with_max_age(Duration::from_secs(10))
            .with_max_objects(2);
        let time = clock.clone();
        cache.now = Arc::new(move || *time.lock().unwrap());
        for header in &headers {
            drop(cache.unlock(header.clone()).unwrap());
        }
        assert_eq!(cache.drop_expired(), 2);
        *clock.lock().unwrap() += Duration::from_secs(9);
        assert_eq!(cache.drop_expired(), 2);
        *clock.lock().unwrap() += Duration::from_secs(1);
        assert_eq!(cache.drop_expired(), 0);
        drop(cache.unlock(headers[0].clone()).unwrap());
        cache.clear();
        assert_eq!(cache.drop_expired(), 0);
    }
}
