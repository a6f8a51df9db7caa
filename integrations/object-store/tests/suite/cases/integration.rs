//! `object_store`'s own suite, over every kind of inner store that is within this process.

use super::super::object_store::integration as suite;
use super::super::object_store::local::LocalFileSystem;
use super::super::object_store::memory::InMemory;
use super::super::object_store::{Error, ObjectStore};
use super::builder;
use sealstone_object_store::{Capabilities, HeaderPlace};

/// What every store passes.
async fn passes(store: &dyn ObjectStore) {
    suite::put_get_delete_list(store).await;
    suite::get_opts(store).await;
    suite::list_uses_directories_correctly(store).await;
    suite::list_with_delimiter(store).await;
    suite::list_with_offset_exclusivity(store).await;
    suite::rename_and_copy(store).await;
    suite::copy_if_not_exists(store).await;
    suite::copy_rename_nonexistent_object(store).await;
    suite::stream_get(store).await;
    suite::multipart_race_condition(store, true).await;
    suite::multipart_out_of_order(store).await;
    let missing = suite::get_nonexistent_object(store, None).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn memory_with_headers_in_metadata() {
    let store = builder().probe(InMemory::new()).await.unwrap();
    assert_eq!(store.capabilities(), super::METADATA);
    passes(&store).await;
    suite::put_opts(&store, true).await;
    suite::put_get_attributes(&store).await;
}

#[tokio::test]
async fn memory_with_attached_headers() {
    let store = super::encrypted(InMemory::new(), super::ATTACHED);
    passes(&store).await;
    suite::put_opts(&store, true).await;
    suite::put_get_attributes(&store).await;
}

#[tokio::test]
async fn memory_that_copies_nothing_by_itself() {
    for place in [HeaderPlace::Metadata, HeaderPlace::Attached] {
        let capabilities = Capabilities::new(place, sealstone_object_store::ServerCopies::None);
        passes(&super::encrypted(InMemory::new(), capabilities)).await;
    }
    // Bound to their paths, objects are copied by opening and sealing them.
    let bound = builder().with_path_context("path");
    passes(&bound.build(InMemory::new(), super::METADATA).unwrap()).await;
}

#[tokio::test]
async fn memory_with_equal_parts() {
    let equal = builder().with_equal_parts(6 << 20);
    passes(&equal.build(InMemory::new(), super::METADATA).unwrap()).await;
}

#[tokio::test]
async fn disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let store = builder().probe(store).await.unwrap();
    assert_eq!(store.capabilities(), super::ATTACHED);
    passes(&store).await;
    suite::put_opts(&store, false).await;
}
