//! Operations on all objects under a prefix: verify, rewrap, rekey, encrypt in place.
//!
//! ```text
//! list --> each object, a few at a time --> Outcome, in the listing's order
//!     rewrap    header --Rewrap--> header     the ciphertext is written again, as it is
//!     rekey     opened, and sealed under a new data key
//!     encrypt   plaintext that has no header, sealed
//! ```
//!
//! A write names the version that was read: an object that another writer has replaced meanwhile is left alone.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sealstone::format::{ATTACHED_LEN, MAGIC};
use sealstone::rewrap::SlotChoice;
use sealstone::{Header, Rewrap};

use super::super::object_store::path::Path;
use super::super::object_store::{
    Attributes, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, Result, UpdateVersion,
};
use super::EncryptedStore;
use super::copy::send_all;
use super::errors::refused;
use super::header::take_header;
use crate::bulk::{Bulk, Done};
use crate::config::HeaderPlace;
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

impl<S: ObjectStore> EncryptedStore<S> {
    /// Reads and verifies all objects under `prefix`.
    ///
    /// Outcomes come in the listing's order. A failure of the listing itself ends the stream with an error.
    pub fn verify(&self, prefix: Option<&Path>, bulk: &Bulk) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, _| async move {
            let mut body = store
                .get_opts(&meta.location, GetOptions::default())
                .await?
                .into_stream();
            let mut plaintext_len = 0;
            while let Some(bytes) = body.try_next().await? {
                plaintext_len += bytes.len() as u64;
            }
            Ok(Done::Verified { plaintext_len })
        })
    }

    /// Wraps the data keys of all objects under `prefix` for the keys that the store seals with, and removes the slots of
    /// its opening keys. Objects that are so already are skipped, so that a run that was interrupted can be repeated.
    ///
    /// The interface of `object_store` cannot replace an object's metadata: the ciphertext of each object is read and
    /// written again. It is not decrypted.
    pub fn rewrap(&self, prefix: Option<&Path>, bulk: &Bulk) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            store.rewrap_object(&meta, &bulk).await
        })
    }

    /// Opens all objects under `prefix` and seals them again, each under a new data key.
    pub fn rekey(&self, prefix: Option<&Path>, bulk: &Bulk) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            let opened = store.get_opts(&meta.location, pinned(&meta)).await?;
            store.seal_again(opened, &meta, &bulk).await?;
            Ok(Done::Changed)
        })
    }

    /// Encrypts the objects under `prefix` that have no header, whoever has written them. Objects of this store are
    /// skipped, so that a run that was interrupted can be repeated.
    pub fn encrypt_in_place(&self, prefix: Option<&Path>, bulk: &Bulk) -> BoxStream<'static, Result<Outcome>> {
        self.each(prefix, bulk, |store, meta, bulk| async move {
            let found = store.store.get_opts(&meta.location, pinned(&meta)).await?;
            let Some(plaintext) = store.without_header(found).await? else {
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
        bulk: &Bulk,
        work: impl Fn(Self, ObjectMeta, Bulk) -> F + Send + 'static,
    ) -> BoxStream<'static, Result<Outcome>>
    where
        F: Future<Output = Result<Done>> + Send + 'static,
    {
        let listed = match &bulk.start_after {
            Some(location) => self.store.list_with_offset(prefix, &Path::from(location.as_str())),
            None => self.store.list(prefix),
        };
        let (store, bulk) = (self.clone(), bulk.clone());
        let concurrency = bulk.concurrency;
        let started = listed.map(move |meta| {
            let work = meta.map(|meta| (meta.location.clone(), work(store.clone(), meta, bulk.clone())));
            async move {
                let (location, work) = work?;
                let result = work.await;
                Ok(Outcome { location, result })
            }
        });
        started.buffered(concurrency).boxed()
    }

    async fn rewrap_object(&self, meta: &ObjectMeta, bulk: &Bulk) -> Result<Done> {
        let location = &meta.location;
        let found = self.store.get_opts(location, pinned(meta)).await?;
        let (value, mut attributes) = take_header(&found.attributes);
        let mut body = found.into_stream();
        let header = match self.config.place {
            HeaderPlace::Metadata | HeaderPlace::MetadataIdentifier => self.parse_header(location, value.as_ref())?,
            HeaderPlace::Attached => {
                let (start, rest) = split_start(body, ATTACHED_LEN).await?;
                body = rest;
                self.parse_attached(location, &start)?.header().clone()
            }
        };
        let rewrapped = self.rewrapping(location)?.header_async(&header).await;
        let rewrapped = rewrapped.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        let Some(header) = rewrapped else {
            return Ok(Done::Unchanged);
        };
        match self.config.place.metadata_key() {
            Some(key) => attributes = super::header::with_header(location, attributes, &header, key)?,
            None => {
                let attached = attached(location, &header)?;
                body = stream::iter([Ok(attached)]).chain(body).boxed();
            }
        }
        self.write_stored(body, meta, attributes, bulk).await?;
        Ok(Done::Changed)
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
        bulk: &Bulk,
    ) -> Result<()> {
        let location = &meta.location;
        if meta.size > MAX_AT_ONCE {
            check_unconditional(meta, bulk)?;
            let options = PutMultipartOptions::from(attributes);
            let mut upload = self.store.put_multipart_opts(location, options).await?;
            return send_all(body, &mut upload).await;
        }
        let options = PutOptions {
            mode: mode(meta, bulk),
            attributes,
            ..PutOptions::default()
        };
        let stored: Vec<_> = body.try_collect().await?;
        self.store
            .put_opts(location, PutPayload::from_iter(stored), options)
            .await
            .map(drop)
    }

    /// Seals a plaintext in the place of `meta`'s version.
    async fn seal_again(&self, plaintext: GetResult, meta: &ObjectMeta, bulk: &Bulk) -> Result<()> {
        let location = &meta.location;
        let attributes = plaintext.attributes.clone();
        if plaintext.meta.size > MAX_AT_ONCE {
            check_unconditional(meta, bulk)?;
            let options = PutMultipartOptions::from(attributes);
            let mut upload = self.begin_upload(location, options).await?;
            return send_all(plaintext.into_stream(), &mut upload).await;
        }
        let options = PutOptions {
            mode: mode(meta, bulk),
            attributes,
            ..PutOptions::default()
        };
        let plaintext = plaintext.bytes().await?;
        self.put(location, plaintext.into(), options).await.map(drop)
    }

    /// The object, if it is none of this store's.
    async fn without_header(&self, mut found: GetResult) -> Result<Option<GetResult>> {
        match self.config.place {
            HeaderPlace::Metadata | HeaderPlace::MetadataIdentifier => {
                let (header, _) = take_header(&found.attributes);
                if header.is_some() {
                    self.parse_header(&found.meta.location, header.as_ref())?;
                    return Ok(None);
                }
            }
            HeaderPlace::Attached => {
                let payload = std::mem::replace(&mut found.payload, GetResultPayload::Stream(stream::empty().boxed()));
                let body = super::body::ciphertext(payload, found.range.clone());
                let body = body.map_err(super::errors::generic).boxed();
                let (start, rest) = split_start(body, ATTACHED_LEN).await?;
                if start.starts_with(&MAGIC) {
                    self.parse_attached(&found.meta.location, &start)?;
                    return Ok(None);
                }
                let body = stream::iter([Ok(start)]).chain(rest);
                found.payload = GetResultPayload::Stream(body.boxed());
            }
        }
        Ok(Some(found))
    }
}

/// A read of the version that was listed.
fn pinned(meta: &ObjectMeta) -> GetOptions {
    GetOptions {
        if_match: meta.e_tag.clone(),
        version: meta.version.clone(),
        ..GetOptions::default()
    }
}

fn mode(meta: &ObjectMeta, bulk: &Bulk) -> PutMode {
    if !bulk.conditional {
        return PutMode::Overwrite;
    }
    PutMode::Update(UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    })
}

/// Refuses what cannot be written on a condition.
fn check_unconditional(meta: &ObjectMeta, bulk: &Bulk) -> Result<()> {
    if bulk.conditional {
        return Err(refused(StoreError::TooLargeToReplace {
            location: meta.location.to_string(),
            limit: MAX_AT_ONCE,
        }));
    }
    Ok(())
}

fn attached(location: &Path, header: &Header) -> Result<Bytes> {
    let bytes = header.to_attached();
    bytes
        .map(Bytes::from)
        .map_err(|error| refused(StoreError::sealstone(location, error)))
}

/// Splits the first `len` bytes off a stream, or all if there are fewer.
async fn split_start(
    mut body: BoxStream<'static, Result<Bytes>>,
    len: usize,
) -> Result<(Bytes, BoxStream<'static, Result<Bytes>>)> {
    let mut start = Vec::with_capacity(len);
    let mut rest = Bytes::new();
    while start.len() < len {
        let Some(mut item) = body.try_next().await? else { break };
        let missing = (len - start.len()).min(item.len());
        start.extend_from_slice(&item.split_to(missing));
        rest = item;
    }
    Ok((start.into(), stream::iter([Ok(rest)]).chain(body).boxed()))
}
