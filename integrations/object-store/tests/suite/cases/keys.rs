//! Which keys and contexts open which objects.

use std::sync::Arc;

use sealstone::format::WrappedKey;
use sealstone::{EncryptionContext, Header};
use sealstone_object_store::{Keys, ObjectContext, StoreError};

use super::super::object_store::path::Path;
use super::super::object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    Result,
};
use super::super::subject::EncryptedStore;
use super::METADATA;
use super::wrapped::Wrapped;
use crate::common::{Counted, key};

async fn header(inner: &Wrapped, path: &Path) -> Header {
    let (_, attributes) = inner.stored(path).await;
    let pairs = attributes.iter().filter_map(|(attribute, value)| match attribute {
        Attribute::Metadata(key) => Some((key.to_string(), value.to_string())),
        _ => None,
    });
    Header::from_metadata(pairs).unwrap()
}

async fn slots(inner: &Wrapped, path: &str) -> Vec<String> {
    header(inner, &Path::from(path))
        .await
        .slots()
        .iter()
        .map(WrappedKey::name)
        .collect()
}

#[tokio::test]
async fn prefixes_have_their_own_keys_and_rotated_ones_still_open() {
    let inner = Wrapped::default();
    let builder =
        EncryptedStore::builder(key(1)).with_keys_under(&Path::from("tenant/a"), Keys::new(key(2)).with_key(key(3)));
    let store = builder.build(inner.clone(), METADATA).unwrap();
    for path in ["x", "tenant/a/x", "tenant/ab/x"] {
        store.put(&Path::from(path), path.into()).await.unwrap();
    }
    let one = slots(&inner, "x").await;
    assert_eq!(slots(&inner, "tenant/ab/x").await, one);
    assert_eq!(slots(&inner, "tenant/a/x").await.len(), 2);

    // Moved to another prefix, an object is sealed for its keys.
    store.copy(&Path::from("tenant/a/x"), &Path::from("y")).await.unwrap();
    store
        .rename(&Path::from("tenant/a/x"), &Path::from("tenant/x"))
        .await
        .unwrap();
    assert_eq!(
        (slots(&inner, "y").await, slots(&inner, "tenant/x").await),
        (one.clone(), one)
    );
    let gone = store.head(&Path::from("tenant/a/x")).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }));
    for path in ["y", "tenant/x"] {
        assert_eq!(
            store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap(),
            "tenant/a/x"
        );
    }

    let rotated = EncryptedStore::builder(key(9)).with_opening_key(key(1));
    let rotated = rotated.build(inner.clone(), METADATA).unwrap();
    assert_eq!(rotated.get(&Path::from("x")).await.unwrap().bytes().await.unwrap(), "x");
    rotated.put(&Path::from("new"), "new".into()).await.unwrap();
    assert!(store.get(&Path::from("new")).await.is_err());
}

fn with_context<T>(set: impl FnOnce(ObjectContext) -> T, value: &str) -> T {
    set(ObjectContext(EncryptionContext::new().with("tenant", value)))
}

async fn get_as(store: &EncryptedStore<Wrapped>, path: &str, tenant: &str) -> Result<GetResult> {
    let mut options = GetOptions::default();
    with_context(|context| options.extensions.insert(context), tenant);
    store.get_opts(&Path::from(path), options).await
}

#[tokio::test]
async fn an_object_with_a_context_of_its_own_is_read_under_it_or_not_at_all() {
    let inner = Wrapped::default();
    let context = EncryptionContext::new().with("app", "test");
    let builder = EncryptedStore::builder(key(1)).with_context(context.clone());
    let store = builder.build(inner.clone(), METADATA).unwrap();
    let mut put = PutOptions::default();
    with_context(|context| put.extensions.insert(context), "a");
    store.put_opts(&Path::from("one"), "one".into(), put).await.unwrap();
    let mut multipart = PutMultipartOptions::default();
    with_context(|context| multipart.extensions.insert(context), "a");
    let mut upload = store.put_multipart_opts(&Path::from("two"), multipart).await.unwrap();
    upload.put_part("two".into()).await.unwrap();
    upload.complete().await.unwrap();

    for path in ["one", "two"] {
        // Twice, and from the cache: others' keys are not used.
        for _ in 0..2 {
            assert_eq!(get_as(&store, path, "a").await.unwrap().bytes().await.unwrap(), path);
            assert!(get_as(&store, path, "b").await.is_err());
            assert!(store.get(&Path::from(path)).await.is_err());
            assert!(store.get_range(&Path::from(path), 0..1).await.is_err());
            assert!(store.get_ranges(&Path::from(path), &[0..1]).await.is_err());
        }
    }
    let mut copy = CopyOptions::default();
    with_context(|context| copy.extensions.insert(context), "a");
    store
        .copy_opts(&Path::from("one"), &Path::from("copy"), copy)
        .await
        .unwrap();
    assert!(get_as(&store, "copy", "a").await.is_ok());
    // A context that is not the object's is refused, whoever would make the copy.
    let mut wrong = CopyOptions::default();
    with_context(|context| wrong.extensions.insert(context), "b");
    let [from, to] = ["one", "copy"].map(Path::from);
    assert!(store.copy_opts(&from, &to, wrong).await.is_err());

    let mut conflict = PutOptions::default();
    conflict.extensions.insert(ObjectContext(context));
    let error = store
        .put_opts(&Path::from("x"), "x".into(), conflict)
        .await
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(matches!(source.downcast_ref(), Some(StoreError::ContextConflict { key, .. }) if key == "app"));

    // Another store's constant.
    let other = EncryptedStore::builder(key(1)).build(inner, METADATA).unwrap();
    assert!(get_as(&other, "one", "a").await.is_err());
}

#[tokio::test]
async fn an_object_bound_to_its_path_opens_nowhere_else() {
    let inner = Wrapped::default();
    let store = super::builder()
        .with_path_context("path")
        .build(inner.clone(), METADATA)
        .unwrap();
    let (from, to) = (Path::from("from"), Path::from("to"));
    store.put(&from, "it".into()).await.unwrap();
    // Storage passes one object for another.
    let (bytes, attributes) = inner.stored(&from).await;
    inner.store(&to, bytes, attributes).await;
    assert!(store.get(&to).await.is_err());
    // The store itself binds the copy to its new path.
    store.copy(&from, &to).await.unwrap();
    store.rename(&to, &Path::from("end")).await.unwrap();
    assert_eq!(
        store.get(&Path::from("end")).await.unwrap().bytes().await.unwrap(),
        "it"
    );
    assert!(
        !inner
            .take_requests()
            .0
            .iter()
            .any(|request| request == "copy" || request == "rename")
    );
    // A rename to the same path keeps the object.
    store.rename(&from, &from).await.unwrap();
    assert!(store.head(&from).await.is_ok());
}

#[tokio::test]
async fn declared_prefixes_stay_plaintext() {
    let inner = Wrapped::default();
    let store = super::builder()
        .with_plaintext_under(&Path::from("public"))
        .build(inner.clone(), METADATA)
        .unwrap();
    let (public, secret) = (Path::from("public/a"), Path::from("publication"));
    for path in [&public, &secret] {
        store.put(path, "0123456789".into()).await.unwrap();
        assert_eq!(store.get_range(path, 3..5).await.unwrap(), "34");
        assert_eq!(store.get_ranges(path, &[3..5]).await.unwrap()[0], "34");
        assert_eq!(store.head(path).await.unwrap().size, 10);
    }
    assert_eq!(inner.stored(&public).await.0, "0123456789");
    assert_ne!(inner.stored(&secret).await.0, "0123456789");
    // From one kind to the other: that is how a prefix is migrated.
    store.copy(&public, &Path::from("sealed")).await.unwrap();
    assert_ne!(inner.stored(&Path::from("sealed")).await.0, "0123456789");
    store.copy(&secret, &Path::from("public/b")).await.unwrap();
    assert_eq!(inner.stored(&Path::from("public/b")).await.0, "0123456789");
    for (path, len) in [("sealed", 10), ("public/b", 10)] {
        assert_eq!(store.head(&Path::from(path)).await.unwrap().size, len);
    }
}

#[tokio::test]
async fn a_key_is_asked_again_when_its_cached_use_expires() {
    let key: Arc<Counted> = Counted::new(1);
    let builder = EncryptedStore::builder(key.clone()).with_cache(std::time::Duration::from_millis(50), 10);
    let store = builder.build(Wrapped::default(), METADATA).unwrap();
    let path = Path::from("a");
    store.put(&path, "it".into()).await.unwrap();
    for expected in [1, 2] {
        for _ in 0..3 {
            store.get(&path).await.unwrap();
        }
        assert!(key.unwraps() >= expected);
        tokio::time::sleep(std::time::Duration::from_millis(80)).await;
    }
    store.clear_cache();
    let before = key.unwraps();
    store.get(&path).await.unwrap();
    assert_eq!(key.unwraps(), before + 1);
}

#[tokio::test]
async fn a_rule_holds_for_paths_whose_names_are_encoded() {
    let inner = Wrapped::default();
    let prefix = Path::from("customer~1");
    let store = EncryptedStore::builder(key(1)).with_keys_under(&prefix, Keys::new(key(2)));
    let store = store.build(inner.clone(), METADATA).unwrap();
    let path = Path::from("customer~1/x");
    store.put(&path, "it".into()).await.unwrap();
    let other = EncryptedStore::builder(key(2)).build(inner, METADATA).unwrap();
    assert_eq!(other.get(&path).await.unwrap().bytes().await.unwrap(), "it");
}

#[test]
fn settings_that_do_not_do_what_they_seem_to_are_refused() {
    let root = super::builder().with_plaintext_under(&Path::from("/"));
    let short = super::builder().with_equal_parts(1000);
    let none = super::builder().with_equal_parts(0);
    let twice = super::builder()
        .with_context(EncryptionContext::new().with("path", "x"))
        .with_path_context("path");
    for builder in [root, short, none, twice] {
        let error = builder.build(Wrapped::default(), METADATA).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert!(
            matches!(source.downcast_ref(), Some(StoreError::Settings { .. })),
            "{error}"
        );
    }
}

/// What is stored is a sealstone object like any other.
#[tokio::test]
async fn the_library_opens_what_is_stored() {
    let inner = Wrapped::default();
    let (path, plain) = (Path::from("a"), crate::common::plaintext(100_000));
    let decryptor = || sealstone::Decryptor::new(key(1));
    let store = EncryptedStore::builder(key(1)).build(inner.clone(), METADATA).unwrap();
    store.put(&path, plain.clone().into()).await.unwrap();
    let payload = inner.stored(&path).await.0;
    let unlocked = decryptor().unlock(header(&inner, &path).await).unwrap();
    assert!(unlocked.open(&payload).unwrap() == plain);

    let store = EncryptedStore::builder(key(1))
        .build(inner.clone(), super::ATTACHED)
        .unwrap();
    store.put(&path, plain.clone().into()).await.unwrap();
    assert!(decryptor().open(&inner.stored(&path).await.0).unwrap() == plain);
}
