//! Storage that changes, cuts, exchanges and replaces: every way of reading refuses.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sealstone_object_store::{Capabilities, StoreError};

use super::super::object_store::limit::LimitStore;
use super::super::object_store::path::Path;
use super::super::object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, Result,
};
use super::super::subject::EncryptedStore;
use super::wrapped::{Fault, Wrapped};
use super::{ATTACHED, METADATA};
use crate::common::{C, plaintext};

/// Reads all of an object in every way; returns what each returned.
async fn every_read(store: &EncryptedStore<Wrapped>, path: &Path, len: u64) -> Vec<(&'static str, Result<Bytes>)> {
    let whole = async { store.get(path).await?.bytes().await };
    let ranged = |range: GetRange| async move {
        let options = GetOptions {
            range: Some(range),
            ..GetOptions::default()
        };
        store.get_opts(path, options).await?.bytes().await
    };
    let ranges = async { Ok(store.get_ranges(path, &[0..len]).await?.remove(0)) };
    let copy = Path::from("copy");
    let copied = async {
        store.copy(path, &copy).await?;
        store.get(&copy).await?.bytes().await
    };
    vec![
        ("whole", whole.await),
        ("bounded", ranged(GetRange::Bounded(0..len)).await),
        ("offset", ranged(GetRange::Offset(0)).await),
        ("suffix", ranged(GetRange::Suffix(len)).await),
        ("ranges", ranges.await),
        ("copy", copied.await),
    ]
}

/// The reason why the wrapper refused, if it did.
fn reason(error: &Error) -> Option<&StoreError> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(reason) = error.downcast_ref() {
            return Some(reason);
        }
        source = error.source();
    }
    None
}

async fn sealed(capabilities: Capabilities, len: usize) -> (Wrapped, EncryptedStore<Wrapped>, Path, Vec<u8>) {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), capabilities);
    let (path, plain) = (Path::from("object"), plaintext(len));
    store.put(&path, plain.clone().into()).await.unwrap();
    (inner, store, path, plain)
}

#[tokio::test]
async fn every_flipped_bit_of_a_payload_is_refused() {
    for capabilities in [METADATA, ATTACHED] {
        let (inner, store, path, plain) = sealed(capabilities, 40).await;
        let (object, attributes) = inner.stored(&path).await;
        let payload = object.len() - 112;
        for bit in payload * 8..object.len() * 8 {
            let mut altered = object.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            inner.store(&path, altered, attributes.clone()).await;
            for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                // Salt and commitment repeat the header's. Ranges in metadata stores do not fetch them.
                let is_prefix = bit / 8 - payload < 56;
                let may_open = is_prefix && capabilities == METADATA && !matches!(way, "whole" | "copy");
                match read {
                    Ok(bytes) => assert!(may_open && bytes == plain, "bit {bit}, {way}"),
                    Err(error) => assert!(reason(&error).is_some(), "bit {bit}, {way}: {error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_header_in_metadata_is_refused_or_changes_nothing() {
    let (inner, store, path, plain) = sealed(METADATA, 40).await;
    let (object, attributes) = inner.stored(&path).await;
    let (attribute, value) = attributes.iter().next().unwrap();
    let (attribute, value) = (attribute.clone(), value.as_ref().as_bytes().to_vec());
    for bit in 0..value.len() * 8 {
        let mut altered = value.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let Ok(altered) = String::from_utf8(altered) else {
            continue;
        };
        let attributes = Attributes::from_iter([(attribute.clone(), altered)]);
        inner.store(&path, object.clone(), attributes).await;
        for (way, read) in every_read(&store, &path, plain.len() as u64).await {
            // A key's name in a slot is only a hint, and so is the generation: the key opens nevertheless.
            assert!(read.is_err() || read.unwrap() == plain, "bit {bit}, {way}");
        }
    }
}

#[tokio::test]
async fn cut_lengthened_and_exchanged_objects_are_refused() {
    for capabilities in [METADATA, ATTACHED] {
        let (inner, store, path, plain) = sealed(capabilities, 3 * C + 5).await;
        let (object, attributes) = inner.stored(&path).await;
        let before = object.len() - (56 + 3 * (C + 16) + 21);
        let chunk = |number: usize| before + 56 + number * (C + 16);
        let mut exchanged = object.to_vec();
        exchanged[chunk(0)..chunk(2)].rotate_left(C + 16);
        let wrong = [
            ("cut at a chunk", object[..chunk(2)].to_vec()),
            ("cut in a chunk", object[..chunk(2) + 100].to_vec()),
            ("cut to its beginning", object[..before + 56].to_vec()),
            ("lengthened", [&object[..], &[0; 100]].concat()),
            (
                "lengthened by chunks",
                [&object[..], &object[chunk(0)..chunk(2)]].concat(),
            ),
            ("chunks exchanged", exchanged),
            ("empty", Vec::new()),
        ];
        for (what, bytes) in wrong {
            inner.store(&path, bytes, attributes.clone()).await;
            for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                let error = read.expect_err(&format!("{what}, {way}"));
                assert!(!matches!(error, Error::NotFound { .. }), "{what}, {way}: {error}");
            }
        }

        // Another object's bytes or header.
        let other = Path::from("other");
        store.put(&other, plaintext(3 * C + 5).into()).await.unwrap();
        let (other_object, other_attributes) = inner.stored(&other).await;
        let exchanged = if capabilities == METADATA {
            (object.to_vec(), other_attributes)
        } else {
            ([&other_object[..before], &object[before..]].concat(), attributes)
        };
        inner.store(&path, exchanged.0, exchanged.1).await;
        for (way, read) in every_read(&store, &path, plain.len() as u64).await {
            assert!(read.is_err(), "another's header, {way}");
        }
    }
}

#[tokio::test]
async fn objects_of_another_kind_are_refused_by_name() {
    let (inner, store, path, _) = sealed(METADATA, 100).await;
    let (object, attributes) = inner.stored(&path).await;
    let refused = |store: EncryptedStore<Wrapped>| async move {
        let error = store.get(&Path::from("object")).await.unwrap_err();
        let head = store.head(&Path::from("object")).await;
        (reason(&error).unwrap().clone(), head.is_err())
    };
    // Not encrypted, or with an attached header: no header in the metadata.
    inner.store(&path, object.clone(), Attributes::new()).await;
    assert!(matches!(
        refused(store.clone()).await,
        (StoreError::NoHeader { .. }, true)
    ));
    // With another chunk size.
    let coarse = super::builder().with_chunk_size(sealstone::ChunkSize::KiB64);
    let coarse = coarse.build(inner.clone(), METADATA).unwrap();
    coarse.put(&path, "x".into()).await.unwrap();
    assert!(matches!(
        refused(store.clone()).await,
        (StoreError::OtherChunkSize { found: 65536, .. }, true)
    ));
    // Of a length that no object has: the listing has an error in its place, and goes on.
    inner.store(&path, vec![0; 20], attributes).await;
    store.put(&Path::from("p"), "x".into()).await.unwrap();
    let listed: Vec<_> = store.list(None).collect().await;
    assert_eq!(listed.iter().filter(|item| item.is_ok()).count(), listed.len() - 1);
    assert!(store.list_with_delimiter(None).await.is_err());

    // Attached: what is no object, and one with its header in the metadata.
    let (inner, store, path, _) = sealed(ATTACHED, 100).await;
    inner.store(&path, vec![7; 9000], Attributes::new()).await;
    let error = store.get_range(&path, 0..10).await.unwrap_err();
    assert!(
        matches!(
            reason(&error),
            Some(StoreError::Sealstone {
                error: sealstone::Error::NotSealstone { .. },
                ..
            })
        ) || error.to_string().contains("not a sealstone object"),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_that_fails_or_ends_early_is_never_a_short_success() {
    // Short ones, which are opened at once, and a stream.
    for len in [3 * C + 5, 60 * C + 5] {
        for capabilities in [METADATA, ATTACHED] {
            let (inner, store, path, plain) = sealed(capabilities, len).await;
            let (object, _) = inner.stored(&path).await;
            // The last byte of the shortest body, which is that of a range.
            let last = (len + (len / C + 1) * 16) as u64 - 1;
            for at in [0, 10, 8300, object.len() as u64 / 2, last] {
                for fault in [Fault::BodyFails(at), Fault::BodyEnds(at)] {
                    inner.set_fault(Some(fault));
                    for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                        assert!(read.is_err(), "{fault:?}, {way}");
                    }
                    // What a stream returned before is a beginning of the plaintext.
                    if let Ok(got) = store.get(&path).await {
                        let items: Vec<_> = got.into_stream().collect().await;
                        assert!(items.last().unwrap().is_err(), "{fault:?}");
                        let read: Vec<u8> = items.into_iter().flatten().flatten().collect();
                        assert!(plain.starts_with(&read) && read.len() < plain.len());
                    }
                }
            }
            inner.set_fault(Some(Fault::LongerBy(16)));
            for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                assert!(read.is_err() || (read.unwrap() == plain && way != "whole"), "{way}");
            }
            for pieces in [1, 7, 1000, C + 16, 300_000] {
                if pieces == 1 && len > 10 * C {
                    continue;
                }
                inner.set_fault(Some(Fault::Pieces(pieces)));
                for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                    assert!(read.unwrap() == plain, "pieces of {pieces}, {way}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_between_two_requests_is_an_error() {
    let (inner, store, path, _) = sealed(ATTACHED, 3 * C).await;
    inner.set_fault(Some(Fault::Replaced));
    // The range first, and then the header of that version.
    let error = store.get_range(&path, 0..10).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    inner.set_fault(None);
    assert!(store.get_range(&path, 0..10).await.is_ok());
}

#[tokio::test]
async fn attributes_come_back_and_the_headers_place_is_reserved() {
    let (inner, store, path, _) = sealed(METADATA, 10).await;
    let (_, stored) = inner.stored(&path).await;
    let (attribute, value) = stored.iter().next().unwrap();
    let taken = Attributes::from_iter([(attribute.clone(), value.clone())]);
    let error = store.put_opts(&path, "x".into(), taken.into()).await.unwrap_err();
    assert!(matches!(reason(&error), Some(StoreError::ReservedMetadata { .. })));
    let own = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
    store.put_opts(&path, "x".into(), own.clone().into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().attributes, own);
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn ranges_of_two_versions_are_never_one_answer() {
    for capabilities in [METADATA, ATTACHED] {
        for has_e_tags in [true, false] {
            let (inner, store, path, plain) = sealed(capabilities, 200 * C).await;
            store
                .put(&Path::from("other"), plaintext(200 * C).into())
                .await
                .unwrap();
            let ranges = [0..10, 199 * C as u64..200 * C as u64];
            inner.take_requests();
            inner.set_fault(Some(Fault::OtherVersion("other", has_e_tags)));
            let error = store.get_ranges(&path, &ranges).await.unwrap_err();
            assert!(
                matches!(error, Error::Precondition { .. }) || reason(&error).is_some(),
                "{error}"
            );
            inner.set_fault(Some(Fault::NoETags));
            let got = store.get_ranges(&path, &ranges).await.unwrap();
            assert!(got[0] == plain[..10] && got[1] == plain[199 * C..]);
        }
    }
}

#[tokio::test]
async fn the_path_that_a_store_reports_decides_nothing() {
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let builder = super::builder()
            .with_keys_under(
                &Path::from("b"),
                sealstone_object_store::Keys::new(crate::common::key(3)),
            )
            .with_plaintext_under(&Path::from("public"));
        let store = builder.build(inner.clone(), capabilities).unwrap();
        let (mine, theirs) = (Path::from("a/x"), Path::from("b/x"));
        store.put(&theirs, plaintext(40).into()).await.unwrap();
        store.get(&theirs).await.unwrap();
        let (bytes, attributes) = inner.stored(&theirs).await;
        inner.store(&mine, bytes, attributes).await;
        for reported in ["b/x", "public/x"] {
            inner.set_fault(Some(Fault::Location(reported)));
            for (way, read) in every_read(&store, &mine, 40).await {
                assert!(read.is_err(), "{reported}, {way}");
            }
        }
    }
}

#[tokio::test]
async fn a_false_range_or_an_endless_body_costs_an_error_and_no_memory() {
    for capabilities in [METADATA, ATTACHED] {
        let (inner, store, path, plain) = sealed(capabilities, 3 * C).await;
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is claimed")]
        for range in [
            0..1 << 62,
            0..u64::MAX,
            100..5,
            5..5,
            u64::MAX..u64::MAX,
            7..3 * C as u64,
        ] {
            inner.set_fault(Some(Fault::Range(range.start, range.end)));
            for (way, read) in every_read(&store, &path, plain.len() as u64).await {
                // All of an object in memory is what its length says, whatever the range.
                assert!(read.is_err() || read.unwrap() == plain, "{range:?}, {way}");
            }
        }
        for fault in [Fault::Endless, Fault::EndlessRange] {
            inner.set_fault(Some(fault));
            store.clear_cache();
            let reads = every_read(&store, &path, plain.len() as u64);
            let reads = tokio::time::timeout(std::time::Duration::from_secs(20), reads).await;
            for (way, read) in reads.expect("bodies are read no further than needed") {
                assert!(read.is_err() || read.unwrap() == plain, "{fault:?}, {way}");
            }
        }
    }
}

/// A store that limits how many bodies are read at a time.
#[tokio::test]
async fn no_body_waits_for_another_request() {
    let inner = Wrapped::default();
    let plain = plaintext(400 * C);
    for capabilities in [METADATA, ATTACHED] {
        let path = Path::from("object");
        super::encrypted(inner.clone(), capabilities)
            .put(&path, plain.clone().into())
            .await
            .unwrap();
        let reads = async {
            for permits in [1, 10] {
                let fresh = || super::encrypted(LimitStore::new(inner.clone(), permits), capabilities);
                let got = fresh().get_range(&path, 5..10).await.unwrap();
                assert!(got == plain[5..10]);
                let store = fresh();
                let range = 0..200 * C as u64;
                assert!(store.get_range(&path, range.clone()).await.unwrap() == plain[..200 * C]);
                // Known, but replaced meanwhile.
                super::encrypted(inner.clone(), capabilities)
                    .put(&path, plain.clone().into())
                    .await
                    .unwrap();
                assert!(store.get_range(&path, range).await.unwrap() == plain[..200 * C]);
                let ranges: Vec<_> = (0..4)
                    .map(|number| number * 100 * C as u64..number * 100 * C as u64 + 5)
                    .collect();
                assert_eq!(fresh().get_ranges(&path, &ranges).await.unwrap().len(), 4);
                assert!(fresh().get(&path).await.unwrap().bytes().await.unwrap() == plain);
            }
        };
        let reads = tokio::time::timeout(std::time::Duration::from_secs(20), reads).await;
        reads.expect("no read waits for itself");
    }
}
