//! Copies and renames over stores that do not keep attributes in all of them.

use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies, StoreError};

use super::super::object_store::path::Path;
use super::super::object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt};
use super::wrapped::{Fault, Wrapped, paths};
use crate::common::plaintext;

#[tokio::test]
async fn a_store_whose_creating_copies_drop_attributes_loses_no_header() {
    let inner = Wrapped::default().with_fault(Fault::CreatingCopiesDropAttributes);
    let store = super::builder().probe(inner.clone()).await.unwrap();
    assert_eq!(
        store.capabilities(),
        Capabilities::new(HeaderPlace::Metadata, ServerCopies::Replacing)
    );
    assert!(paths(&inner).await.is_empty(), "the probe leaves something");
    inner.take_requests();
    let [from, copied, renamed, replaced] = ["from", "copied", "renamed", "replaced"].map(Path::from);
    let own = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
    store.put_opts(&from, "it".into(), own.clone().into()).await.unwrap();

    store.copy_if_not_exists(&from, &copied).await.unwrap();
    let error = store.copy_if_not_exists(&from, &copied).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    store.rename_if_not_exists(&from, &renamed).await.unwrap();
    assert!(
        !inner
            .take_requests()
            .0
            .iter()
            .any(|request| request == "copy" || request == "rename")
    );
    store.copy(&renamed, &replaced).await.unwrap();
    assert!(inner.take_requests().0.contains(&"copy".to_owned()));
    for path in [copied, renamed, replaced] {
        let got = store.get(&path).await.unwrap();
        assert_eq!(got.attributes, own);
        assert_eq!(got.bytes().await.unwrap(), "it");
    }
    assert!(matches!(store.head(&from).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_large_object_is_copied_in_parts() {
    let inner = Wrapped::default();
    let capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::None);
    let store = super::encrypted(inner.clone(), capabilities);
    let plain = plaintext((20 << 20) + 5);
    let (from, to) = (Path::from("from"), Path::from("to"));
    store.put(&from, plain.clone().into()).await.unwrap();
    inner.take_requests();
    store.copy(&from, &to).await.unwrap();
    assert_eq!(inner.take_requests().0, ["get", "multipart", "complete"]);
    assert!(store.get(&to).await.unwrap().bytes().await.unwrap() == plain);
    // The copy is an object of its own.
    assert!(inner.stored(&from).await.0 != inner.stored(&to).await.0);

    // One that breaks off leaves nothing.
    inner.set_fault(Some(Fault::BodyFails(15 << 20)));
    inner.take_requests();
    store.copy(&from, &Path::from("broken")).await.unwrap_err();
    assert_eq!(inner.take_requests().0, ["get", "multipart", "abort"]);
    assert!(matches!(
        store.head(&Path::from("broken")).await,
        Err(Error::NotFound { .. })
    ));
    store.rename(&from, &Path::from("broken")).await.unwrap_err();
    inner.set_fault(None);
    assert!(store.get(&from).await.unwrap().bytes().await.unwrap() == plain);
}

#[tokio::test]
async fn a_copy_that_would_take_too_much_memory_is_refused_by_name() {
    let inner = Wrapped::default();
    let capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::Replacing);
    let store = super::encrypted(inner.clone(), capabilities);
    let from = Path::from("from");
    store.put(&from, "it".into()).await.unwrap();
    // Only its length is looked at.
    let (object, attributes) = inner.stored(&from).await;
    let mut longer = vec![0; (257 << 20) + 16 * 16449 + 100];
    longer[..56].copy_from_slice(&object[..56]);
    inner.store(&from, longer, attributes).await;
    let error = store.copy_if_not_exists(&from, &Path::from("to")).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(
        matches!(source.downcast_ref(), Some(StoreError::CopyTooLarge { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_that_refuses_hyphens_gets_a_name_without_one() {
    let inner = Wrapped::default().with_fault(Fault::RefusesHyphens);
    let store = super::builder().probe(inner.clone()).await.unwrap();
    let expected = Capabilities::new(HeaderPlace::MetadataIdentifier, ServerCopies::All);
    assert_eq!(store.capabilities(), expected);
    assert!(paths(&inner).await.is_empty());
    let (path, plain) = (Path::from("a"), plaintext(100_000));
    store.put(&path, plain.clone().into()).await.unwrap();
    assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
    assert!(store.get_range(&path, 5..10).await.unwrap() == plain[5..10]);
    assert_eq!(store.head(&path).await.unwrap().size, 100_000);
    // Stores with either name read each other's objects.
    let other = super::encrypted(inner, super::METADATA);
    assert!(other.get(&path).await.unwrap().bytes().await.unwrap() == plain);
}
