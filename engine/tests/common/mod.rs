//! Helpers shared by the integration tests.
#![allow(
    dead_code,
    clippy::mod_module_files,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs
)]

pub mod campaign;
pub mod oracle;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::{DataKey, Decryptor, EncryptionContext, Encryptor, Executor, KeyProvider, RawKey, Unlocked, hazmat};

/// Bytes of a full chunk of the default size.
pub const C: usize = 16 * 1024;
/// Sealed bytes of a full chunk.
pub const SEALED: usize = C + 16;
/// Where the first chunk of an attached object begins.
pub const CHUNKS: usize = 8192 + 56;

/// Lengths on both sides of every boundary.
pub const LENGTHS: [usize; 14] = [
    0,
    1,
    2,
    C - 1,
    C,
    C + 1,
    2 * C - 1,
    2 * C,
    3 * C + 7,
    16 * C - 1,
    16 * C,
    16 * C + 1,
    33 * C,
    40 * C + 123,
];

pub fn key() -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[7; 32]).unwrap())
}

pub fn encryptor() -> Encryptor {
    Encryptor::new(key())
}

pub fn decryptor() -> Decryptor {
    Decryptor::new(key())
}

/// The object, unlocked by its attached header.
pub fn unlocked(decryptor: &Decryptor, object: &[u8]) -> Unlocked {
    decryptor.unlock(Decryptor::read_header(object).unwrap()).unwrap()
}

/// Every executor worth comparing.
pub fn executors() -> Vec<Executor> {
    std::iter::once(Executor::serial())
        .chain([1, 2, 3, 8].map(pool))
        .collect()
}

/// A pool with this many threads, in builds with threads.
pub fn pool(threads: usize) -> Executor {
    #[cfg(feature = "threads")]
    return Executor::threads(threads).unwrap();
    #[cfg(not(feature = "threads"))]
    {
        let _ = threads;
        Executor::serial()
    }
}

/// `len` bytes without a period that chunks could share.
pub fn plaintext(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

pub fn data_key(byte: u8) -> DataKey {
    DataKey::from_slice(&[byte; 32]).unwrap()
}

/// An object with a chosen data key and salt.
pub fn seal_fixed(encryptor: &Encryptor, data: u8, salt: u8, plaintext: &[u8]) -> Vec<u8> {
    let object = hazmat::begin(encryptor, &data_key(data), [salt; 24]).unwrap();
    let mut out = vec![0; usize::try_from(encryptor.object_len(plaintext.len() as u64).unwrap()).unwrap()];
    let len = object.seal_into(plaintext, &mut out).unwrap();
    assert_eq!(len, out.len());
    out
}

/// Counts the calls of a provider, and may claim not to know which slots are its own.
#[derive(Debug)]
pub struct Counting<P> {
    pub inner: P,
    pub calls: AtomicUsize,
    pub always_maybe: bool,
    /// The class of error that unwrapping fails with.
    pub fails: Option<ProviderErrorClass>,
}

impl<P: KeyProvider> Counting<P> {
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            calls: AtomicUsize::new(0),
            always_maybe: false,
            fails: None,
        }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<P: KeyProvider> KeyProvider for Counting<P> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        if self.always_maybe {
            KeyMatch::Maybe
        } else {
            self.inner.matches(slot)
        }
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(class) = self.fails {
            return Box::pin(async move { Err(ProviderError::new(class, self.id(), "configured to fail")) });
        }
        self.inner.unwrap_key(wrapped, context)
    }
}
