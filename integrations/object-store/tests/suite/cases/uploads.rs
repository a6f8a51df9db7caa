//! Writing: parts of any length, in any order of polls, dropped anywhere; and nothing of the plaintext in the store.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, TryFutureExt};

use super::super::object_store::buffered::BufWriter;
use sealstone_object_store::StoreError;

use super::super::object_store::local::LocalFileSystem;
use super::super::object_store::memory::InMemory;
use super::super::object_store::path::Path;
use super::super::object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use super::wrapped::{Wrapped, paths};
use super::{ATTACHED, METADATA};
use crate::common::{C, plaintext};

/// A payload in buffers of different lengths, with empty ones among them.
fn scattered(plain: &[u8]) -> PutPayload {
    let mut buffers = vec![Bytes::new()];
    let (mut rest, mut len) = (plain, 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        buffers.push(Bytes::copy_from_slice(piece));
        (rest, len) = (after, len * 3 % 100_003 + 1);
    }
    PutPayload::from_iter(buffers)
}

#[tokio::test]
async fn parts_of_any_lengths_are_one_object() {
    const MIB: usize = 1 << 20;
    let cases: [&[usize]; 7] = [
        &[],
        &[0],
        &[10],
        &[5 * MIB, 5 * MIB, 3 * MIB],
        &[5 * MIB + 1, 5 * MIB - 1, 6 * MIB + 17, 1],
        &[C - 1, C, C + 1, 9 * MIB, 0, 1],
        &[17 * MIB + 3],
    ];
    for capabilities in [METADATA, ATTACHED] {
        let plain = builder_plain(&cases);
        let equal = super::builder()
            .with_equal_parts(6 << 20)
            .build(InMemory::new(), capabilities)
            .unwrap();
        for store in [super::encrypted(InMemory::new(), capabilities), equal] {
            for (number, lens) in cases.iter().enumerate() {
                let path = Path::from(format!("{number}"));
                let mut upload = store.put_multipart(&path).await.unwrap();
                let (mut rest, mut parts) = (&plain[..lens.iter().sum()], Vec::new());
                let expected = rest;
                for len in *lens {
                    let (part, after) = rest.split_at(*len);
                    parts.push(upload.put_part(scattered(part)));
                    rest = after;
                }
                // The last first, and all at once.
                parts.reverse();
                for sent in join_all(parts).await {
                    sent.unwrap();
                }
                upload.complete().await.unwrap();
                assert!(
                    store.get(&path).await.unwrap().bytes().await.unwrap() == expected,
                    "{lens:?}"
                );
                assert_eq!(store.head(&path).await.unwrap().size, expected.len() as u64);
            }
        }
    }
}

fn builder_plain(cases: &[&[usize]]) -> Vec<u8> {
    plaintext(cases.iter().map(|lens| lens.iter().sum()).max().unwrap())
}

#[tokio::test]
async fn nothing_of_the_plaintext_reaches_the_store() {
    const SECRET: &[u8] = b"known plaintext, known plaintext";
    for capabilities in [METADATA, ATTACHED] {
        let inner = Wrapped::default();
        let store = super::encrypted(inner.clone(), capabilities);
        let secret = |len: usize| Bytes::from(SECRET.repeat(len / SECRET.len() + 1));
        store.put(&Path::from("small"), secret(1).into()).await.unwrap();
        store.put(&Path::from("large"), secret(3 << 20).into()).await.unwrap();
        store
            .put(&Path::from("scattered"), scattered(&secret(100_000)))
            .await
            .unwrap();
        let upload = store.put_multipart(&Path::from("multipart")).await.unwrap();
        let mut writer = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
        for _ in 0..12 {
            writer.write(&secret(1 << 20));
        }
        writer.finish().await.unwrap();
        let mut buffered = BufWriter::new(Arc::new(store.clone()), Path::from("buffered"));
        buffered.put(secret(12 << 20)).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut buffered).await.unwrap();
        store.copy(&Path::from("small"), &Path::from("copied")).await.unwrap();
        store
            .rename(&Path::from("copied"), &Path::from("renamed"))
            .await
            .unwrap();
        let paths = paths(&inner).await;
        assert_eq!(paths.len(), 6);
        for path in paths {
            let (stored, attributes) = inner.stored(&path).await;
            let attributes = format!("{attributes:?}");
            for part in [&SECRET[..8], &SECRET[8..16]] {
                let found = stored.windows(part.len()).any(|window| window == part);
                assert!(
                    !found && !attributes.contains(std::str::from_utf8(part).unwrap()),
                    "{path}"
                );
            }
            assert!(
                store
                    .get(&path)
                    .await
                    .unwrap()
                    .bytes()
                    .await
                    .unwrap()
                    .starts_with(SECRET)
            );
        }
    }
}

#[tokio::test]
async fn an_upload_that_ended_takes_no_more_parts_and_an_aborted_one_leaves_nothing() {
    let store = super::encrypted(InMemory::new(), METADATA);
    let path = Path::from("a");
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(vec![1; 6 << 20].into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(upload.put_part(vec![1; 6 << 20].into()).await.is_err());
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));

    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.complete().await.unwrap();
    assert!(upload.put_part(vec![1; 6 << 20].into()).await.is_err());
    assert_eq!(store.head(&path).await.unwrap().size, 0);
}

/// Polls `call` up to `polls` times and drops it if it has not ended by then.
async fn dropped_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = std::pin::pin!(call);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        if let Poll::Ready(done) = polled {
            return Some(done);
        }
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
    None
}

#[tokio::test]
async fn a_call_can_be_dropped_at_every_await() {
    let key = crate::common::Counted::new(7);
    let builder = super::super::subject::EncryptedStore::builder(key);
    let executor = sealstone::Executor::threads(2).unwrap();
    let store = builder
        .with_executor(executor)
        .build(Wrapped::default(), METADATA)
        .unwrap();
    let (path, old, new) = (Path::from("a"), plaintext(300_000), plaintext(700_000));
    let mut finished = 0;
    for polls in 0..60 {
        store.put(&path, old.clone().into()).await.unwrap();
        store.clear_cache();
        let put = dropped_after(polls, store.put(&path, new.clone().into())).await;
        let read = dropped_after(polls, async { store.get(&path).await?.bytes().await }).await;
        let expected = if put.is_some() { &new } else { &old };
        if let Some(read) = read {
            finished += 1;
            assert!(read.unwrap() == expected);
        }
        // Whatever was dropped, the next read succeeds.
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == expected);
        assert!(store.get_ranges(&path, &[5..10]).await.unwrap()[0] == expected[5..10]);

        // A part's future is dropped while the part is sealed or sent: the upload cannot be completed.
        let mut upload = store.put_multipart(&path).await.unwrap();
        let part = upload.put_part(vec![0; 6 << 20].into());
        let sent = dropped_after(polls / 8, part).await;
        assert_eq!(upload.complete().await.is_ok(), sent.is_some());
        if sent.is_none() {
            upload.abort().await.unwrap();
        }
        assert_eq!(
            store.get(&path).await.unwrap().meta.size,
            if sent.is_some() { 6 << 20 } else { expected.len() as u64 }
        );

        let mut upload = store.put_multipart(&path).await.unwrap();
        for part in new.chunks(300_000) {
            upload.put_part(part.to_vec().into()).await.unwrap();
        }
        let completed = dropped_after(polls, upload.complete()).await;
        if completed.is_none() {
            // The upload can still be completed.
            upload.complete().await.unwrap();
        }
        assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == new);
    }
    assert!(finished > 0);
}

#[tokio::test]
async fn an_upload_that_lacks_a_part_is_not_completed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let disk = super::encrypted(disk, ATTACHED);
    let memory = super::encrypted(InMemory::new(), METADATA);
    for store in [&disk as &dyn ObjectStore, &memory] {
        let path = Path::from("a");
        let plain = plaintext(18 << 20);
        let mut upload = store.put_multipart(&path).await.unwrap();
        let mut parts: Vec<_> = plain
            .chunks(6 << 20)
            .map(|part| upload.put_part(part.to_vec().into()))
            .collect();
        // Never polled. The others do not wait for it.
        drop(parts.remove(0));
        for part in parts {
            part.await.unwrap();
        }
        for _ in 0..2 {
            let error = upload.complete().await.unwrap_err();
            let source = std::error::Error::source(&error).unwrap();
            assert!(
                matches!(source.downcast_ref(), Some(StoreError::MissingPart { .. })),
                "{error}"
            );
        }
        upload.abort().await.unwrap();
        assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));
    }
}

#[tokio::test]
async fn no_call_seals_or_opens_on_its_own_thread() {
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
    let store = super::builder().with_executor(sealstone::Executor::pool(pool.clone()));
    let store = store.build(InMemory::new(), METADATA).unwrap();
    let (path, plain) = (Path::from("a"), Bytes::from(plaintext(6 << 20)));
    store.put(&path, plain.clone().into()).await.unwrap();
    store.get(&path).await.unwrap();
    let mut upload = store.put_multipart(&Path::from("b")).await.unwrap();

    // The pool's only thread is busy: whatever needs it is pending until that ends.
    let (release, busy) = std::sync::mpsc::channel::<()>();
    pool.spawn(move || {
        let _ = busy.recv();
    });
    let part = upload.put_part(plain.clone().into());
    let other = Path::from("c");
    let put = store.put(&other, plain.clone().into()).map_ok(drop).boxed();
    let short = async { store.get_range(&path, 0..300_000).await.map(drop) }.boxed();
    let long = async { store.get(&path).await?.bytes().await.map(drop) }.boxed();
    let mut calls = [part, put, short, long];
    for call in &mut calls {
        let polled = poll_fn(|cx| Poll::Ready(call.poll_unpin(cx))).await;
        assert!(polled.is_pending());
    }
    drop(release);
    for done in join_all(calls).await {
        done.unwrap();
    }
    upload.complete().await.unwrap();
    assert!(store.get(&Path::from("b")).await.unwrap().bytes().await.unwrap() == plain);
}

#[tokio::test]
async fn a_large_put_with_an_attached_header_goes_in_parts() {
    let inner = Wrapped::default();
    let store = super::encrypted(inner.clone(), ATTACHED);
    let (path, plain) = (Path::from("a"), plaintext((20 << 20) + 7));
    let put = store.put(&path, scattered(&plain)).await.unwrap();
    assert_eq!(inner.take_requests().0, ["multipart", "complete"]);
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.meta.e_tag, put.e_tag);
    assert!(got.bytes().await.unwrap() == plain);
    // On a condition it is one request.
    let options = PutOptions::from(PutMode::Create);
    let refused = store.put_opts(&path, plain.clone().into(), options).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
}
