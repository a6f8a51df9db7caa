//! Keys and data.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::{DataKey, EncryptionContext, KeyProvider, RawKey, Result};

/// Plaintext bytes of a chunk.
pub(crate) const C: usize = 16 * 1024;

pub(crate) fn key(byte: u8) -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}

/// Bytes that repeat nowhere near.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    let words = (0..).map(|word: u64| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.flatten().take(len).collect()
}

/// A key whose unwraps are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    key: Arc<RawKey>,
    pub(crate) unwraps: AtomicUsize,
}

impl Counted {
    pub(crate) fn new(byte: u8) -> Arc<Self> {
        Arc::new(Self {
            key: key(byte),
            unwraps: AtomicUsize::new(0),
        })
    }

    pub(crate) fn unwraps(&self) -> usize {
        self.unwraps.load(Ordering::Relaxed)
    }
}

impl KeyProvider for Counted {
    fn id(&self) -> &str {
        self.key.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.key.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.key.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            self.unwraps.fetch_add(1, Ordering::Relaxed);
            // Long enough for other tasks to ask for the same key.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            self.key.unwrap_key(wrapped, context).await
        })
    }
}
