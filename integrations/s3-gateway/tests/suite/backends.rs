//! Backends: what all of them promise, and what is special about one.

pub(crate) mod conformance;
#[cfg(unix)]
mod disk;
#[cfg(unix)]
mod killed;
mod listing;
mod memory;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::composite::Padding;
use sealstone::format::Header;
use sealstone::{Encryptor, RawKey};
use sealstone_s3_gateway::backend::{
    Attributes, Backend, BackendError, Body, Condition, Location, StoredObject, StoredRange, Tags,
};

/// A bucket of a backend.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) bucket: String,
}

impl Store {
    /// Creates the bucket.
    pub(crate) async fn new(backend: Arc<dyn Backend>, bucket: &str) -> Self {
        backend.create_bucket(bucket).await.unwrap();
        Self {
            backend,
            bucket: bucket.to_owned(),
        }
    }

    pub(crate) fn at(&self, key: &str) -> Location {
        Location::new(&self.bucket, key)
    }

    /// Stores an object without attributes.
    pub(crate) async fn put(&self, key: &str, payload: &[u8]) -> Result<String, BackendError> {
        self.put_if(key, payload, Attributes::default(), Condition::None).await
    }

    pub(crate) async fn put_if(
        &self,
        key: &str,
        payload: &[u8],
        attributes: Attributes,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let at = self.at(key);
        let put = self.backend.put(&at, body(payload), attributes, Tags::new(), condition);
        put.await
    }

    pub(crate) async fn head(&self, key: &str) -> Result<StoredObject, BackendError> {
        self.backend.head(&self.at(key)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Vec<u8>, BackendError> {
        self.range(key, StoredRange::Bytes(0..u64::MAX)).await
    }

    pub(crate) async fn range(&self, key: &str, range: StoredRange) -> Result<Vec<u8>, BackendError> {
        let found = self.backend.get(&self.at(key), range, None).await?;
        let bytes: Vec<u8> = found.bytes.try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!(bytes.len() as u64, found.range.end - found.range.start);
        Ok(bytes)
    }

    /// All keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        listing::pages(self, &listing::all()).await.concat()
    }
}

/// A body in several pieces.
pub(crate) fn body(payload: &[u8]) -> Body {
    let pieces: Vec<_> = payload.chunks(70_000).map(Bytes::copy_from_slice).map(Ok).collect();
    Body {
        len: payload.len() as u64,
        bytes: stream::iter(pieces).boxed(),
    }
}

/// A body that fails after `payload`.
pub(crate) fn failing_body(payload: &[u8], len: u64) -> Body {
    let failure = Err(io::Error::other("the client has gone"));
    Body {
        len,
        bytes: body(payload).bytes.chain(stream::iter([failure])).boxed(),
    }
}

/// Bytes that repeat nowhere near.
pub(crate) fn payload(len: usize, seed: u64) -> Vec<u8> {
    let words = (seed..).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.flatten().take(len).collect()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(crate) fn encryptor() -> Encryptor {
    Encryptor::new(Arc::new(RawKey::from_slice(&[7; 32]).unwrap()))
}

/// The header of a new object.
pub(crate) fn header() -> Header {
    encryptor().begin_composite(Padding::None).unwrap().header().clone()
}

/// Attributes of a sealed object.
pub(crate) fn sealed(header: &Header) -> Attributes {
    let mut metadata = header.to_metadata().unwrap();
    metadata.extend(pairs(&[("colour", "blue"), ("name", "caf\u{e9}")]));
    Attributes {
        content: pairs(&[("content-type", "text/plain"), ("cache-control", "no-cache")]),
        metadata,
    }
}
