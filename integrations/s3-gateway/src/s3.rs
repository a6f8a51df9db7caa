//! S3's operations: requests of s3s in, responses out.

use std::sync::Arc;

use s3s::dto::{ListBucketsInput, ListBucketsOutput};
use s3s::{S3, S3Request, S3Response, S3Result};

use crate::backend::Backend;
use crate::keys::Keys;

/// What requests are allowed to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Accept SSE-C over connections without TLS: the keys can be read on the network.
    pub insecure_customer_keys: bool,
}

/// The gateway as a service of s3s.
#[derive(Debug, Clone)]
pub struct Gateway {
    backend: Arc<dyn Backend>,
    keys: Keys,
    options: Options,
}

impl Gateway {
    /// Serves `backend` with these keys.
    pub fn new(backend: Arc<dyn Backend>, keys: Keys, options: Options) -> Self {
        Self { backend, keys, options }
    }
}

#[async_trait::async_trait]
impl S3 for Gateway {
    async fn list_buckets(&self, _request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let _ = (&self.backend, &self.keys, &self.options);
        Ok(S3Response::new(ListBucketsOutput::default()))
    }
}
