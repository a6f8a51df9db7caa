//! The cases, and the stores that they use.

pub(crate) mod counted;
mod integration;
mod requests;
mod s3;

use super::object_store::ObjectStore;
use super::object_store::aws::{AmazonS3, AmazonS3Builder};
use super::subject::{Builder, EncryptedStore};
use crate::common::{endpoint, key, new_bucket};
use sealstone_object_store::Capabilities;

/// A store of a new bucket.
pub(crate) fn s3() -> AmazonS3 {
    s3_builder().build().unwrap()
}

pub(crate) fn s3_builder() -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("AKIAIOSFODNN7EXAMPLE")
        .with_secret_access_key("not-a-secret")
        .with_bucket_name(new_bucket())
}

fn builder() -> Builder {
    EncryptedStore::builder(key())
}

pub(crate) fn encrypted<S: ObjectStore>(store: S, capabilities: Capabilities) -> EncryptedStore<S> {
    builder().build(store, capabilities).unwrap()
}
