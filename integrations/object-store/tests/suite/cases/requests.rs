//! How many requests and key calls reads take, and how many bytes they fetch.

use std::ops::Range;
use std::sync::Arc;

use super::super::object_store::path::Path;
use super::super::object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use super::super::subject::EncryptedStore;
use super::wrapped::{Fault, Wrapped};
use super::{ATTACHED, METADATA};
use crate::common::{C, Counted, plaintext};

const SEALED: u64 = C as u64 + 16;

#[tokio::test]
async fn a_range_takes_one_request_for_its_chunks_and_an_attached_header_one_more() {
    for (capabilities, more) in [(METADATA, 0), (ATTACHED, 1)] {
        let inner = Wrapped::default();
        let store = super::encrypted(inner.clone(), capabilities);
        let plain = plaintext(40 * C + 7);
        let path = Path::from("a");
        store.put(&path, plain.clone().into()).await.unwrap();
        inner.take_requests();
        let mut first = true;
        let ranges: [(Range<usize>, u64); 5] = [
            (5000..9096, SEALED + 16),
            (C - 1..C + 1, 2 * SEALED + 16),
            (0..1, SEALED + 16),
            (40 * C..40 * C + 7, 7 + 16),
            (39 * C + 5..40 * C, SEALED + 16),
        ];
        for (range, bytes) in ranges {
            let got = store
                .get_range(&path, range.start as u64..range.end as u64)
                .await
                .unwrap();
            assert!(got == plain[range.clone()], "{range:?}");
            let (requests, fetched) = inner.take_requests();
            let header = if first { more * 8248 } else { 0 };
            assert_eq!(fetched, bytes + header, "{range:?}");
            assert_eq!(requests.len() as u64, 1 + if first { more } else { 0 }, "{requests:?}");
            first = false;
        }
        // The end, of an object whose length is unknown: at most one chunk more.
        let suffix = GetOptions {
            range: Some(GetRange::Suffix(8)),
            ..GetOptions::default()
        };
        let got = store.get_opts(&path, suffix).await.unwrap();
        assert_eq!(got.range, 40 * C as u64 - 1..40 * C as u64 + 7);
        assert!(got.bytes().await.unwrap() == plain[40 * C - 1..]);
        let (requests, fetched) = inner.take_requests();
        assert!(requests.len() == 1 && fetched <= 2 * SEALED, "{fetched}");
        // All of it, with its header.
        store.clear_cache();
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
        assert_eq!(inner.take_requests().0, ["get"]);
        // Its length.
        assert_eq!(store.head(&path).await.unwrap().size, plain.len() as u64);
        assert_eq!(inner.take_requests(), (vec!["head".to_owned()], 0));
    }
}

#[tokio::test]
async fn ranges_are_fetched_together_if_they_are_near_and_opened_once() {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), METADATA);
    let plain = plaintext(400 * C + 7);
    let path = Path::from("a");
    store.put(&path, plain.clone().into()).await.unwrap();
    inner.take_requests();
    let index = |offset: u64| usize::try_from(offset).unwrap();
    let c = C as u64;
    // Out of order, overlapping, in one chunk, at the end, and past it: that is cut, as in any store.
    let ranges = [
        300 * c..300 * c + 10,
        5..10,
        0..7,
        10..3 * c,
        399 * c..400 * c + 7,
        400 * c..401 * c,
    ];
    let got = store.get_ranges(&path, &ranges).await.unwrap();
    assert_eq!(got.len(), ranges.len());
    for (range, bytes) in ranges.iter().zip(&got) {
        let end = index(range.end).min(plain.len());
        assert!(*bytes == plain[index(range.start)..end], "{range:?}");
    }
    // The gap of 297 chunks is longer than 1 MiB, that of 98 too.
    let (requests, fetched) = inner.take_requests();
    assert_eq!(requests, ["get"; 3]);
    assert!(fetched < 8 * SEALED, "{fetched}");

    assert!(store.get_ranges(&path, &[]).await.unwrap().is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "refused")]
    for wrong in [7..7, 7..3, 401 * c..402 * c, u64::MAX - 1..u64::MAX] {
        assert!(
            store.get_ranges(&path, std::slice::from_ref(&wrong)).await.is_err(),
            "{wrong:?}"
        );
        assert!(store.get_range(&path, wrong.clone()).await.is_err(), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ranges_of_64_tasks_unwrap_one_key() {
    for (capabilities, requests) in [(METADATA, 10_000), (ATTACHED, 10_001)] {
        let key = Counted::new(7);
        let inner = Wrapped::default();
        let store = EncryptedStore::builder(key.clone())
            .build(inner.clone(), capabilities)
            .unwrap();
        let plain = Arc::new(plaintext(64 * C));
        let path = Path::from("a");
        store.put(&path, plain.to_vec().into()).await.unwrap();
        inner.take_requests();
        let tasks: Vec<_> = (0..64_usize)
            .map(|task| {
                let (store, plain, path) = (store.clone(), plain.clone(), path.clone());
                let count = 10_000 / 64 + usize::from(task < 10_000 % 64);
                tokio::spawn(async move {
                    for number in 0..count {
                        let start = (task * 7919 + number * 104_729) % (plain.len() - 4096);
                        let got = store.get_range(&path, start as u64..start as u64 + 4096).await.unwrap();
                        assert!(got == plain[start..start + 4096]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(key.unwraps(), 1);
        assert_eq!(inner.take_requests().0.len(), requests);
    }
}

#[tokio::test]
async fn a_listing_has_the_lengths_that_head_has_and_asks_for_nothing_more() {
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let store = super::encrypted(inner.clone(), capabilities);
        for number in 0..1000 {
            let plain = plaintext(number * 97 % (3 * C + 2));
            store
                .put(&Path::from(format!("list/{number}")), plain.into())
                .await
                .unwrap();
        }
        inner.take_requests();
        let prefix = Path::from("list");
        let listed = store.list_with_delimiter(Some(&prefix)).await.unwrap().objects;
        let streamed = super::wrapped::paths(&store).await;
        assert_eq!((listed.len(), streamed.len()), (1000, 1000));
        assert_eq!(inner.take_requests().0, ["list", "list"]);
        for meta in listed {
            assert_eq!(store.head(&meta.location).await.unwrap(), meta);
        }
    }
}

/// However objects are read, and whether or not the store has ETags.
#[tokio::test]
async fn each_object_is_unwrapped_once() {
    for capabilities in [METADATA, ATTACHED] {
        for fault in [None, Some(Fault::NoETags)] {
            let key = Counted::new(7);
            let inner = Wrapped::default();
            inner.set_fault(fault);
            let store = EncryptedStore::builder(key.clone())
                .build(inner.clone(), capabilities)
                .unwrap();
            let path = Path::from("a");
            store.put(&path, plaintext(100 * C).into()).await.unwrap();
            let whole = || async { store.get(&path).await.unwrap().bytes().await.unwrap().len() };
            futures_util::future::join_all((0..10).map(|_| whole())).await;
            for _ in 0..3 {
                store.get_range(&path, 0..10).await.unwrap();
                store.get_range(&path, 0..90 * C as u64).await.unwrap();
                store
                    .get_ranges(&path, &[0..10, 99 * C as u64..100 * C as u64])
                    .await
                    .unwrap();
                whole().await;
            }
            assert_eq!(key.unwraps(), 1, "{capabilities:?}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_long_range_of_an_unknown_object_takes_two_requests_and_later_ones_take_one() {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), ATTACHED);
    let path = Path::from("a");
    let plain = plaintext(100 * C);
    store.put(&path, plain.clone().into()).await.unwrap();
    inner.take_requests();
    for requests in [2, 1, 1] {
        let got = store.get_range(&path, 5..90 * C as u64).await.unwrap();
        assert!(got == plain[5..90 * C]);
        assert_eq!(inner.take_requests().0.len(), requests);
    }
}
