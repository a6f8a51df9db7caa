//! What is particular to S3: copies that drop metadata, the least length of a part, and what a bucket holds.

use futures_util::TryStreamExt;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};

use super::super::object_store::aws::S3CopyIfNotExists;
use super::super::object_store::path::Path;
use super::super::object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, WriteMultipart};
use super::counted::Counted;
use super::{builder, encrypted, s3, s3_builder};
use crate::common::{ATTACHED, METADATA, SECRET, contains, plaintext};

const MIB: usize = 1024 * 1024;

/// The bytes and the attributes of every object of a bucket, as S3 has them.
async fn stored(store: &dyn ObjectStore) -> Vec<(Path, Vec<u8>, Attributes)> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut stored = Vec::new();
    for meta in listed {
        let got = store.get(&meta.location).await.unwrap();
        let attributes = got.attributes.clone();
        stored.push((meta.location, got.bytes().await.unwrap().to_vec(), attributes));
    }
    stored
}

fn own_attributes() -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, "text/plain"),
        (Attribute::Metadata("owner".into()), "ward 3"),
    ])
}

#[tokio::test]
async fn a_probe_finds_that_s3_keeps_metadata_in_copies() {
    let store = builder().probe(s3()).await.unwrap();
    assert_eq!(store.capabilities(), METADATA);
    assert!(stored(store.inner()).await.is_empty(), "the probe leaves something");
}

#[tokio::test]
async fn a_creating_copy_of_parts_drops_metadata_and_renames_keep_the_header_nevertheless() {
    let multipart = || s3_builder().with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
    let paths = ["from", "copied", "renamed", "replaced"].map(Path::from);
    let [from, copied, renamed, replaced] = &paths;
    let plain = plaintext(6 * MIB + 11);

    // What a wrapper that relied on it would lose.
    let bare = multipart().build().unwrap();
    bare.put_opts(from, plain.clone().into(), own_attributes().into())
        .await
        .unwrap();
    bare.copy_if_not_exists(from, copied).await.unwrap();
    let owner = Attribute::Metadata("owner".into());
    assert!(bare.get(copied).await.unwrap().attributes.get(&owner).is_none());

    let store = builder().probe(multipart().build().unwrap()).await.unwrap();
    let found = Capabilities::new(HeaderPlace::Metadata, ServerCopies::Replacing);
    assert_eq!(store.capabilities(), found);
    store
        .put_opts(from, plain.clone().into(), own_attributes().into())
        .await
        .unwrap();
    store.copy_if_not_exists(from, copied).await.unwrap();
    store.rename_if_not_exists(from, renamed).await.unwrap();
    store.copy(renamed, replaced).await.unwrap();
    let error = store.rename_if_not_exists(copied, renamed).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert!(matches!(store.head(from).await, Err(Error::NotFound { .. })));
    for path in [copied, renamed, replaced] {
        let got = store.get(path).await.unwrap();
        assert_eq!(got.attributes, own_attributes(), "{path}");
        assert!(got.bytes().await.unwrap() == plain, "{path}");
    }
}

#[tokio::test]
async fn parts_of_odd_lengths_are_sent_as_s3_takes_them() {
    // The server refuses what S3 refuses: parts that are too short, unless they are the last.
    let bare = s3();
    let path = Path::from("parts");
    let mut upload = bare.put_multipart(&path).await.unwrap();
    for _ in 0..2 {
        upload.put_part(vec![1; 5 * MIB - 1].into()).await.unwrap();
    }
    let error = upload.complete().await.unwrap_err();
    assert!(error.to_string().contains("EntityTooSmall"), "{error}");

    let plain = plaintext(17 * MIB + 4321);
    for capabilities in [METADATA, ATTACHED] {
        let counted = Counted::new(s3());
        let store = encrypted(counted.clone(), capabilities);
        // Parts of the caller's: the least that S3 takes, but for the last, in pieces that fit nothing.
        let mut writer = WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await.unwrap(), 5 * MIB);
        for piece in plain.chunks(700_001) {
            writer.write(piece);
        }
        writer.finish().await.unwrap();
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
        let found = counted.take().parts;
        assert!(
            found.len() >= 3 && found.iter().rev().skip(1).all(|len| *len >= 5 * MIB),
            "{found:?}"
        );

        // Parts that S3 would refuse.
        let mut upload = store.put_multipart(&path).await.unwrap();
        let mut rest = &plain[..];
        for len in [1, 5 * MIB - 1, 3, 5 * MIB + 1, 100_003].into_iter().cycle() {
            let (part, after) = rest.split_at(len.min(rest.len()));
            upload.put_part(part.to_vec().into()).await.unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        upload.complete().await.unwrap();
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
        assert_eq!(store.head(&path).await.unwrap().size, plain.len() as u64);

        // An upload that was given up leaves what was there.
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part(vec![2; 6 * MIB].into()).await.unwrap();
        upload.abort().await.unwrap();
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == plain);
    }
}

/// Writes in every way that there is.
async fn write_all(store: &dyn ObjectStore) {
    let path = |name: &str| Path::from(name);
    let small = plaintext(5000);
    store
        .put_opts(&path("put"), small.clone().into(), own_attributes().into())
        .await
        .unwrap();
    let plain = plaintext(6 * MIB + 5);
    let upload = store.put_multipart_opts(&path("parts"), own_attributes().into()).await;
    let mut writer = WriteMultipart::new_with_chunk_size(upload.unwrap(), 5 * MIB);
    writer.write(&plain);
    writer.finish().await.unwrap();
    store.copy(&path("put"), &path("copied")).await.unwrap();
    store.copy_if_not_exists(&path("put"), &path("created")).await.unwrap();
    store.copy(&path("parts"), &path("renaming")).await.unwrap();
    store.rename(&path("renaming"), &path("renamed")).await.unwrap();
    store.copy(&path("put"), &path("creating")).await.unwrap();
    store
        .rename_if_not_exists(&path("creating"), &path("renamed once"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bucket_holds_nothing_of_the_plaintext_after_any_way_of_writing() {
    let s3 = || {
        let builder = s3_builder().with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
        builder.build().unwrap()
    };
    let bare = s3();
    write_all(&bare).await;
    let found = stored(&bare).await;
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|(_, bytes, _)| contains(bytes, SECRET)));

    for stores in [
        builder().probe(s3()).await.unwrap(),
        encrypted(s3(), Capabilities::new(HeaderPlace::Attached, ServerCopies::All)),
        builder().with_path_context("path").build(s3(), METADATA).unwrap(),
    ] {
        write_all(&stores).await;
        let found = stored(stores.inner()).await;
        assert_eq!(found.len(), 6);
        for (path, bytes, attributes) in found {
            assert!(!contains(&bytes, SECRET), "{path}");
            assert!(!format!("{attributes:?}").contains("confidential"), "{path}");
            let plain = stores.get(&path).await.unwrap().bytes().await.unwrap();
            assert!(contains(&plain, SECRET), "{path}");
        }
    }
}
