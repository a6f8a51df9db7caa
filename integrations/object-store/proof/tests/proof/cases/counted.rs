//! A store that counts requests: of its own it makes those that a remote store would make.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::super::object_store::path::Path;
use super::super::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What was asked of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By kind.
    pub(crate) requests: BTreeMap<&'static str, usize>,
    /// Bytes of the bodies that were asked for.
    pub(crate) fetched: u64,
    /// Bytes of each part of uploads, in the order of numbers.
    pub(crate) parts: Vec<usize>,
}

impl Counts {
    pub(crate) fn of(&self, kind: &str) -> usize {
        self.requests.get(kind).copied().unwrap_or(0)
    }
}

/// The store. Clones share counts.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    pub(crate) store: Arc<S>,
    counts: Arc<Mutex<Counts>>,
}

impl<S> Clone for Counted<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            counts: self.counts.clone(),
        }
    }
}

impl<S> Counted<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            counts: Arc::default(),
        }
    }

    /// The counts since the last call.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().unwrap())
    }

    fn note(&self, kind: &'static str) {
        *self.counts.lock().unwrap().requests.entry(kind).or_default() += 1;
    }
}

/// `get_ranges` is the trait's: one `get` for each run of ranges that are near each other, as over S3.
#[async_trait]
impl<S: ObjectStore> ObjectStore for Counted<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.note("put");
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note("multipart");
        let upload = self.store.put_multipart_opts(location, opts).await?;
        let counts = self.counts.clone();
        Ok(Box::new(CountedUpload { upload, counts }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        self.note(if is_head { "head" } else { "get" });
        let result = self.store.get_opts(location, options).await?;
        if !is_head {
            self.counts.lock().unwrap().fetched += result.range.end - result.range.start;
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.note("delete");
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("list");
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("list");
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.note("copy");
        self.store.copy_opts(from, to, options).await
    }
}

impl<S> fmt::Display for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[derive(Debug)]
struct CountedUpload {
    upload: Box<dyn MultipartUpload>,
    counts: Arc<Mutex<Counts>>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut counts = self.counts.lock().unwrap();
        counts.parts.push(data.content_length());
        *counts.requests.entry("part").or_default() += 1;
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        *self.counts.lock().unwrap().requests.entry("complete").or_default() += 1;
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        *self.counts.lock().unwrap().requests.entry("abort").or_default() += 1;
        self.upload.abort().await
    }
}
