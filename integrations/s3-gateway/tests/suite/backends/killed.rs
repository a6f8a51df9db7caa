//! A store in a directory whose process is killed at any moment.
//!
//! Each change of an object has a number, which is stored in the attributes and in a tag, and each payload one that is
//! stored in the attributes: so parts of two versions in one object show.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use sealstone::format::Header;
use sealstone::{Decryptor, RawKey, Rewrap};
use sealstone_s3_gateway::backend::{
    Attributes, BackendError, Condition, DiskBackend, StoredRange, Tags, UploadedPart,
};
use tempfile::TempDir;

use super::{Store, body, header, pairs, payload};

const CHILD: &str = "SEALSTONE_TEST_DISK";
const KEYS: [&str; 4] = ["a", "dir/b", "dir/c", "d/e/f/g"];

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_old_objects_or_new_ones() {
    let root = TempDir::new().unwrap();
    Store::new(Arc::new(DiskBackend::open(root.path()).unwrap()), "bucket").await;
    let mut allowed: BTreeMap<String, BTreeSet<Option<u64>>> = BTreeMap::new();
    let mut changes = 0;
    for round in 0..20 {
        for line in run_and_kill(root.path(), round) {
            let [what, key, number] = line.split(' ').collect::<Vec<_>>()[..] else {
                continue;
            };
            let states = allowed.entry(key.to_owned()).or_insert_with(|| [None].into());
            if what == "done" {
                changes += 1;
                states.clear();
            }
            states.insert(number.parse().ok());
        }
        let backend = Arc::new(DiskBackend::open(root.path()).unwrap());
        let store = Store {
            backend,
            bucket: "bucket".to_owned(),
        };
        for (key, states) in &mut allowed {
            let number = state(&store, key).await;
            assert!(states.contains(&number), "{key}: {number:?}, but not in {states:?}");
            *states = [number].into();
        }
        assert_eq!(
            fs::read_dir(root.path().join("bucket/.sealstone-gateway/tmp"))
                .unwrap()
                .count(),
            0
        );
    }
    assert!(changes > 100, "{changes}");
}

/// Runs [`child_that_stores_until_it_is_killed`] for a while. Returns what it said.
fn run_and_kill(root: &Path, round: u64) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "backends::killed::child_that_stores_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, root)
        .env("ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("begins")));
    std::thread::sleep(Duration::from_micros(40_000 + round * 4_919));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_stores_until_it_is_killed() {
    let Some(root) = env::var_os(CHILD) else { return };
    let round: u64 = env::var("ROUND").unwrap().parse().unwrap();
    let store = Store {
        backend: Arc::new(DiskBackend::open(root).unwrap()),
        bucket: "bucket".to_owned(),
    };
    println!("begins");
    let changes = KEYS.iter().enumerate().map(|(index, key)| {
        let store = store.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let number = (round << 32) + turn * KEYS.len() as u64 + index as u64;
                // Deletions have no number.
                let is_deletion = number.is_multiple_of(11);
                let state = if is_deletion {
                    "none".to_owned()
                } else {
                    number.to_string()
                };
                println!("begun {key} {state}");
                if is_deletion {
                    store.backend.delete(&store.at(key), Condition::None).await.unwrap();
                } else {
                    change(&store, key, number).await;
                }
                println!("done {key} {state}");
            }
        })
    });
    join_all(changes).await;
}

async fn change(store: &Store, key: &str, number: u64) {
    let at = store.at(key);
    let bytes = payload(len(number), number);
    let tags = pairs(&[("number", &number.to_string())]);
    match number * 31 % 7 {
        0 => {
            let upload = store
                .backend
                .create_upload(&at, attributes(number, number, Some(&header())), tags)
                .await
                .unwrap();
            let mut parts = Vec::new();
            for (part, bytes) in [(1, &bytes[..bytes.len() / 3]), (2, &bytes[bytes.len() / 3..])] {
                let etag = store.backend.put_part(&at, &upload, part, body(bytes)).await.unwrap();
                parts.push(UploadedPart { number: part, etag });
            }
            store
                .backend
                .complete_upload(&at, &upload, &parts, Condition::None)
                .await
                .unwrap();
        }
        1..4 => {
            // The attributes change, and the header where there is one.
            let source = if number.is_multiple_of(2) { key } else { KEYS[0] };
            let Ok(found) = store.head(source).await else {
                return put(store, key, number, true).await;
            };
            let old = Header::from_metadata(&found.attributes.metadata).ok();
            let new = old.map(|old| {
                let [old_key, new_key] = [7, 8].map(|byte| Arc::new(RawKey::from_slice(&[byte; 32]).unwrap()));
                let rewrap = Rewrap::new(Decryptor::new(old_key)).add_key(new_key);
                rewrap.header(&old).unwrap().unwrap_or(old)
            });
            let base = found.attributes.metadata["payload"].parse().unwrap();
            let attributes = attributes(number, base, new.as_ref());
            let from = store.at(source);
            let copied = store
                .backend
                .copy(&from, &found.etag, &at, attributes, Some(tags), Condition::None)
                .await;
            match copied {
                Ok(_) => {}
                Err(BackendError::Precondition | BackendError::NoSuchKey) => put(store, key, number, true).await,
                Err(error) => panic!("{error:?}"),
            }
        }
        kind => put(store, key, number, kind != 4).await,
    }
}

async fn put(store: &Store, key: &str, number: u64, is_sealed: bool) {
    let header = is_sealed.then(header);
    let bytes = payload(len(number), number);
    let tags = pairs(&[("number", &number.to_string())]);
    let attributes = attributes(number, number, header.as_ref());
    let at = store.at(key);
    store
        .backend
        .put(&at, body(&bytes), attributes, tags, Condition::None)
        .await
        .unwrap();
}

fn attributes(number: u64, payload: u64, header: Option<&Header>) -> Attributes {
    let mut metadata = pairs(&[("number", &number.to_string()), ("payload", &payload.to_string())]);
    metadata.extend(header.into_iter().flat_map(|header| header.to_metadata().unwrap()));
    Attributes {
        metadata,
        ..Attributes::default()
    }
}

fn len(number: u64) -> usize {
    usize::try_from(number * 7_919 % 200_000).unwrap()
}

/// Checks that all of an object is of one version. Returns the number of its last change.
async fn state(store: &Store, key: &str) -> Option<u64> {
    let at = store.at(key);
    let listed = store.keys().await.contains(&key.to_owned());
    let found = match store.backend.get(&at, StoredRange::Bytes(0..u64::MAX), None).await {
        Ok(found) => found,
        Err(error) => {
            assert!(matches!(error, BackendError::NoSuchKey) && !listed, "{error:?}");
            return None;
        }
    };
    assert!(listed);
    let metadata = &found.object.attributes.metadata;
    let [number, base]: [u64; 2] = ["number", "payload"].map(|name| metadata[name].parse().unwrap());
    assert_eq!(
        store.backend.tags(&at).await.unwrap(),
        Tags::from([("number".to_owned(), number.to_string())])
    );
    let bytes = found.bytes.try_collect::<Vec<_>>().await.unwrap().concat();
    assert!(bytes == payload(len(base), base), "{key}: {number}, {base}");
    Some(number)
}
