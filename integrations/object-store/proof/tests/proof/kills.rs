//! Uploads in parts and reads while nodes of the store's cluster are killed: what was acknowledged is there afterwards,
//! and what is returned meanwhile is right.
//!
//! `tools/stores/garage.py` has the nodes. It writes a line to the standard input of this program after each kill, and
//! closes it when all nodes are back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealstone_object_store::v0_14::EncryptedStore;

use crate::common::{METADATA, Server, key, plaintext};
use crate::v0_14::cases::s3_builder_of;
use crate::v0_14::object_store::aws::AmazonS3;
use crate::v0_14::object_store::path::Path;
use crate::v0_14::object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, Result, RetryConfig, WriteMultipart,
};

const MIB: usize = 1024 * 1024;
const WRITERS: usize = 2;
const READERS: usize = 4;
/// Of an object. All have more than one part.
const LENGTHS: Range<usize> = 6 * MIB..14 * MIB;
const PART: usize = 5 * MIB;
/// The longest range that is read.
const LONGEST_RANGE: usize = 2 * MIB;

type Store = EncryptedStore<AmazonS3>;

#[derive(Debug, Clone)]
struct Object {
    path: Path,
    /// Where the run's plaintext has its own.
    plain: Range<usize>,
}

/// Operations of one kind.
#[derive(Debug, Default)]
struct Count {
    done: AtomicUsize,
    failed: AtomicUsize,
    /// Those, of both, in the middle of which a node was killed.
    amid: AtomicUsize,
}

#[derive(Debug, Default)]
struct Run {
    plain: Vec<u8>,
    kills: AtomicUsize,
    ended: AtomicBool,
    uploads: Count,
    reads: Count,
    acknowledged: Mutex<Vec<Object>>,
    failed: Mutex<Vec<Object>>,
    /// How often which.
    errors: Mutex<BTreeMap<String, usize>>,
}

impl Run {
    /// Follows what is written to standard input.
    fn follow(&self) {
        for line in std::io::stdin().lines() {
            assert_eq!(line.unwrap(), "killed");
            self.kills.fetch_add(1, Ordering::SeqCst);
        }
        self.ended.store(true, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    fn plain(&self, object: &Object) -> &[u8] {
        &self.plain[object.plain.clone()]
    }

    async fn counted(&self, count: &Count, operation: impl Future<Output = Result<()>>) -> bool {
        let before = self.kills.load(Ordering::SeqCst);
        let result = operation.await;
        if self.kills.load(Ordering::SeqCst) > before {
            count.amid.fetch_add(1, Ordering::Relaxed);
        }
        let Err(error) = result else {
            count.done.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        count.failed.fetch_add(1, Ordering::Relaxed);
        *self.errors.lock().unwrap().entry(kind(&error)).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        false
    }

    async fn write(&self, store: &Store, writer: usize, mut chance: Chance) {
        for number in 0.. {
            let len = LENGTHS.start + chance.below(LENGTHS.len());
            let start = chance.below(self.plain.len() - len);
            let object = Object {
                path: Path::from(format!("{writer}/{number}")),
                plain: start..start + len,
            };
            let upload = upload(store, &object.path, self.plain(&object));
            let is_done = self.counted(&self.uploads, upload).await;
            let objects = if is_done { &self.acknowledged } else { &self.failed };
            objects.lock().unwrap().push(object);
            if !self.goes_on() {
                return;
            }
            // The more is written, the more disk all copies take.
            tokio::time::sleep(Duration::from_millis(chance.below(500) as u64)).await;
        }
    }

    async fn read(&self, store: &Store, mut chance: Chance) {
        while self.goes_on() {
            let object = {
                let objects = self.acknowledged.lock().unwrap();
                (!objects.is_empty()).then(|| objects[chance.below(objects.len())].clone())
            };
            let Some(object) = object else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let read = read(store, &object.path, self.plain(&object), &mut chance);
            self.counted(&self.reads, read).await;
        }
    }
}

/// What failed, without what differs from request to request.
fn kind(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    // A server's own words name the object.
    text.split('<').next().unwrap().to_owned()
}

async fn upload(store: &Store, path: &Path, plain: &[u8]) -> Result<()> {
    let upload = store.put_multipart(path).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
    // In pieces that fit neither chunks nor parts.
    for piece in plain.chunks(700_001) {
        writer.wait_for_capacity(2).await?;
        writer.write(piece);
    }
    writer.finish().await.map(drop)
}

/// Reads some of the object, or all of it. What is returned is right.
async fn read(store: &Store, path: &Path, plain: &[u8], chance: &mut Chance) -> Result<()> {
    match chance.below(4) {
        0 => {
            let got = store.get(path).await?.bytes().await?;
            assert!(got == plain, "{path} as a whole");
        }
        1 => {
            let range = chance.range(plain.len());
            let got = store.get_range(path, wide(&range)).await?;
            assert!(got == plain[range.clone()], "{path}, {range:?}");
        }
        2 => {
            let ranges = [(); 3].map(|()| chance.range(plain.len()));
            let got = store.get_ranges(path, &ranges.each_ref().map(wide)).await?;
            assert_eq!(got.len(), ranges.len());
            for (range, got) in ranges.into_iter().zip(got) {
                assert!(got == plain[range.clone()], "{path}, {range:?} of several");
            }
        }
        _ => {
            let len = 1 + chance.below(LONGEST_RANGE);
            let options = GetOptions::new().with_range(Some(GetRange::Suffix(len as u64)));
            let got = store.get_opts(path, options).await?.bytes().await?;
            assert!(got == plain[plain.len() - len..], "{path}, the last {len} bytes");
        }
    }
    Ok(())
}

fn wide(range: &Range<usize>) -> Range<u64> {
    range.start as u64..range.end as u64
}

/// Random numbers, by SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn range(&mut self, len: usize) -> Range<usize> {
        let start = self.below(len);
        start..(start + 1 + self.below(LONGEST_RANGE)).min(len)
    }
}

fn store(server: &Server, bucket: &str, retries: RetryConfig) -> Store {
    let inner = s3_builder_of(server, bucket).with_retry(retries).build().unwrap();
    EncryptedStore::builder(key()).build(inner, METADATA).unwrap()
}

/// As another program that starts when all nodes are back: it reads whole what was acknowledged, and of what was not
/// acknowledged the whole or nothing.
async fn verify(store: &Store, run: &Run) -> (usize, usize) {
    let [acknowledged, failed] = [&run.acknowledged, &run.failed].map(|objects| objects.lock().unwrap().clone());
    for object in &acknowledged {
        let plain = run.plain(object);
        assert_eq!(store.head(&object.path).await.unwrap().size, plain.len() as u64);
        let got = store.get(&object.path).await.unwrap().bytes().await.unwrap();
        assert!(got == plain, "{}", object.path);
        let range = plain.len() / 2 - 10..plain.len() / 2 + 10;
        let got = store.get_range(&object.path, wide(&range)).await.unwrap();
        assert!(got == plain[range], "{}", object.path);
    }
    let mut there = 0;
    for object in &failed {
        match store.get(&object.path).await {
            Ok(got) => {
                assert!(got.bytes().await.unwrap() == run.plain(object), "{}", object.path);
                there += 1;
            }
            Err(error) => assert!(matches!(error, Error::NotFound { .. }), "{}: {error}", object.path),
        }
    }
    (acknowledged.len(), there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs nodes that are killed: tools/reliability/run --full 'killed nodes'"]
async fn what_was_acknowledged_survives_the_kill_of_a_node_and_nothing_wrong_is_returned() {
    let seed = std::env::var("SEALSTONE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let run = Arc::new(Run {
        plain: plaintext(32 * MIB),
        ..Run::default()
    });
    let server = Server::of_environment();
    let bucket = server.new_bucket();
    // Few: to a node that is down, requests fail.
    let retries = RetryConfig {
        max_retries: 3,
        ..RetryConfig::default()
    };
    let shared = Arc::new(store(&server, &bucket, retries));
    let following = std::thread::spawn({
        let run = run.clone();
        move || run.follow()
    });
    let mut tasks = Vec::new();
    for task in 0..WRITERS + READERS {
        let (run, store) = (run.clone(), shared.clone());
        let chance = Chance(seed << 8 | task as u64);
        tasks.push(tokio::spawn(async move {
            if task < WRITERS {
                run.write(&store, task, chance).await;
            } else {
                run.read(&store, chance).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    following.join().unwrap();

    let (verified, whole_though_failed) = verify(&store(&server, &bucket, RetryConfig::default()), &run).await;
    for (error, count) in &*run.errors.lock().unwrap() {
        println!("{count} times: {error}");
    }
    let figures = [("uploads", &run.uploads), ("reads", &run.reads)].map(|(name, count)| {
        let [done, failed, amid] =
            [&count.done, &count.failed, &count.amid].map(|figure| figure.load(Ordering::Relaxed));
        format!("{name}={done} {name}_failed={failed} {name}_amid_kills={amid}")
    });
    println!(
        "tally: {} verified={verified} whole_though_failed={whole_though_failed}",
        figures.join(" ")
    );
    assert_eq!(verified, run.uploads.done.load(Ordering::Relaxed));
}
