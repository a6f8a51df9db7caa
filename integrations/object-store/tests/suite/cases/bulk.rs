//! Operations on all objects under a prefix: repeated, resumed, beside other writers, over every kind of store.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use sealstone::format::is_metadata_key;
use sealstone::{ChunkSize, Header};
use sealstone_object_store::{BulkOptions, Capabilities, Done, StoreError};

use super::super::object_store::local::LocalFileSystem;
use super::super::object_store::path::Path;
use super::super::object_store::{
    Attribute, Attributes, Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, Result,
};
use super::super::subject::{EncryptedStore, HeaderReplacer, Outcome};
use super::wrapped::{Fault, Wrapped};
use super::{ATTACHED, METADATA};
use crate::common::{Counted, key, plaintext};

async fn run(outcomes: impl futures_util::Stream<Item = Result<Outcome>>) -> Vec<Outcome> {
    outcomes.try_collect().await.unwrap()
}

fn done(outcomes: &[Outcome]) -> Vec<Done> {
    outcomes
        .iter()
        .map(|outcome| *outcome.result.as_ref().unwrap())
        .collect()
}

async fn filled<S: ObjectStore>(store: &EncryptedStore<S>) -> BTreeMap<Path, Vec<u8>> {
    let mut objects = BTreeMap::new();
    for (number, len) in [0, 1, 20_000, 100_000, 5].into_iter().enumerate() {
        let path = Path::from(format!("dir/{number}"));
        store.put(&path, plaintext(len).into()).await.unwrap();
        objects.insert(path, plaintext(len));
    }
    store.put(&Path::from("elsewhere"), "x".into()).await.unwrap();
    objects
}

async fn assert_holds<S: ObjectStore>(store: &EncryptedStore<S>, objects: &BTreeMap<Path, Vec<u8>>) {
    for (path, plain) in objects {
        assert!(store.get(path).await.unwrap().bytes().await.unwrap() == plain, "{path}");
    }
}

#[tokio::test]
async fn a_rotation_rewraps_every_object_once_and_moves_no_plaintext() {
    let prefix = Path::from("dir");
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let old = EncryptedStore::builder(key(1))
            .build(inner.clone(), capabilities)
            .unwrap();
        let objects = filled(&old).await;
        let own = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        let options = PutOptions::from(own.clone());
        let first = objects.keys().next().unwrap().clone();
        old.put_opts(&first, plaintext(0).into(), options).await.unwrap();
        let before = inner.stored(&first).await.0;

        let rotated = EncryptedStore::builder(key(2))
            .with_key(key(3))
            .with_opening_key(key(1));
        let rotated = rotated.build(inner.clone(), capabilities).unwrap();
        let outcomes = run(rotated.rewrap(Some(&prefix), &BulkOptions::new())).await;
        assert_eq!(done(&outcomes), [Done::Changed; 5]);
        assert!(outcomes.iter().map(|outcome| &outcome.location).eq(objects.keys()));
        let again = run(rotated.rewrap(Some(&prefix), &BulkOptions::new().with_concurrency(0))).await;
        assert_eq!(done(&again), [Done::Unchanged; 5]);

        // The new keys open them, each by itself, and the old one does not.
        for new in [2, 3] {
            let store = EncryptedStore::builder(key(new))
                .build(inner.clone(), capabilities)
                .unwrap();
            assert_holds(&store, &objects).await;
        }
        assert!(old.get(&first).await.is_err());
        assert!(old.get(&Path::from("elsewhere")).await.is_ok());
        assert_eq!(rotated.get(&first).await.unwrap().attributes, own);
        // The payload is the same.
        let after = inner.stored(&first).await.0;
        let header = if capabilities == ATTACHED { 8192 } else { 0 };
        assert!(after[header..] == before[header..]);
    }
}

#[tokio::test]
async fn a_rekey_changes_every_byte_and_a_verification_finds_the_damaged_object() {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), METADATA);
    let objects = filled(&store).await;
    let (path, _) = objects.iter().nth(2).unwrap();
    let before = inner.stored(path).await.0;
    assert_eq!(
        done(&run(store.rekey(None, &BulkOptions::new())).await),
        [Done::Changed; 6]
    );
    assert!(inner.stored(path).await.0 != before);
    assert_holds(&store, &objects).await;

    let (bytes, attributes) = inner.stored(path).await;
    let mut altered = bytes.to_vec();
    altered[10_000] ^= 1;
    inner.store(path, altered, attributes).await;
    let outcomes = run(store.verify(None, &BulkOptions::new())).await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
    assert!(failed.len() == 1 && failed[0].location == *path);
    assert!(matches!(
        outcomes[3].result,
        Ok(Done::Verified { plaintext_len: 100_000 })
    ));

    // Resumed after the third.
    let rest = run(store.verify(None, &BulkOptions::new().with_start_after(path.as_ref()))).await;
    assert_eq!(rest.len(), outcomes.len() - 3);
}

#[tokio::test]
async fn plaintext_is_encrypted_where_it_is_and_what_is_encrypted_already_is_not() {
    let prefix = Path::from("old");
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let store = super::encrypted(inner.clone(), capabilities);
        let sealed = Path::from("old/sealed");
        store.put(&sealed, "sealed".into()).await.unwrap();
        let before = inner.stored(&sealed).await.0;
        let own = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        for len in [0, 3, 10_000, 100_000] {
            inner
                .store(&Path::from(format!("old/{len}")), plaintext(len), own.clone())
                .await;
        }
        let outcomes = run(store.encrypt_in_place(Some(&prefix), &BulkOptions::new())).await;
        assert_eq!(done(&outcomes).iter().filter(|done| **done == Done::Changed).count(), 4);
        let again = run(store.encrypt_in_place(Some(&prefix), &BulkOptions::new())).await;
        assert_eq!(done(&again), [Done::Unchanged; 5]);
        assert!(inner.stored(&sealed).await.0 == before);
        for len in [0, 3, 10_000, 100_000] {
            let got = store.get(&Path::from(format!("old/{len}"))).await.unwrap();
            assert_eq!(got.attributes, own);
            assert!(got.bytes().await.unwrap() == plaintext(len));
        }
    }
}

/// Another writer replaces each object while its key is asked for.
#[tokio::test]
async fn an_object_that_another_writer_replaces_meanwhile_is_left_alone() {
    let inner = Wrapped::default();
    let counted = Counted::new(1);
    let store = EncryptedStore::builder(key(2)).with_opening_key(counted.clone());
    let store = store.build(inner.clone(), METADATA).unwrap();
    let other = EncryptedStore::builder(key(1)).build(inner.clone(), METADATA).unwrap();
    let path = Path::from("a");
    other.put(&path, "before".into()).await.unwrap();
    let run = async { run(store.rewrap(None, &BulkOptions::new())).await };
    let write = async {
        while counted.unwraps() == 0 {
            tokio::task::yield_now().await;
        }
        other.put(&path, "after".into()).await.unwrap();
    };
    let (outcomes, ()) = futures_util::future::join(run, write).await;
    assert!(
        matches!(outcomes[0].result, Err(Error::Precondition { .. })),
        "{outcomes:?}"
    );
    assert_eq!(other.get(&path).await.unwrap().bytes().await.unwrap(), "after");
}

/// Replaces headers inside the store, and counts that; or cannot.
#[derive(Debug)]
struct Replacer {
    inner: Wrapped,
    can: bool,
}

#[async_trait]
impl HeaderReplacer for Replacer {
    async fn replace_header(&self, object: &ObjectMeta, old: &Header, new: &Header, key: &str) -> Result<()> {
        if !self.can {
            return Err(Error::NotImplemented {
                operation: "replace_header".to_owned(),
                implementer: "Replacer".to_owned(),
            });
        }
        let (bytes, attributes) = self.inner.stored(&object.location).await;
        let value = |header: &Header| header.to_metadata().unwrap().into_values().collect::<String>();
        assert!(attributes.iter().any(|(_, found)| found.as_ref() == value(old)));
        let others = attributes.into_iter().filter(|(attribute, _)| match attribute {
            Attribute::Metadata(key) => !is_metadata_key(key),
            _ => true,
        });
        let others = others.map(|(attribute, value)| (attribute.clone(), value.clone()));
        let header = (Attribute::Metadata(key.to_owned().into()), value(new).into());
        let options = PutOptions {
            mode: PutMode::Update(super::super::object_store::UpdateVersion {
                e_tag: object.e_tag.clone(),
                version: object.version.clone(),
            }),
            attributes: others.chain([header]).collect(),
            ..PutOptions::default()
        };
        self.inner
            .memory
            .put_opts(&object.location, bytes.into(), options)
            .await
            .map(drop)
    }
}

#[tokio::test]
async fn a_rewrap_with_a_replacer_of_headers_moves_no_ciphertext() {
    for can in [true, false] {
        let inner = Wrapped::default();
        let old = EncryptedStore::builder(key(1)).build(inner.clone(), METADATA).unwrap();
        let path = Path::from("a");
        let own = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        let options = PutOptions::from(own.clone());
        old.put_opts(&path, plaintext(100_000).into(), options).await.unwrap();
        let before = inner.stored(&path).await.0;
        let replacer = Arc::new(Replacer {
            inner: inner.clone(),
            can,
        });
        let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
        let rotated = rotated.with_header_replacer(replacer);
        let rotated = rotated.build(inner.clone(), METADATA).unwrap();
        inner.take_requests();
        let outcomes = run(rotated.rewrap(None, &BulkOptions::new())).await;
        assert_eq!(done(&outcomes), [Done::Changed]);
        let (requests, fetched) = inner.take_requests();
        if can {
            assert_eq!((requests, fetched), (vec!["list".to_owned(), "head".to_owned()], 0));
        } else {
            assert_eq!(requests, ["list", "head", "get", "put"]);
        }
        assert!(inner.stored(&path).await.0 == before);
        let new = EncryptedStore::builder(key(2)).build(inner.clone(), METADATA).unwrap();
        let got = new.get(&path).await.unwrap();
        assert_eq!(got.attributes, own);
        assert!(got.bytes().await.unwrap() == plaintext(100_000));
        assert!(old.get(&path).await.is_err());
        let again = run(rotated.rewrap(None, &BulkOptions::new())).await;
        assert_eq!(done(&again), [Done::Unchanged]);
    }
}

#[tokio::test]
async fn objects_of_any_chunk_size_are_worked_on_and_keep_it() {
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let sized = |size| {
            let builder = EncryptedStore::builder(key(1)).with_chunk_size(size);
            builder.build(inner.clone(), capabilities).unwrap()
        };
        // Its last chunk would end elsewhere with another chunk size.
        let plain = plaintext(3_000_000);
        for size in ChunkSize::ALL {
            let path = Path::from(size.bytes().to_string());
            sized(size).put(&path, plain.clone().into()).await.unwrap();
        }
        let store = EncryptedStore::builder(key(2)).with_opening_key(key(1));
        let store = store.build(inner.clone(), capabilities).unwrap();
        let options = BulkOptions::new();
        let verified = Done::Verified {
            plaintext_len: 3_000_000,
        };
        assert_eq!(done(&run(store.verify(None, &options)).await), [verified; 4]);
        assert_eq!(
            done(&run(store.encrypt_in_place(None, &options)).await),
            [Done::Unchanged; 4]
        );
        assert_eq!(done(&run(store.rewrap(None, &options)).await), [Done::Changed; 4]);
        assert_eq!(done(&run(store.rekey(None, &options)).await), [Done::Changed; 4]);
        for size in ChunkSize::ALL {
            let path = Path::from(size.bytes().to_string());
            let own = EncryptedStore::builder(key(2)).with_chunk_size(size);
            let own = own.build(inner.clone(), capabilities).unwrap();
            assert!(
                own.get(&path).await.unwrap().bytes().await.unwrap() == plain,
                "{size:?}"
            );
            // Nothing but these operations reads another chunk size, also after them.
            assert_eq!(store.get(&path).await.is_ok(), size == ChunkSize::default(), "{size:?}");
        }
    }
}

#[tokio::test]
async fn a_run_resumes_after_a_name_with_any_character() {
    let store = super::encrypted(Wrapped::default(), METADATA);
    for name in ["a~", "b%7E", "c d"] {
        store.put(&Path::parse(name).unwrap(), "x".into()).await.unwrap();
    }
    let all = run(store.verify(None, &BulkOptions::new())).await;
    for (number, outcome) in all.iter().enumerate() {
        let options = BulkOptions::new().with_start_after(outcome.location.as_ref());
        let rest = run(store.verify(None, &options)).await;
        assert_eq!(rest.len(), all.len() - number - 1, "{}", outcome.location);
    }
}

#[tokio::test]
async fn without_conditional_puts_or_with_large_objects_the_caller_allows_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let old = EncryptedStore::builder(key(1)).build(disk(), ATTACHED).unwrap();
    let objects = filled(&old).await;
    let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
    let rotated = rotated.build(disk(), ATTACHED).unwrap();
    let refused = run(rotated.rewrap(None, &BulkOptions::new())).await;
    assert!(refused.iter().all(|outcome| outcome.result.is_err()), "{refused:?}");
    assert_holds(&old, &objects).await;
    let allowed = run(rotated.rewrap(None, &BulkOptions::new().without_preconditions())).await;
    assert_eq!(done(&allowed), [Done::Changed; 6]);
    assert_holds(&rotated, &objects).await;

    for capabilities in [METADATA, ATTACHED] {
        large(capabilities).await;
    }
}

async fn large(capabilities: Capabilities) {
    let inner = Wrapped::default();
    let old = EncryptedStore::builder(key(1))
        .build(inner.clone(), capabilities)
        .unwrap();
    let plain = plaintext((64 << 20) + 5);
    let path = Path::from("large");
    old.put(&path, plain.clone().into()).await.unwrap();
    let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
    let rotated = rotated.build(inner, capabilities).unwrap();
    for operation in 0..2 {
        let start = |bulk: &BulkOptions| match operation {
            0 => rotated.rewrap(None, bulk),
            _ => rotated.rekey(None, bulk),
        };
        let mut refused = start(&BulkOptions::new());
        let outcome = refused.next().await.unwrap().unwrap();
        let error = outcome.result.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert!(
            matches!(source.downcast_ref(), Some(StoreError::TooLargeToReplace { .. })),
            "{error}"
        );
        assert_eq!(
            done(&run(start(&BulkOptions::new().without_preconditions())).await),
            [Done::Changed]
        );
        assert!(rotated.get(&path).await.unwrap().bytes().await.unwrap() == plain);
    }
}

#[tokio::test]
async fn what_is_declared_plaintext_is_neither_sealed_nor_called_verified() {
    let inner = Wrapped::default();
    let builder = super::builder().with_plaintext_under(&Path::from("public"));
    let store = builder.build(inner.clone(), METADATA).unwrap();
    let public = Path::from("public/a");
    store.put(&public, "open".into()).await.unwrap();
    let options = BulkOptions::new();
    for outcomes in [
        store.verify(None, &options),
        store.rewrap(None, &options),
        store.rekey(None, &options),
        store.encrypt_in_place(None, &options),
    ] {
        assert_eq!(done(&run(outcomes).await), [Done::Skipped]);
    }
    assert_eq!(inner.stored(&public).await.0, "open");
    assert_eq!(store.get(&public).await.unwrap().bytes().await.unwrap(), "open");
}

#[tokio::test]
async fn no_object_is_encrypted_a_second_time() {
    // Its first bytes are damaged, and the second copy of the header is not.
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), ATTACHED);
    let path = Path::from("a");
    store.put(&path, "sealed".into()).await.unwrap();
    let (object, attributes) = inner.stored(&path).await;
    let mut damaged = object.to_vec();
    damaged[..8].fill(0);
    inner.store(&path, damaged.clone(), attributes).await;
    assert_eq!(
        done(&run(store.encrypt_in_place(None, &BulkOptions::new())).await),
        [Done::Unchanged]
    );
    assert!(inner.stored(&path).await.0 == damaged);

    // An object of another store, with an attached header, among those with headers in metadata.
    let store = super::encrypted(inner.clone(), METADATA);
    let outcomes = run(store.encrypt_in_place(None, &BulkOptions::new())).await;
    let error = outcomes[0].result.as_ref().unwrap_err();
    let source = std::error::Error::source(error).unwrap();
    assert!(
        matches!(source.downcast_ref(), Some(StoreError::AttachedHeader { .. })),
        "{error}"
    );
    assert!(inner.stored(&path).await.0 == damaged);
}

#[tokio::test]
async fn a_rewrap_fetches_no_payload_that_it_does_not_write_and_writes_no_foreign_one() {
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let old = EncryptedStore::builder(key(1))
            .build(inner.clone(), capabilities)
            .unwrap();
        let (path, other) = (Path::from("a"), Path::from("other"));
        old.put(&path, plaintext(100_000).into()).await.unwrap();
        let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
        let rotated = rotated.build(inner.clone(), capabilities).unwrap();
        // With another object's payload after its header.
        let (mine, attributes) = inner.stored(&path).await;
        old.put(&other, plaintext(100_000).into()).await.unwrap();
        let (theirs, _) = inner.stored(&other).await;
        let before = if capabilities == ATTACHED { 8192 } else { 0 };
        let forged = [&mine[..before], &theirs[before..]].concat();
        inner.store(&path, forged.clone(), attributes.clone()).await;
        let outcomes = run(rotated.rewrap(None, &BulkOptions::new())).await;
        assert!(outcomes[0].result.is_err() && outcomes[0].location == path);
        assert!(inner.stored(&path).await.0 == forged);

        inner.store(&path, mine, attributes).await;
        assert_eq!(
            done(&run(rotated.rewrap(None, &BulkOptions::new())).await)[0],
            Done::Changed
        );
        inner.take_requests();
        let again = run(rotated.rewrap(None, &BulkOptions::new())).await;
        assert_eq!(done(&again), [Done::Unchanged; 2]);
        assert!(inner.take_requests().1 < 20_000);
    }
}

/// Keys and contexts are chosen by the path.
#[tokio::test]
async fn what_a_store_lists_outside_the_prefix_is_left_alone() {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), METADATA);
    let (inside, outside) = (Path::from("a/x"), Path::from("b/x"));
    for path in [&inside, &outside, &Path::from("a")] {
        inner.store(path, plaintext(1000), Attributes::new()).await;
    }
    let inner = inner.with_fault(Fault::ListsAll);
    let outcomes = run(store.encrypt_in_place(Some(&Path::from("a")), &BulkOptions::new())).await;
    assert_eq!(outcomes.len(), 3);
    for outcome in outcomes {
        assert_eq!(outcome.result.is_ok(), outcome.location == inside, "{outcome:?}");
    }
    assert!(inner.stored(&outside).await.0 == plaintext(1000));
    assert!(inner.stored(&inside).await.0 != plaintext(1000));
}

#[tokio::test]
async fn a_store_that_reports_versions_in_reads_only_has_conditional_writes_too() {
    let inner = Wrapped::default();
    let path = Path::from("a");
    inner.store(&path, plaintext(1000), Attributes::new()).await;
    let inner = inner.with_fault(Fault::NeedsVersion);
    let store = EncryptedStore::builder(key(1)).build(inner.clone(), METADATA).unwrap();
    let encrypted = run(store.encrypt_in_place(None, &BulkOptions::new())).await;
    assert_eq!(done(&encrypted), [Done::Changed]);
    assert_eq!(
        done(&run(store.rekey(None, &BulkOptions::new())).await),
        [Done::Changed]
    );
    let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
    let rotated = rotated.build(inner.clone(), METADATA).unwrap();
    assert_eq!(
        done(&run(rotated.rewrap(None, &BulkOptions::new())).await),
        [Done::Changed]
    );
    assert!(rotated.get(&path).await.unwrap().bytes().await.unwrap() == plaintext(1000));
}

#[tokio::test]
async fn the_path_in_a_response_does_not_decide_what_is_written() {
    let (path, other) = (Path::from("a"), Path::from("other"));
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        inner.store(&path, plaintext(1000), Attributes::new()).await;
        inner.store(&other, plaintext(10), Attributes::new()).await;
        let store = EncryptedStore::builder(key(1))
            .build(inner.clone(), capabilities)
            .unwrap();
        let rotated = EncryptedStore::builder(key(2)).with_opening_key(key(1));
        let rotated = rotated.build(inner.clone(), capabilities).unwrap();
        inner.set_fault(Some(Fault::Location("other")));
        // Only the first of the two is worked on: the other one is there to be overwritten.
        let one = BulkOptions::new().with_concurrency(1);
        let steps: [&dyn Fn() -> _; 3] = [
            &|| store.encrypt_in_place(None, &one),
            &|| store.rekey(None, &one),
            &|| rotated.rewrap(None, &one),
        ];
        for step in steps {
            let first = step().into_future().await.0.unwrap().unwrap();
            assert!(first.location == path, "{first:?}");
            assert!(matches!(first.result, Ok(Done::Changed)), "{first:?}");
        }
        inner.set_fault(None);
        assert!(inner.stored(&other).await.0 == plaintext(10));
        assert!(rotated.get(&path).await.unwrap().bytes().await.unwrap() == plaintext(1000));
    }
}
