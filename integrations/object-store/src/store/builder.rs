//! A store's settings, and what a probe of the inner store finds out.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use sealstone::format::{MAX_METADATA_LEN, METADATA_KEY, is_metadata_key};
use sealstone::{ChunkSize, Decryptor, EncryptionContext, Executor, KeyProvider, Suite, UnlockedCache};

use super::super::object_store::path::Path;
use super::super::object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, Result,
};
use super::errors::{generic, refused};
use super::upload::MIN_PART;
use super::{EncryptedStore, HeaderReplacer};
use crate::config::{Capabilities, Config, HeaderPlace, ServerCopies};
use crate::error::StoreError;
use crate::keys::{KeyPolicy, Keys};

/// Settings of an [`EncryptedStore`].
#[derive(Debug, Clone)]
#[must_use = "`probe` or `build` makes the store"]
pub struct Builder {
    config: Config,
    executor: Option<Executor>,
    replacer: Option<Arc<dyn HeaderReplacer>>,
}

impl Builder {
    pub(super) fn new(keys: Keys) -> Self {
        let config = Config {
            keys: KeyPolicy::new(keys),
            context: EncryptionContext::new(),
            path_key: None,
            chunk_size: ChunkSize::default(),
            suite: Suite::default(),
            executor: Executor::serial(),
            plaintext: Vec::new(),
            equal_parts: None,
            cache_age: UnlockedCache::DEFAULT_MAX_AGE,
            cached_objects: UnlockedCache::DEFAULT_MAX_OBJECTS,
            place: HeaderPlace::Attached,
            copies: ServerCopies::None,
        };
        Self {
            config,
            executor: None,
            replacer: None,
        }
    }

    /// Seals objects for `key` too: each of the keys opens them.
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        let keys = self.config.keys.default_mut();
        *keys = keys.clone().with_key(key);
        self
    }

    /// Opens objects with `key` too, for example those that were sealed before a rotation.
    pub fn with_opening_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        let keys = self.config.keys.default_mut();
        *keys = keys.clone().with_opening_key(key);
        self
    }

    /// Uses other keys for the objects at and under `prefix`. The longest prefix decides; whole path segments are
    /// compared. Copies between prefixes with different rules are opened and sealed again.
    pub fn with_keys_under(mut self, prefix: &Path, keys: Keys) -> Self {
        self.config.keys.add(prefix.as_ref(), keys);
        self
    }

    /// Sets the encryption context of all objects. It is the same wherever an object is, so that it can be copied on the
    /// server. Objects can have more pairs: see [`ObjectContext`](crate::ObjectContext).
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.config.context = context;
        self
    }

    /// Binds every object to its path, as the value of `key` in its encryption context: storage cannot pass one object
    /// for another. Copies and renames are then opened and sealed again, and lose tags.
    pub fn with_path_context(mut self, key: impl Into<String>) -> Self {
        self.config.path_key = Some(key.into());
        self
    }

    /// Sets the chunk size of all objects. Objects with another are refused, but for operations on all objects under a
    /// prefix, such as [`EncryptedStore::verify`].
    pub const fn with_chunk_size(mut self, chunk_size: ChunkSize) -> Self {
        self.config.chunk_size = chunk_size;
        self
    }

    /// Sets the AEAD of new objects.
    pub const fn with_suite(mut self, suite: Suite) -> Self {
        self.config.suite = suite;
        self
    }

    /// Sets where more than 64 KiB are sealed and opened at a time; by default, on a pool that all stores of the process
    /// share, with a thread for each core.
    pub fn with_executor(mut self, executor: Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Passes objects at and under `prefix`, which must not be the root, through as they are: not encrypted, and not
    /// verified. An object that is copied or renamed to such a place is decrypted.
    pub fn with_plaintext_under(mut self, prefix: &Path) -> Self {
        self.config.plaintext.push(prefix.to_string());
        self
    }

    /// Cuts uploads into parts of `len` stored bytes each, at least 5 MiB, for stores that demand equal parts, such as R2.
    pub const fn with_equal_parts(mut self, len: u64) -> Self {
        self.config.equal_parts = Some(len);
        self
    }

    /// Sets how long an object's key is cached after its unwrapping, and of how many objects.
    pub const fn with_cache(mut self, max_age: Duration, max_objects: usize) -> Self {
        self.config.cache_age = max_age;
        self.config.cached_objects = max_objects;
        self
    }

    /// Has [`EncryptedStore::rewrap`] replace headers in metadata in this way, instead of writing each object again.
    pub fn with_header_replacer(mut self, replacer: Arc<dyn HeaderReplacer>) -> Self {
        self.replacer = Some(replacer);
        self
    }

    /// Makes the store, after a probe of `store`: a few small objects are written, copied and deleted under
    /// `.sealstone-probe/`.
    ///
    /// # Errors
    /// Those of `store`. A caller that may only read uses [`Builder::build`].
    pub async fn probe<S: ObjectStore>(self, store: S) -> Result<EncryptedStore<S>> {
        let found = Probe::new(&store)?.run().await?;
        self.build(store, found)
    }

    /// Makes the store, with what [`EncryptedStore::capabilities`] of a probed one has returned.
    ///
    /// # Errors
    /// [`StoreError::Settings`]; if the context is not valid, or threads cannot be started.
    pub fn build<S: ObjectStore>(self, store: S, capabilities: Capabilities) -> Result<EncryptedStore<S>> {
        let settings = |error| refused(StoreError::sealstone("the store's settings", error));
        let mut config = self.config;
        check(&config).map_err(refused)?;
        config.place = capabilities.header_place;
        config.copies = capabilities.server_copies;
        config
            .context("", None)
            .map_err(refused)?
            .validate()
            .map_err(settings)?;
        config.executor = match self.executor {
            Some(executor) => executor,
            None => shared_pool().map_err(settings)?,
        };
        Ok(EncryptedStore {
            store: Arc::new(store),
            unlocked: Arc::new(cache(&config)),
            config: Arc::new(config),
            replacer: self.replacer,
        })
    }
}

/// An empty cache of a store with these settings.
pub(super) fn cache(config: &Config) -> UnlockedCache {
    UnlockedCache::new(Decryptor::new(config.keys.keys("").sealing()[0].clone()))
        .with_max_age(config.cache_age)
        .with_max_objects(config.cached_objects)
}

/// Refuses settings that would do something else than they seem to.
fn check(config: &Config) -> std::result::Result<(), StoreError> {
    let wrong = |reason| Err(StoreError::Settings { reason });
    if config.plaintext.iter().any(String::is_empty) {
        return wrong(
            "a plaintext prefix is the root, so nothing would be encrypted; use the store without the wrapper",
        );
    }
    if config.equal_parts.is_some_and(|len| len < MIN_PART as u64) {
        return wrong("equal parts are shorter than 5 MiB, which stores refuse");
    }
    if config
        .path_key
        .as_ref()
        .is_some_and(|key| config.context.value(key).is_some())
    {
        return wrong("the context already has the key that paths are bound to");
    }
    Ok(())
}

/// A pool for all stores that have none of their own.
fn shared_pool() -> sealstone::Result<Executor> {
    static POOL: Mutex<Option<Executor>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = &*pool {
        return Ok(pool.clone());
    }
    Ok(pool.insert(Executor::threads(0)?).clone())
}

/// Small objects that show what a store does with attributes.
struct Probe<'a, S> {
    store: &'a S,
    /// As long as a header's metadata can be.
    value: String,
    put: Path,
    multipart: Path,
    copied: Path,
    created: Path,
}

impl<'a, S: ObjectStore> Probe<'a, S> {
    fn new(store: &'a S) -> Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| generic(error.to_string()))?;
        let run = random.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let value = run.repeat(MAX_METADATA_LEN / run.len())[..MAX_METADATA_LEN - METADATA_KEY.len()].to_owned();
        let path = |name: &str| Path::from(format!(".sealstone-probe/{run}/{name}"));
        Ok(Self {
            store,
            value,
            put: path("put"),
            multipart: path("multipart"),
            copied: path("copied"),
            created: path("created"),
        })
    }

    async fn run(&self) -> Result<Capabilities> {
        let found = self.find_out().await;
        // Whatever was found, nothing stays. What a store deletes may not exist.
        let paths = [&self.put, &self.multipart, &self.copied, &self.created].map(|path| Ok(path.clone()));
        let mut deleted = self.store.delete_stream(stream::iter(paths).boxed());
        while let Some(deleted) = deleted.next().await {
            if let Err(error) = deleted
                && !matches!(error, Error::NotFound { .. })
                && found.is_ok()
            {
                return Err(error);
            }
        }
        found
    }

    async fn find_out(&self) -> Result<Capabilities> {
        for place in [HeaderPlace::Metadata, HeaderPlace::MetadataIdentifier] {
            let attributes = self.attributes(place);
            if self.put_keeps(&attributes).await? && self.multipart_keeps(attributes).await? {
                return Ok(Capabilities::new(place, self.server_copies().await?));
            }
        }
        Ok(Capabilities::new(HeaderPlace::Attached, ServerCopies::All))
    }

    /// As a header's in this place.
    fn attributes(&self, place: HeaderPlace) -> Attributes {
        let attribute = |key| (Attribute::Metadata(Cow::Borrowed(key)), self.value.clone());
        Attributes::from_iter(place.metadata_key().map(attribute))
    }

    async fn server_copies(&self) -> Result<ServerCopies> {
        self.store.copy(&self.put, &self.copied).await?;
        if !self.keeps(&self.copied).await? {
            return Ok(ServerCopies::None);
        }
        let creates = match self.store.copy_if_not_exists(&self.put, &self.created).await {
            Ok(()) => self.keeps(&self.created).await?,
            // Then the store refuses such copies itself.
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => true,
            Err(error) => return Err(error),
        };
        Ok(if creates {
            ServerCopies::All
        } else {
            ServerCopies::Replacing
        })
    }

    async fn put_keeps(&self, attributes: &Attributes) -> Result<bool> {
        let put = || {
            let options = PutOptions::from(attributes.clone());
            self.store.put_opts(&self.put, "probe".into(), options)
        };
        match put().await {
            Ok(_) => self.keeps(&self.put).await,
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => Ok(false),
            // Azure refuses names with hyphens. Nothing else may pass for that: the same put without attributes must
            // succeed, and with them fail again.
            Err(error) => {
                self.store.put(&self.put, "probe".into()).await?;
                match put().await {
                    Ok(_) => Err(error),
                    Err(_) => Ok(false),
                }
            }
        }
    }

    async fn multipart_keeps(&self, attributes: Attributes) -> Result<bool> {
        let options = PutMultipartOptions::from(attributes);
        let mut upload = match self.store.put_multipart_opts(&self.multipart, options).await {
            Ok(upload) => upload,
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        upload.put_part("probe".into()).await?;
        upload.complete().await?;
        self.keeps(&self.multipart).await
    }

    async fn keeps(&self, path: &Path) -> Result<bool> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = self.store.get_opts(path, options).await?.attributes;
        Ok(found.iter().any(|(attribute, value)| {
            matches!(attribute, Attribute::Metadata(key) if is_metadata_key(key)) && value.as_ref() == self.value
        }))
    }
}
