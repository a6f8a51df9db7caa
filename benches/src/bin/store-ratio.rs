//! `EncryptedStore` beside what it wraps: over memory against a wrapper that copies every byte and encrypts nothing,
//! because a store in memory copies nothing; on a tmpfs against the bare store. Then small objects and ranges, in
//! microseconds.
//!
//! Built with the feature `stores-http` and called with a bucket's name, it compares over HTTP instead, with an S3 server
//! that the environment names as for AWS's tools (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...).
//!
//! The two sides alternate, and the ratio is computed for each turn.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store_0_14::local::LocalFileSystem;
use object_store_0_14::memory::InMemory;
use object_store_0_14::path::Path;
use object_store_0_14::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, WriteMultipart,
};
use sealstone::{Executor, RawKey};
use sealstone_object_store::v0_14::EncryptedStore;

const LEN: usize = 256 << 20;
const PART: usize = 8 << 20;
const TURNS: usize = 9;
const SMALL: u32 = 4000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let bucket = std::env::args().nth(1);
    runtime.block_on(async {
        if let Some(bucket) = bucket {
            return over_http(&bucket).await;
        }
        over_memory().await;
        over_tmpfs().await;
        small().await;
    });
}

#[cfg(feature = "stores-http")]
async fn over_http(bucket: &str) {
    let client = || {
        let builder = object_store_0_14::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
        builder.with_allow_http(true).build().expect("a client")
    };
    let store = encrypted(client()).await;
    compare("HTTP, against the bare store", &client(), &store).await;
}

#[cfg(not(feature = "stores-http"))]
#[expect(clippy::unused_async, reason = "as with the feature")]
async fn over_http(bucket: &str) {
    eprintln!("a comparison with {bucket} needs the feature `stores-http`");
    std::process::exit(2);
}

async fn encrypted<S: ObjectStore>(store: S) -> EncryptedStore<S> {
    let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
    let executor = Executor::threads(2).expect("threads start");
    let builder = EncryptedStore::builder(key).with_executor(executor);
    builder.probe(store).await.expect("the probe ends")
}

async fn over_memory() {
    let twin = Copying(InMemory::new());
    let store = encrypted(InMemory::new()).await;
    compare("memory, against a copying twin", &twin, &store).await;
}

async fn over_tmpfs() {
    let shm = std::path::Path::new("/dev/shm");
    let place = tempfile::tempdir_in(if shm.is_dir() {
        shm
    } else {
        std::path::Path::new("/tmp")
    });
    let place = place.expect("a directory");
    let on_disk = || LocalFileSystem::new_with_prefix(place.path()).expect("a directory");
    let store = encrypted(on_disk()).await;
    compare("tmpfs, against the bare store", &on_disk(), &store).await;
}

/// The same operations on two stores by turns.
async fn compare(name: &str, bare: &dyn ObjectStore, store: &dyn ObjectStore) {
    let plain = Bytes::from(vec![0x5A; LEN]);
    let sides: [(&dyn ObjectStore, Path); 2] = [(bare, Path::from("bare")), (store, Path::from("store"))];
    let mut turns = [const { Vec::new() }; 3];
    for turn in 0..=TURNS {
        let mut times = [[Duration::ZERO; 2]; 3];
        for (side, (store, path)) in sides.iter().enumerate() {
            times[0][side] = timed(store.put(path, plain.clone().into())).await;
            times[1][side] = timed(multipart(*store, path, &plain)).await;
            times[2][side] = timed(read(*store, path)).await;
        }
        // The first turn warms up.
        if turn > 0 {
            for (all, times) in turns.iter_mut().zip(times) {
                all.push(times);
            }
        }
    }
    for (what, turns) in ["put", "multipart", "get"].into_iter().zip(turns) {
        report(name, what, &turns);
    }
}

async fn multipart(store: &dyn ObjectStore, path: &Path, plain: &Bytes) -> Result<()> {
    let upload = store.put_multipart(path).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
    for start in (0..plain.len()).step_by(PART) {
        writer.wait_for_capacity(4).await?;
        writer.put(plain.slice(start..start + PART));
    }
    writer.finish().await.map(drop)
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Result<()> {
    let mut body = store.get(path).await?.into_stream();
    let mut len = 0;
    while let Some(piece) = body.try_next().await? {
        len += piece.len();
    }
    assert_eq!(len, LEN);
    Ok(())
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Duration {
    let start = Instant::now();
    work.await.expect("a store that works");
    start.elapsed()
}

/// The median ratio of speeds, wrapper to the other, and its range.
fn report(name: &str, what: &str, turns: &[[Duration; 2]]) {
    let mut ratios: Vec<f64> = turns
        .iter()
        .map(|[bare, store]| bare.as_secs_f64() / store.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.len() / 2;
    println!(
        "{name}: {what} {:.2} ({:.2} to {:.2}) of its speed",
        ratios[median],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

/// Objects of 4 KiB, and ranges of 4 KiB of a large one, with warm caches.
async fn small() {
    let store = encrypted(InMemory::new()).await;
    let large = Path::from("large");
    store.put(&large, vec![0x5A; 64 << 20].into()).await.expect("put");
    let plain = Bytes::from(vec![0x5A; 4096]);
    let paths: Vec<_> = (0..100).map(|number| Path::from(format!("small/{number}"))).collect();
    let path = |number: u32| &paths[number as usize % paths.len()];
    let mut each = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        let start = Instant::now();
        for number in 0..SMALL {
            store.put(path(number), plain.clone().into()).await.expect("put");
        }
        each[0].push(start.elapsed());
        for path in &paths {
            store.get(path).await.expect("cached");
        }
        let start = Instant::now();
        for number in 0..SMALL {
            let got = store.get(path(number)).await.expect("got");
            assert_eq!(got.bytes().await.expect("opened").len(), 4096);
        }
        each[1].push(start.elapsed());
        let start = Instant::now();
        for number in 0..SMALL {
            let from = u64::from(number) * 7919 * 4096 % (64 << 20);
            let got = store.get_range(&large, from..from + 4096).await.expect("opened");
            assert_eq!(got.len(), 4096);
        }
        each[2].push(start.elapsed());
    }
    for (what, mut times) in ["put of 4 KiB", "get of 4 KiB", "range of 4 KiB"].into_iter().zip(each) {
        times.sort();
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(SMALL);
        println!(
            "memory: {what} {:.1} us ({:.1} to {:.1})",
            micros(times[TURNS / 2]),
            micros(times[0]),
            micros(times[TURNS - 1])
        );
    }
}

/// A wrapper that copies what it writes and reads.
#[derive(Debug)]
struct Copying(InMemory);

fn copied(bytes: &[Bytes]) -> Bytes {
    let mut copy = BytesMut::with_capacity(bytes.iter().map(Bytes::len).sum());
    bytes.iter().for_each(|bytes| copy.extend_from_slice(bytes));
    copy.freeze()
}

#[derive(Debug)]
struct CopyingUpload(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for CopyingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let buffers: Vec<_> = data.into_iter().collect();
        self.0.put_part(copied(&buffers).into())
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.0.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.0.abort().await
    }
}

#[async_trait]
impl ObjectStore for Copying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let buffers: Vec<_> = payload.into_iter().collect();
        self.0.put_opts(location, copied(&buffers).into(), opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.0.put_multipart_opts(location, opts).await?;
        Ok(Box::new(CopyingUpload(upload)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.0.get_opts(location, options).await?;
        if let GetResultPayload::Stream(body) = got.payload {
            // In pieces, as a client receives a body.
            let pieces = body.flat_map(|bytes| {
                let bytes = bytes.expect("memory does not fail");
                let starts = (0..bytes.len()).step_by(256 * 1024);
                let copies = starts.map(move |start| {
                    let end = bytes.len().min(start + 256 * 1024);
                    Ok(Bytes::copy_from_slice(&bytes[start..end]))
                });
                futures_util::stream::iter(copies)
            });
            got.payload = GetResultPayload::Stream(pieces.boxed());
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Copying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copying")
    }
}
