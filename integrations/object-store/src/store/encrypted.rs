//! The wrapper: what of it is a store.
//!
//! ```text
//! builder   settings, and a probe of the inner store
//! write, upload       put, multipart
//! read, ranges, body  get, ranges, head
//! sizes of listings   here
//! copy                copy, rename
//! bulk                all objects under a prefix
//! ```

mod body;
mod builder;
mod bulk;
mod copy;
mod errors;
mod header;
mod ranges;
mod read;
mod upload;
mod write;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

pub use self::builder::Builder;
pub use self::bulk::{HeaderReplacer, Outcome};
use self::errors::refused;
use super::object_store::path::Path;
use super::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use crate::config::{Capabilities, Config};
use crate::error::StoreError;
use crate::keys::Keys;

/// A store that encrypts what is written through it into `S`, and verifies what is read.
///
/// Every object has its own data key, which is wrapped by a key provider and stored with the object. Locations, tags and
/// attributes are not encrypted; what storage reports about them, and a listing's sizes, are not verified. Storage can
/// also return an older version of an object, or none, and one object in the place of another under the same keys and
/// context: [`Builder::with_path_context`] prevents that.
///
/// Clones share everything.
pub struct EncryptedStore<S> {
    store: Arc<S>,
    config: Arc<Config>,
    unlocked: Arc<sealstone::UnlockedCache>,
    replacer: Option<Arc<dyn HeaderReplacer>>,
}

impl<S> Clone for EncryptedStore<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            config: self.config.clone(),
            unlocked: self.unlocked.clone(),
            replacer: self.replacer.clone(),
        }
    }
}

impl EncryptedStore<()> {
    /// Settings for a store whose objects are sealed for `key`.
    pub fn builder(key: Arc<dyn sealstone::KeyProvider>) -> Builder {
        Builder::new(Keys::new(key))
    }
}

impl<S> EncryptedStore<S> {
    /// The store inside, which has the ciphertext.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// What the inner store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.config.place, self.config.copies)
    }

    /// Forgets the keys of all objects that were read: the next read of each asks a key provider again. A key call that is
    /// under way ends, and its key is cached.
    pub fn clear_cache(&self) {
        self.unlocked.clear();
    }
}

impl<S: ObjectStore> EncryptedStore<S> {
    /// Replaces the stored length by the plaintext's.
    fn sized(&self, mut meta: ObjectMeta) -> Result<ObjectMeta> {
        if self.config.is_plaintext(meta.location.as_ref()) {
            return Ok(meta);
        }
        meta.size = self.config.sizes().plaintext_len(meta.size).ok_or_else(|| {
            refused(StoreError::Length {
                location: meta.location.to_string(),
                stored_len: meta.size,
            })
        })?;
        Ok(meta)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for EncryptedStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.config.is_plaintext(location.as_ref()) {
            return self.store.put_opts(location, payload, opts).await;
        }
        self.put(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if self.config.is_plaintext(location.as_ref()) {
            return self.store.put_multipart_opts(location, opts).await;
        }
        self.begin_upload(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.config.is_plaintext(location.as_ref()) {
            return self.store.get_opts(location, options).await;
        }
        self.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.config.is_plaintext(location.as_ref()) {
            return self.store.get_ranges(location, ranges).await;
        }
        self.ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    /// Lists objects with the lengths of their plaintexts, without a further request. An item is an error if no object
    /// of this store has the stored length; the items after it follow.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let sized = move |meta| std::future::ready(this.sized(meta));
        self.store.list(prefix).and_then(sized).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let sized = move |meta| std::future::ready(this.sized(meta));
        self.store.list_with_offset(prefix, offset).and_then(sized).boxed()
    }

    /// Lists objects with the lengths of their plaintexts. Fails if no object of this store has one of the stored lengths,
    /// as that of an empty marker of a folder: [`EncryptedStore::inner`] lists and deletes such objects.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.store.list_with_delimiter(prefix).await?;
        let sized: Result<_> = listed.objects.into_iter().map(|meta| self.sized(meta)).collect();
        listed.objects = sized?;
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.copy(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.rename(from, to, options).await
    }
}

impl<S: fmt::Display> fmt::Display for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedStore({})", self.store)
    }
}

impl<S: fmt::Debug> fmt::Debug for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("store", &self.store)
            .field("config", &self.config)
            .field("replacer", &self.replacer)
            .finish_non_exhaustive()
    }
}
