//! How many requests reads and writes take: as many as of the bare store, and for an attached header one more for each
//! object that is opened.

use std::ops::Range;

use sealstone_object_store::Capabilities;

use super::super::object_store::path::Path;
use super::super::object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use super::counted::{Counted, Counts};
use super::{encrypted, s3};
use crate::common::{ATTACHED, METADATA, plaintext};

const OBJECTS: usize = 4;
const LEN: u64 = 3_000_000;

fn paths() -> impl Iterator<Item = Path> {
    (0..OBJECTS).map(|number| Path::from(format!("objects/{number}")))
}

async fn write(store: &dyn ObjectStore) {
    for path in paths() {
        let plain = plaintext(usize::try_from(LEN).unwrap());
        store.put(&path, plain.into()).await.unwrap();
    }
}

/// Reads in every way, each more than once; each is right.
async fn read(store: &dyn ObjectStore) {
    let plain = plaintext(usize::try_from(LEN).unwrap());
    let of = |range: Range<u64>| &plain[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    store.list_with_delimiter(Some(&Path::from("objects"))).await.unwrap();
    for path in paths() {
        for range in [0..10, 100_000..104_096, LEN - 1..LEN] {
            assert!(store.get_range(&path, range.clone()).await.unwrap() == of(range));
        }
        let ranges = [5..6, 1_000..200_000, 1_900_000..1_900_001, LEN - 7..LEN];
        let got = store.get_ranges(&path, &ranges).await.unwrap();
        assert!(ranges.into_iter().zip(got).all(|(range, bytes)| bytes == of(range)));
        let suffix = GetOptions {
            range: Some(GetRange::Suffix(8)),
            ..GetOptions::default()
        };
        let got = store.get_opts(&path, suffix).await.unwrap();
        assert!(got.bytes().await.unwrap() == of(LEN - 8..LEN));
        assert_eq!(store.head(&path).await.unwrap().size, LEN);
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
    }
}

async fn counts(capabilities: Option<Capabilities>) -> [Counts; 2] {
    let counted = Counted::new(s3());
    let store: Box<dyn ObjectStore> = match capabilities {
        Some(capabilities) => Box::new(encrypted(counted.clone(), capabilities)),
        None => Box::new(counted.clone()),
    };
    write(&*store).await;
    let written = counted.take();
    read(&*store).await;
    [written, counted.take()]
}

#[tokio::test]
async fn requests_are_the_bare_stores_and_one_more_for_each_attached_header() {
    let [bare_written, bare_read] = counts(None).await;
    assert_eq!(bare_read.of("get"), OBJECTS * (3 + 3 + 1 + 1));
    for (capabilities, more) in [(METADATA, 0), (ATTACHED, OBJECTS)] {
        let [written, mut read] = counts(Some(capabilities)).await;
        assert_eq!(written.requests, bare_written.requests, "{capabilities:?}");
        *read.requests.get_mut("get").unwrap() -= more;
        assert_eq!(read.requests, bare_read.requests, "{capabilities:?}");
    }
}
