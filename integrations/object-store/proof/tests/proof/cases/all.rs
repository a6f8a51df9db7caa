//! The cases, and the stores that they use.

pub(crate) mod counted;
mod integration;
mod requests;
mod s3;

use super::object_store::ObjectStore;
use super::object_store::aws::{AmazonS3, AmazonS3Builder};
use super::subject::{Builder, EncryptedStore};
use crate::common::{Server, key};
use sealstone_object_store::Capabilities;

/// A store of a new bucket.
pub(crate) fn s3() -> AmazonS3 {
    s3_builder().build().unwrap()
}

pub(crate) fn s3_builder() -> AmazonS3Builder {
    let server = Server::of_environment();
    s3_builder_of(&server, &server.new_bucket())
}

pub(crate) fn s3_builder_of(server: &Server, bucket: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id(&server.access_key_id)
        .with_secret_access_key(&server.secret_access_key)
        .with_bucket_name(bucket)
}

fn builder() -> Builder {
    EncryptedStore::builder(key())
}

pub(crate) fn encrypted<S: ObjectStore>(store: S, capabilities: Capabilities) -> EncryptedStore<S> {
    builder().build(store, capabilities).unwrap()
}
