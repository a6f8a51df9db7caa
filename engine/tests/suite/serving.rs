//! A server on a runtime with one thread: it unlocks objects and serves ranges while other tasks continue.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::{DataKey, Decryptor, EncryptionContext, KeyProvider, RawKey, Result, UnlockedCache};
use tokio::io::AsyncReadExt;

use crate::common::{C, encryptor, key, plaintext};

/// A slow key service.
#[derive(Debug)]
struct Slow(Arc<RawKey>, AtomicUsize);

impl KeyProvider for Slow {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.0.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.0.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            self.1.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.0.unwrap_key(wrapped, context).await
        })
    }
}

/// The body of a ranged response, as a storage client returns it.
struct Body(Bytes);

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let len = self.0.len().min(9000);
        Poll::Ready((len > 0).then(|| Ok(self.0.split_to(len))))
    }
}

fn get(object: &Bytes, range: &std::ops::Range<u64>) -> Bytes {
    object.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
}

#[test]
fn ranges_are_served_while_other_tasks_run() {
    let plain = plaintext(300 * C + 77);
    let object = Bytes::from(encryptor().seal(&plain).unwrap());
    let slow = Arc::new(Slow(key(), AtomicUsize::new(0)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ticks = Arc::new(AtomicUsize::new(0));
        let ticking = tokio::spawn({
            let ticks = ticks.clone();
            async move {
                loop {
                    ticks.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });

        let header = Decryptor::read_header(&object).unwrap();
        let unlocked = Decryptor::new(slow.clone()).unlock_async(header).await.unwrap();
        assert!(ticks.load(Ordering::Relaxed) > 20, "the key call blocks the runtime");

        let all = unlocked.range(object.len() as u64, ..).unwrap();
        let before = ticks.load(Ordering::Relaxed);
        let mut body = all.open_stream(Body(get(&object, all.ciphertext_range())));
        let mut read = Vec::new();
        while let Some(item) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            read.extend_from_slice(&item.unwrap());
            // One batch per poll: the runtime has its turn in between.
            tokio::task::yield_now().await;
        }
        assert!(read == plain);
        assert!(ticks.load(Ordering::Relaxed) > before, "opening blocks the runtime");

        for (start, end) in [(0, 10), (C - 5, 3 * C), (299 * C, 300 * C + 77), (55, 55)] {
            let range = unlocked.range(object.len() as u64, start as u64..end as u64).unwrap();
            let fetched = get(&object, range.ciphertext_range());
            let mut read = Vec::new();
            range.reader_async(&fetched[..]).read_to_end(&mut read).await.unwrap();
            assert!(read == plain[start..end]);
        }
        ticking.abort();
    });
    assert_eq!(slow.1.load(Ordering::Relaxed), 1, "one key call for all of it");

    // Concurrent requests share one call.
    let cache = UnlockedCache::new(Decryptor::new(slow.clone()));
    let header = Decryptor::read_header(&object).unwrap();
    runtime.block_on(async {
        let cache = Arc::new(cache);
        let requests: Vec<_> = (0..20)
            .map(|_| {
                let (cache, header) = (cache.clone(), header.clone());
                tokio::spawn(async move { cache.unlock_async(header).await.unwrap() })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap().header(), header.header());
        }
    });
    assert_eq!(slow.1.load(Ordering::Relaxed), 2);

    // Under the caller's own ids, with a decryptor for each.
    let cache = UnlockedCache::new(Decryptor::new(slow.clone()));
    let call = |id: &'static [u8], decryptor: Decryptor| {
        let header = header.clone();
        let unlock = move || {
            let (decryptor, header) = (decryptor.clone(), header.clone());
            async move { decryptor.unlock_async(header).await }
        };
        runtime.block_on(cache.get_or_unlock_async(id, unlock))
    };
    let other = Decryptor::new(Arc::new(RawKey::from_slice(&[9; 32]).unwrap()));
    assert!(cache.get(b"the right key").is_none());
    for _ in 0..2 {
        assert!(call(b"the right key", Decryptor::new(slow.clone())).is_ok());
        // Neither a success under another id nor a failure is returned.
        assert!(call(b"another key", other.clone()).is_err());
    }
    assert!(cache.get(b"the right key").is_some() && cache.get(b"another key").is_none());
    assert_eq!(slow.1.load(Ordering::Relaxed), 3);
}

#[test]
fn a_part_is_sealed_without_being_polled() {
    let plain = Bytes::from(plaintext(40 * C + 5));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for executor in crate::common::executors() {
        let progress = sealstone::Progress::new();
        let encryptor = encryptor().with_executor(executor).with_progress(progress.clone());
        let mut running = encryptor.begin().unwrap().running_parts().unwrap();
        let first = running.next_part(40).unwrap().seal_async(vec![plain.slice(..40 * C)]);
        let last = running.last_part(5).unwrap().seal_async(vec![plain.slice(40 * C..)]);
        while progress.bytes() < plain.len() as u64 {
            std::thread::yield_now();
        }
        let object = runtime.block_on(async {
            // Awaited in another order than they were begun.
            let last = last.await.unwrap();
            [first.await.unwrap().into_bytes(), last.into_bytes()].concat()
        });
        assert!(crate::common::decryptor().open(&object).unwrap() == plain);
    }
}

#[cfg(feature = "threads")]
#[test]
fn objects_in_memory_are_sealed_and_opened_on_the_pool() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for executor in crate::common::executors() {
        let encryptor = encryptor().with_executor(executor.clone());
        let decryptor = crate::common::decryptor().with_executor(executor);
        for len in [0, 1, 60_000, 70_000, 40 * C] {
            let plain = Bytes::from(plaintext(len));
            let (sealed, opened) = runtime.block_on(async {
                let sealed = encryptor.seal_async(plain.clone()).await.unwrap();
                (sealed.clone(), decryptor.open_async(sealed).await.unwrap())
            });
            assert!(opened == plain && crate::common::decryptor().open(&sealed).unwrap() == plain);
            let mut altered = sealed.to_vec();
            *altered.last_mut().unwrap() ^= 1;
            assert!(runtime.block_on(decryptor.open_async(altered.into())).is_err());
        }
        assert!(
            runtime
                .block_on(decryptor.open_async(Bytes::from_static(b"x")))
                .is_err()
        );
    }
}
