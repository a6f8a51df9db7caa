//! Memory that an upload of 4 GiB takes, in a process of its own, because the kernel keeps the peak of a process.
//!
//! Run with `MALLOC_MMAP_THRESHOLD_=131072`: otherwise glibc's arenas, one for each thread, keep parts that were freed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, WriteMultipart,
};
use sealstone::RawKey;
use sealstone_object_store::v0_14::EncryptedStore;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
const LEN: u64 = 4 * GIB;
const PART: usize = 8 * MIB;
/// Parts that are sent at a time.
const PARTS: usize = 4;

/// A store that takes its time with what it throws away.
#[derive(Debug, Default)]
struct Discarding {
    taken: Arc<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: AtomicU64,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Debug)]
struct Upload(Arc<Taken>);

fn unsupported<T>() -> Result<T> {
    Err(Error::NotImplemented {
        operation: "all but uploads".to_owned(),
        implementer: "Discarding".to_owned(),
    })
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let taken = self.0.clone();
        Box::pin(async move {
            let in_flight = taken.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            taken.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            taken.bytes.fetch_add(data.content_length() as u64, Ordering::Relaxed);
            taken.in_flight.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Default::default(),
        })
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Discarding {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        unsupported()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload(self.taken.clone())))
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        unsupported()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([unsupported()]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([unsupported()]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unsupported()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unsupported()
    }
}

impl fmt::Display for Discarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discarding")
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a while: tools/reliability/run --full stores"]
async fn an_upload_of_4_gib_takes_the_memory_of_its_parts_in_flight() {
    let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
    let capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::All);
    let store = EncryptedStore::builder(key)
        .build(Discarding::default(), capabilities)
        .unwrap();
    let upload = store.put_multipart(&Path::from("large")).await.unwrap();
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
    // Lengths that fit neither chunks nor parts.
    let piece = vec![0xa5; MIB + 77];
    let mut left = LEN;
    while left > 0 {
        writer.wait_for_capacity(PARTS).await.unwrap();
        let len = usize::try_from(left.min(piece.len() as u64)).unwrap();
        writer.write(&piece[..len]);
        left -= len as u64;
    }
    writer.finish().await.unwrap();

    let taken = &store.inner().taken;
    let bytes = taken.bytes.load(Ordering::Relaxed);
    assert!(bytes > LEN && bytes < LEN + LEN / 500, "{bytes}");
    let most = taken.most_in_flight.load(Ordering::Relaxed);
    assert!(most > 1, "parts were sent one after the other");
    let peak = peak();
    println!(
        "campaign: upload_memory cases=1 peak_mib={} parts_in_flight={most}",
        peak / MIB
    );
    assert!(
        peak <= 64 * MIB + PARTS * PART,
        "{peak} bytes; glibc's allocator keeps freed parts unless MALLOC_MMAP_THRESHOLD_=131072 is set"
    );
}
