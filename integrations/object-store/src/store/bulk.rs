//! Operations on all objects under a prefix: verify, rewrap, rekey, encrypt in place.
//!
//! ```text
//! list --> each object, a few at a time --> Outcome, in the listing's order
//!     rewrap    header --Rewrap--> header     in metadata, or with the ciphertext, which is written again as it is
//!     rekey     opened, and sealed under a new data key
//!     encrypt   plaintext that has no header, sealed
//! ```
//!
//! A write names the version that was read: an object that another writer has replaced meanwhile is left alone.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sealstone::format::{ATTACHED_LEN, PREFIX_LEN};
use sealstone::rewrap::SlotChoice;
use sealstone::{ChunkSize, Header, ObjectHeader, Rewrap};

use super::super::object_store::path::Path;
use super::super::object_store::{
    Attributes, Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, Result, UpdateVersion,
};
use super::EncryptedStore;
use super::body::failure;
use super::builder::cache;
use super::errors::refused;
use super::header::{START_LEN, take_header, with_header};
use super::read::{check_payload, split};
use super::upload::{part_len, send_all};
use crate::bulk::{BulkOptions, Done};
use crate::config::{Config, HeaderPlace};
use crate::error::StoreError;

/// The largest object that is written in one request, in bytes: only such a request can have a precondition.
const MAX_AT_ONCE: u64 = 64 * 1024 * 1024;

/// What an operation has done to one object, or why it has not.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The object's path.
    pub location: Path,
    /// What was done.
    pub result: Result<Done>,
}

/// Replaces headers in the metadata of objects without moving their data, which `object_store` has no method for. Some
/// stores do that by a copy of the object onto itself: for S3, the feature `aws` has `v0_14::S3HeaderReplacer`.
#[async_trait]
pub trait HeaderReplacer: fmt::Debug + Send + Sync {
    /// Replaces `old`, the header in the metadata of this version of the object, by `new` under the key `key`. `old` may have
    /// another key, of those that [`is_metadata_key`](sealstone::format::is_metadata_key) accepts. Everything else stays.
    ///
    /// # Errors
    /// `Precondition` if it is no longer this version, or no longer this header: an ETag may be that of the data alone, and
    /// another rewrap may have changed the metadata. After `NotSupported` or `NotImplemented`, a rewrap writes the object
    /// again.
    async fn replace_header(&self, object: &ObjectMeta, old: &Header, new: &Header, key: &str) -> Result<()>;
}

impl<S: ObjectStore> EncryptedStore<S> {
    /// Reads and verifies all objects under `prefix`.
    ///
    /// Outcomes come in the listing's order. A failure of the listing itself ends the stream with an error.
    pub fn verify(&self, prefix: Option<&Path>, bulk: &BulkOptions) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, _| async move {
            let mut body = store.get_opts(&meta.location, pinned(&meta)).await?.into_stream();
            let mut plaintext_len = 0;
            while let Some(bytes) = body.try_next().await? {
                plaintext_len += bytes.len() as u64;
            }
            Ok(Done::Verified { plaintext_len })
        })
    }

    /// Wraps the data keys of all objects under `prefix` for the keys that the store seals with, and removes the slots of
    /// its opening keys. Objects that need no change are left as they are, so an interrupted run can be repeated.
    ///
    /// With [`Builder::with_header_replacer`](super::Builder::with_header_replacer), only metadata changes. Otherwise the
    /// ciphertext of each object that changes is read and written again, because the interface of `object_store` cannot
    /// replace metadata. It is not decrypted.
    pub fn rewrap(&self, prefix: Option<&Path>, bulk: &BulkOptions) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            store.rewrap_object(&meta, &bulk).await
        })
    }

    /// Opens all objects under `prefix` and seals them again, each under a new data key.
    pub fn rekey(&self, prefix: Option<&Path>, bulk: &BulkOptions) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            let opened = store.get_opts(&meta.location, pinned(&meta)).await?;
            store.seal_again(opened, &meta, &bulk).await?;
            Ok(Done::Changed)
        })
    }

    /// Encrypts the objects under `prefix` that have no header, whoever wrote them: afterwards nothing tells them from
    /// objects that were written through this store. Those are left as they are, so an interrupted run can be repeated.
    pub fn encrypt_in_place(&self, prefix: Option<&Path>, bulk: &BulkOptions) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            let found = store.store.get_opts(&meta.location, pinned(&meta)).await?;
            let Some(plaintext) = store.without_header(&meta.location, found).await? else {
                return Ok(Done::Unchanged);
            };
            store.seal_again(plaintext, &meta, &bulk).await?;
            Ok(Done::Changed)
        })
    }

    /// Runs `work` on every object under `prefix`, whose stored length is in its `meta`.
    fn each<F>(
        &self,
        prefix: Option<&Path>,
        bulk: &BulkOptions,
        work: impl Fn(Self, ObjectMeta, BulkOptions) -> F + Clone + Send + 'static,
    ) -> BoxStream<'static, Result<Outcome>>
    where
        F: Future<Output = Result<Done>> + Send + 'static,
    {
        let listed = match &bulk.start_after {
            // As it was reported: what is escaped in it stays so.
            Some(location) => match Path::parse(location) {
                Ok(location) => self.store.list_with_offset(prefix, &location),
                Err(error) => return stream::iter([Err(error.into())]).boxed(),
            },
            None => self.store.list(prefix),
        };
        let (store, bulk, prefix) = (self.clone(), bulk.clone(), prefix.cloned());
        let concurrency = bulk.concurrency;
        let started = listed.map(move |meta| {
            let (store, work, bulk, prefix) = (store.clone(), work.clone(), bulk.clone(), prefix.clone());
            async move {
                let meta = meta?;
                let location = meta.location.clone();
                if prefix.is_some_and(|prefix| !is_under(&location, &prefix)) {
                    let result = Err(refused(StoreError::OutsidePrefix {
                        location: location.to_string(),
                    }));
                    return Ok(Outcome { location, result });
                }
                if store.config.is_plaintext(location.as_ref()) {
                    let result = Ok(Done::Skipped);
                    return Ok(Outcome { location, result });
                }
                let mut result = work(store.clone(), meta.clone(), bulk.clone()).await;
                if let Some(chunk_size) = result.as_ref().err().and_then(other_chunk_size) {
                    result = work(store.with_chunk_size(chunk_size), meta, bulk).await;
                }
                Ok(Outcome { location, result })
            }
        });
        started.buffered(concurrency).boxed()
    }

    /// The same store, for an object with this chunk size. Its cache is another: lengths follow from the chunk size, and no
    /// object of another one may get into a store's cache.
    fn with_chunk_size(&self, chunk_size: ChunkSize) -> Self {
        let config = Config {
            chunk_size,
            ..(*self.config).clone()
        };
        Self {
            unlocked: Arc::new(cache(&config)),
            config: Arc::new(config),
            ..self.clone()
        }
    }

    async fn rewrap_object(&self, meta: &ObjectMeta, bulk: &BulkOptions) -> Result<Done> {
        let location = &meta.location;
        let sealstone = |error| refused(StoreError::sealstone(location, error));
        let old = self.stored_header(meta).await?;
        let rewrapped = self.rewrapping(location)?.header_async(&old).await;
        let Some(header) = rewrapped.map_err(sealstone)? else {
            return Ok(Done::Unchanged);
        };
        if let (Some(replacer), Some(key)) = (&self.replacer, self.config.place.metadata_key()) {
            match replacer.replace_header(meta, &old, &header, key).await {
                Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {}
                replaced => return replaced.map(|()| Done::Changed),
            }
        }
        let is_attached = self.config.place == HeaderPlace::Attached;
        let options = GetOptions {
            range: is_attached.then_some(GetRange::Offset(ATTACHED_LEN as u64)),
            ..pinned(meta)
        };
        let (found, mut body) = split(self.store.get_opts(location, options).await?);
        // Storage must not make this write a header in front of another object's payload.
        let prefix = body.take(PREFIX_LEN).await.map_err(|error| failure(location, error))?;
        check_payload(location, &header, prefix.first_chunk())?;
        let (present, attributes) = take_header(&found.attributes);
        if !is_attached && self.parse_header(location, present.as_ref())? != old {
            return Err(refused(StoreError::Changed {
                location: location.to_string(),
            }));
        }
        let (start, attributes) = match self.config.place.metadata_key() {
            Some(key) => (Bytes::new(), with_header(location, attributes, &header, key)?),
            None => (header.to_attached().map_err(sealstone)?.into(), attributes),
        };
        let stored = stream::iter([Ok(start), Ok(prefix)]).chain(body.into_stream(location));
        self.write_stored(stored.boxed(), &read_of(meta, &found), attributes, bulk)
            .await?;
        Ok(Done::Changed)
    }

    /// The header of the version that was listed, without its payload.
    async fn stored_header(&self, meta: &ObjectMeta) -> Result<Header> {
        let location = &meta.location;
        if self.config.place == HeaderPlace::Attached {
            let start = self.fetch_start(location, pinned(meta)).await?.0;
            return Ok(self.parse_attached(location, &start)?.header().clone());
        }
        let options = GetOptions {
            head: true,
            ..pinned(meta)
        };
        let found = self.store.get_opts(location, options).await?;
        self.parse_header(location, take_header(&found.attributes).0.as_ref())
    }

    /// The change that leaves the store's own keys.
    fn rewrapping(&self, location: &Path) -> Result<Rewrap> {
        let context = self.config.context(location.as_ref(), None).map_err(refused)?;
        let rewrap = Rewrap::new(self.config.decryptor(location.as_ref(), context));
        let keys = self.config.keys.keys(location.as_ref());
        let old: Vec<_> = keys.only_opening().iter().cloned().map(SlotChoice::Key).collect();
        let (first, others) = keys.sealing().split_first().expect("a policy has a key for sealing");
        let rewrap = if old.is_empty() {
            rewrap.add_key(first.clone())
        } else {
            rewrap
                .replace(SlotChoice::Any(old), first.clone())
                .add_key(first.clone())
        };
        Ok(others.iter().cloned().fold(rewrap, Rewrap::add_key))
    }

    /// Writes stored bytes in the place of `meta`'s version.
    async fn write_stored(
        &self,
        body: BoxStream<'static, Result<Bytes>>,
        meta: &ObjectMeta,
        attributes: Attributes,
        bulk: &BulkOptions,
    ) -> Result<()> {
        let location = &meta.location;
        if meta.size > MAX_AT_ONCE {
            check_unconditional(meta, bulk)?;
            let options = PutMultipartOptions::from(attributes);
            let mut upload = self.store.put_multipart_opts(location, options).await?;
            return send_all(body, &mut upload, part_len(meta.size)).await.map(drop);
        }
        let options = PutOptions {
            mode: mode(meta, bulk),
            attributes,
            ..PutOptions::default()
        };
        let stored = collect(body, location).await?;
        self.store
            .put_opts(location, PutPayload::from_iter(stored), options)
            .await
            .map(drop)
    }

    /// Seals a plaintext in the place of `meta`'s version.
    async fn seal_again(&self, plaintext: GetResult, meta: &ObjectMeta, bulk: &BulkOptions) -> Result<()> {
        let meta = read_of(meta, &plaintext);
        let location = &meta.location;
        let attributes = plaintext.attributes.clone();
        if meta.size > MAX_AT_ONCE {
            check_unconditional(&meta, bulk)?;
            let options = PutMultipartOptions::from(attributes);
            let mut upload = self.begin_upload(location, options).await?;
            let part_len = part_len(meta.size);
            return send_all(plaintext.into_stream(), &mut upload, part_len).await.map(drop);
        }
        let options = PutOptions {
            mode: mode(&meta, bulk),
            attributes,
            ..PutOptions::default()
        };
        let plaintext = collect(plaintext.into_stream(), location).await?;
        let plaintext = PutPayload::from_iter(plaintext);
        self.put(location, plaintext, options).await.map(drop)
    }

    /// The object as a plaintext, if it is not one of this store's. A damaged header is not taken for plaintext.
    async fn without_header(&self, location: &Path, found: GetResult) -> Result<Option<GetResult>> {
        let (header, _) = take_header(&found.attributes);
        if header.is_some() && self.config.place != HeaderPlace::Attached {
            return self.parse_header(location, header.as_ref()).map(|_| None);
        }
        let (mut found, mut body) = split(found);
        let start = body.take(START_LEN).await;
        let start = start.map_err(|error| failure(location, error))?;
        let parsed = ObjectHeader::parse(&start);
        if let Err(error @ sealstone::Error::NotSealstone { hint: Some(_) }) = parsed {
            return Err(refused(StoreError::sealstone(location, error)));
        }
        if !matches!(parsed, Err(sealstone::Error::NotSealstone { .. })) {
            if self.config.place == HeaderPlace::Attached {
                return self.parse_attached(location, &start).map(|_| None);
            }
            return Err(refused(StoreError::AttachedHeader {
                location: location.to_string(),
            }));
        }
        let all = stream::iter([Ok(start)]).chain(body.into_stream(location));
        found.payload = GetResultPayload::Stream(all.boxed());
        Ok(Some(found))
    }
}

/// The chunk size of an object that was refused because of it.
fn other_chunk_size(error: &Error) -> Option<ChunkSize> {
    let Error::Generic { source, .. } = error else {
        return None;
    };
    let Some(StoreError::OtherChunkSize { found, .. }) = source.downcast_ref() else {
        return None;
    };
    ChunkSize::ALL.into_iter().find(|size| size.bytes() == *found)
}

/// A read of the version that was listed.
fn pinned(meta: &ObjectMeta) -> GetOptions {
    GetOptions {
        if_match: meta.e_tag.clone(),
        version: meta.version.clone(),
        ..GetOptions::default()
    }
}

/// Whether a listing of `prefix` can contain it. Other paths are not worked on: keys and contexts are chosen by the path.
fn is_under(location: &Path, prefix: &Path) -> bool {
    location != prefix && location.prefix_matches(prefix)
}

/// The version that was read, under the path that was listed: the path in a response decides nothing. Some stores report
/// versions, which conditional writes need, in responses to reads only.
fn read_of(listed: &ObjectMeta, read: &GetResult) -> ObjectMeta {
    ObjectMeta {
        location: listed.location.clone(),
        ..read.meta.clone()
    }
}

/// The pieces of a body that fits into one request.
async fn collect(mut body: BoxStream<'static, Result<Bytes>>, location: &Path) -> Result<Vec<Bytes>> {
    let mut pieces = Vec::new();
    let mut len = 0;
    while let Some(piece) = body.try_next().await? {
        len += piece.len() as u64;
        // A header in front of it comes on top.
        if len > MAX_AT_ONCE + ATTACHED_LEN as u64 {
            return Err(refused(StoreError::OtherBytes {
                location: location.to_string(),
            }));
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

/// On the condition that this version is still there.
fn mode(meta: &ObjectMeta, bulk: &BulkOptions) -> PutMode {
    if !bulk.conditional {
        return PutMode::Overwrite;
    }
    PutMode::Update(UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    })
}

/// Refuses what cannot be written on a condition.
fn check_unconditional(meta: &ObjectMeta, bulk: &BulkOptions) -> Result<()> {
    if bulk.conditional && !bulk.large_unconditionally {
        return Err(refused(StoreError::TooLargeToReplace {
            location: meta.location.to_string(),
            limit: MAX_AT_ONCE,
        }));
    }
    Ok(())
}
