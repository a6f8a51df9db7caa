//! A store in memory that records requests and has faults.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::object_store::memory::InMemory;
use super::super::object_store::path::Path;
use super::super::object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Copies that must not replace anything lose their attributes, as with `S3CopyIfNotExists::Multipart`.
    CreatingCopiesDropAttributes,
    /// Bodies end in an error after this many bytes.
    BodyFails(u64),
    /// Bodies end after this many bytes, as if that were all.
    BodyEnds(u64),
    /// Bodies come in pieces of this length.
    Pieces(usize),
    /// The object is replaced before every request but the first of each call.
    Replaced,
    /// `head` and `get` report this length too much.
    LongerBy(u64),
    /// Metadata with hyphens in its name is refused, as by Azure.
    RefusesHyphens,
    /// No ETags.
    NoETags,
    /// Listings name all objects, whatever the prefix.
    ListsAll,
    /// Reads report a version, without which there are no conditional writes: as Google Cloud Storage.
    NeedsVersion,
    /// From the second request on, this version is there, under the same ETag, or none.
    OtherVersion(&'static str, bool),
    /// Every object is reported as that at this path.
    Location(&'static str),
    /// Bodies are reported to be this range.
    Range(u64, u64),
    /// Bodies never end.
    Endless,
    /// The same, and they are reported to be as long.
    EndlessRange,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<String>,
    fetched: u64,
    fault: Option<Fault>,
}

/// The store.
#[derive(Debug, Clone, Default)]
pub(super) struct Wrapped {
    pub(super) memory: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

impl Wrapped {
    pub(super) fn with_fault(self, fault: Fault) -> Self {
        self.set_fault(Some(fault));
        self
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().unwrap().fault = fault;
    }

    fn fault(&self) -> Option<Fault> {
        self.state.lock().unwrap().fault
    }

    /// The requests since the last call, and the bytes of bodies that they returned.
    pub(super) fn take_requests(&self) -> (Vec<String>, u64) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.requests), std::mem::take(&mut state.fetched))
    }

    fn note(&self, request: impl Into<String>) {
        self.state.lock().unwrap().requests.push(request.into());
    }

    /// What is stored at `path`.
    pub(super) async fn stored(&self, path: &Path) -> (Bytes, Attributes) {
        let found = self.memory.get(path).await.unwrap();
        let attributes = found.attributes.clone();
        (found.bytes().await.unwrap(), attributes)
    }

    /// Replaces what is stored at `path`.
    pub(super) async fn store(&self, path: &Path, bytes: impl Into<Bytes>, attributes: Attributes) {
        let options = PutOptions::from(attributes);
        self.memory.put_opts(path, bytes.into().into(), options).await.unwrap();
    }

    async fn get_faulty(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.fault();
        if fault == Some(Fault::Replaced) && options.if_match.is_some() {
            let (bytes, attributes) = self.stored(location).await;
            self.store(location, bytes, attributes).await;
        }
        let is_head = options.head;
        let count = self.state.lock().unwrap().requests.len();
        let location = &match fault {
            Some(Fault::OtherVersion(other, _)) if count > 1 => Path::from(other),
            _ => location.clone(),
        };
        let mut result = self.memory.get_opts(location, options).await?;
        if !is_head {
            self.state.lock().unwrap().fetched += result.range.end - result.range.start;
        }
        match fault {
            Some(Fault::LongerBy(bytes)) => result.meta.size += bytes,
            Some(Fault::NoETags | Fault::OtherVersion(_, false)) => result.meta.e_tag = None,
            Some(Fault::OtherVersion(_, true)) => result.meta.e_tag = Some("\"same\"".to_owned()),
            Some(Fault::Location(other)) => result.meta.location = Path::from(other),
            _ => {}
        }
        let meta = result.meta.clone();
        let (range, attributes) = (result.range.clone(), result.attributes.clone());
        let mut other = self
            .memory
            .get_opts(
                location,
                GetOptions {
                    head: true,
                    ..GetOptions::default()
                },
            )
            .await?;
        (other.meta, other.range, other.attributes) = (meta, range, attributes);
        let body = result.bytes().await?;
        other.payload = GetResultPayload::Stream(faulty_body(body, fault));
        if let Some(Fault::Range(start, end)) = fault {
            other.range = start..end;
        }
        if fault == Some(Fault::EndlessRange) {
            other.range.end = 1 << 62;
        }
        Ok(other)
    }
}

fn faulty_body(body: Bytes, fault: Option<Fault>) -> BoxStream<'static, Result<Bytes>> {
    let cut = |len: u64| body.slice(..usize::try_from(len).unwrap().min(body.len()));
    match fault {
        Some(Fault::BodyFails(len)) if len < body.len() as u64 => {
            let failure = Error::Generic {
                store: "Wrapped",
                source: "the connection was reset".into(),
            };
            stream::iter([Ok(cut(len)), Err(failure)]).boxed()
        }
        Some(Fault::BodyEnds(len)) => stream::iter([Ok(cut(len))]).boxed(),
        Some(Fault::Pieces(len)) => {
            let pieces: Vec<_> = body.chunks(len).map(|piece| Ok(body.slice_ref(piece))).collect();
            stream::iter(pieces).boxed()
        }
        Some(Fault::Endless | Fault::EndlessRange) => {
            let more = stream::repeat_with(|| Ok(Bytes::from(vec![0; 100_000])));
            stream::iter([Ok(body)]).chain(more).boxed()
        }
        _ => stream::iter([Ok(body)]).boxed(),
    }
}

/// An upload that records what becomes of it.
#[derive(Debug)]
struct WrappedUpload {
    upload: Box<dyn MultipartUpload>,
    store: Wrapped,
}

#[async_trait]
impl MultipartUpload for WrappedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.note("complete");
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.note("abort");
        self.upload.abort().await
    }
}

#[async_trait]
impl ObjectStore for Wrapped {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.note("put");
        let is_refused = |attribute: &Attribute| matches!(attribute, Attribute::Metadata(key) if key.contains('-'));
        if self.fault() == Some(Fault::RefusesHyphens) && opts.attributes.iter().any(|(key, _)| is_refused(key)) {
            return Err(Error::Generic {
                store: "Wrapped",
                source: "400: the metadata name is not a valid identifier".into(),
            });
        }
        let without_version = |mode: &PutMode| matches!(mode, PutMode::Update(on) if on.version.is_none());
        if self.fault() == Some(Fault::NeedsVersion) && without_version(&opts.mode) {
            return Err(Error::Generic {
                store: "Wrapped",
                source: "a version is required for conditional writes".into(),
            });
        }
        self.memory.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note("multipart");
        Ok(Box::new(WrappedUpload {
            upload: self.memory.put_multipart_opts(location, opts).await?,
            store: self.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.note(if options.head { "head" } else { "get" });
        let mut found = self.get_faulty(location, options).await?;
        if self.fault() == Some(Fault::NeedsVersion) {
            found.meta.version.clone_from(&found.meta.e_tag);
        }
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.note("ranges");
        self.memory.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.memory.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("list");
        let prefix = prefix.filter(|_| self.fault() != Some(Fault::ListsAll));
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("list");
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.note("copy");
        let creates = options.mode == CopyMode::Create;
        self.memory.copy_opts(from, to, options).await?;
        if creates && self.fault() == Some(Fault::CreatingCopiesDropAttributes) {
            let (bytes, _) = self.stored(to).await;
            self.store(to, bytes, Attributes::new()).await;
        }
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.note("rename");
        self.memory.rename_opts(from, to, options).await
    }
}

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapped")
    }
}

/// All of the paths in the store.
pub(super) async fn paths(store: &dyn ObjectStore) -> Vec<Path> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    listed.into_iter().map(|meta| meta.location).collect()
}
