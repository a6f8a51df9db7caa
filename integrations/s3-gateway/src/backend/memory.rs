//! A store in memory, for tests: what a restart forgets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream;

use super::listing::Listing;
use super::{
    Attributes, Backend, BackendError, Body, Condition, ListPage, ListRequest, ListedObject, Location, StoredBytes,
    StoredObject, StoredRange, StoredUpload, Tags, UploadedPart,
};

/// A [`Backend`] in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    uploads: BTreeMap<String, Upload>,
    versions: u64,
}

#[derive(Debug)]
struct Bucket {
    created: SystemTime,
    objects: BTreeMap<String, Object>,
}

#[derive(Debug, Clone)]
struct Object {
    stored: StoredObject,
    payload: Bytes,
    tags: Tags,
}

#[derive(Debug)]
struct Upload {
    at: Location,
    began: SystemTime,
    attributes: Attributes,
    tags: Tags,
    parts: BTreeMap<u16, (String, Bytes)>,
}

impl State {
    fn bucket(&mut self, bucket: &str) -> Result<&mut Bucket, BackendError> {
        self.buckets.get_mut(bucket).ok_or(BackendError::NoSuchBucket)
    }

    fn object(&mut self, at: &Location) -> Result<&mut Object, BackendError> {
        let objects = &mut self.bucket(&at.bucket)?.objects;
        objects.get_mut(&at.key).ok_or(BackendError::NoSuchKey)
    }

    fn version(&mut self, at: &Location, etag: Option<&str>) -> Result<&mut Object, BackendError> {
        let object = self.object(at)?;
        if etag.is_some_and(|etag| etag != object.stored.etag) {
            return Err(BackendError::Precondition);
        }
        Ok(object)
    }

    fn upload(&mut self, at: &Location, upload: &str) -> Result<&mut Upload, BackendError> {
        let found = self.uploads.get_mut(upload).filter(|upload| upload.at == *at);
        found.ok_or(BackendError::NoSuchUpload)
    }

    fn check(&mut self, at: &Location, condition: &Condition) -> Result<(), BackendError> {
        let objects = &self.bucket(&at.bucket)?.objects;
        let current = objects.get(&at.key).map(|object| &object.stored.etag);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => current.is_none(),
            Condition::Match(etag) => match current {
                None => return Err(BackendError::NoSuchKey),
                Some(current) => current == etag,
            },
        };
        holds.then_some(()).ok_or(BackendError::Precondition)
    }

    fn next_id(&mut self) -> String {
        self.versions += 1;
        format!("{:032x}", self.versions)
    }

    fn store(
        &mut self,
        at: &Location,
        payload: Bytes,
        attributes: Attributes,
        tags: Tags,
        condition: &Condition,
    ) -> Result<String, BackendError> {
        self.check(at, condition)?;
        let etag = self.next_id();
        let stored = StoredObject {
            etag: etag.clone(),
            len: payload.len() as u64,
            modified: SystemTime::now(),
            attributes,
        };
        let object = Object { stored, payload, tags };
        self.bucket(&at.bucket)?.objects.insert(at.key.clone(), object);
        Ok(etag)
    }
}

impl MemoryBackend {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn collect(mut body: Body) -> Result<Bytes, BackendError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.bytes.next().await {
        bytes.extend_from_slice(&piece.map_err(BackendError::Body)?);
    }
    if bytes.len() as u64 != body.len {
        return Err(BackendError::Body(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes.freeze())
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        let state = self.state();
        let buckets = state.buckets.iter();
        Ok(buckets.map(|(name, bucket)| (name.clone(), bucket.created)).collect())
    }

    async fn create_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let mut state = self.state();
        if state.buckets.contains_key(bucket) {
            return Err(BackendError::BucketExists);
        }
        let created = Bucket {
            created: SystemTime::now(),
            objects: BTreeMap::new(),
        };
        state.buckets.insert(bucket.to_owned(), created);
        Ok(())
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let mut state = self.state();
        if !state.bucket(bucket)?.objects.is_empty() {
            return Err(BackendError::BucketNotEmpty);
        }
        state.buckets.remove(bucket);
        Ok(())
    }

    async fn head_bucket(&self, bucket: &str) -> Result<Option<SystemTime>, BackendError> {
        Ok(Some(self.state().bucket(bucket)?.created))
    }

    async fn put(
        &self,
        at: &Location,
        body: Body,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.state().check(at, &condition)?;
        let payload = collect(body).await?;
        self.state().store(at, payload, attributes, tags, &condition)
    }

    async fn head(&self, at: &Location) -> Result<StoredObject, BackendError> {
        Ok(self.state().object(at)?.stored.clone())
    }

    async fn get(&self, at: &Location, range: StoredRange, etag: Option<&str>) -> Result<StoredBytes, BackendError> {
        let object = self.state().version(at, etag)?.clone();
        let len = object.stored.len;
        let range = range.within(len);
        let index = |at: u64| usize::try_from(at).unwrap_or(object.payload.len());
        let bytes = object.payload.slice(index(range.start)..index(range.end));
        Ok(StoredBytes {
            object: object.stored,
            range,
            bytes: stream::once(async { Ok(bytes) }).boxed(),
        })
    }

    async fn delete(&self, at: &Location, condition: Condition) -> Result<(), BackendError> {
        let mut state = self.state();
        state.check(at, &condition)?;
        state.bucket(&at.bucket)?.objects.remove(&at.key);
        Ok(())
    }

    async fn copy(
        &self,
        from: &Location,
        etag: &str,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let mut state = self.state();
        let source = state.version(from, Some(etag))?.clone();
        let tags = tags.unwrap_or(source.tags);
        if from == to {
            state.check(to, &condition)?;
            let object = state.object(to)?;
            object.stored.attributes = attributes;
            object.stored.modified = SystemTime::now();
            object.tags = tags;
            return Ok(etag.to_owned());
        }
        state.store(to, source.payload, attributes, tags, &condition)
    }

    async fn list(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        let mut state = self.state();
        let objects = &state.bucket(bucket)?.objects;
        let mut listing = Listing::new(request);
        let keys = objects.range(listing.begins_at().to_owned()..);
        for (key, object) in keys.take_while(|(key, _)| key.starts_with(&request.prefix)) {
            let listed = || {
                Ok(Some(ListedObject {
                    key: key.clone(),
                    etag: object.stored.etag.clone(),
                    len: object.stored.len,
                    modified: object.stored.modified,
                }))
            };
            if listing.wants(key) && listing.push(key, listed)?.is_break() {
                break;
            }
        }
        Ok(listing.finish())
    }

    async fn tags(&self, at: &Location) -> Result<Tags, BackendError> {
        Ok(self.state().object(at)?.tags.clone())
    }

    async fn set_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError> {
        self.state().object(at)?.tags = tags;
        Ok(())
    }

    async fn create_upload(&self, at: &Location, attributes: Attributes, tags: Tags) -> Result<String, BackendError> {
        let mut state = self.state();
        state.bucket(&at.bucket)?;
        let id = state.next_id();
        let upload = Upload {
            at: at.clone(),
            began: SystemTime::now(),
            attributes,
            tags,
            parts: BTreeMap::new(),
        };
        state.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    async fn put_part(&self, at: &Location, upload: &str, number: u16, body: Body) -> Result<String, BackendError> {
        let payload = collect(body).await?;
        let mut state = self.state();
        let etag = state.next_id();
        let parts = &mut state.upload(at, upload)?.parts;
        parts.insert(number, (etag.clone(), payload));
        Ok(etag)
    }

    async fn complete_upload(
        &self,
        at: &Location,
        upload: &str,
        parts: &[UploadedPart],
        condition: Condition,
    ) -> Result<String, BackendError> {
        let mut state = self.state();
        let found = state.upload(at, upload)?;
        let mut payload = BytesMut::new();
        for part in parts {
            match found.parts.get(&part.number) {
                Some((etag, bytes)) if *etag == part.etag => payload.extend_from_slice(bytes),
                _ => return Err(BackendError::InvalidPart),
            }
        }
        let (attributes, tags) = (found.attributes.clone(), found.tags.clone());
        let etag = state.store(at, payload.freeze(), attributes, tags, &condition)?;
        state.uploads.remove(upload);
        Ok(etag)
    }

    async fn abort_upload(&self, at: &Location, upload: &str) -> Result<(), BackendError> {
        let mut state = self.state();
        state.upload(at, upload)?;
        state.uploads.remove(upload);
        Ok(())
    }

    async fn uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        let mut state = self.state();
        state.bucket(bucket)?;
        let uploads = state.uploads.iter().filter(|(_, upload)| upload.at.bucket == bucket);
        let stored = uploads.map(|(id, upload)| StoredUpload {
            key: upload.at.key.clone(),
            id: id.clone(),
            began: upload.began,
        });
        Ok(stored.collect())
    }
}
