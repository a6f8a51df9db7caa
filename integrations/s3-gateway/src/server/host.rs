//! Buckets in host names, as s3s asks for them.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

use crate::domains::Domains;

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => parsed.with_bucket(bucket),
            None => parsed,
        })
    }
}
