//! S3's operations: requests of s3s in, responses out. Each module has the operations on one kind of thing.

mod attributes;
mod buckets;
mod checksums;
mod completing;
mod conditions;
mod copy;
mod encryption;
mod errors;
mod listing;
mod multipart;
mod part_copy;
mod raw;
mod reads;
mod tagging;
mod unsupported;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use sealstone_s3_sse::ObjectName;

use crate::backend::{Backend, Location};
use crate::bucket::BucketSettings;
use crate::keys::Keys;
use crate::uploads::{self, UploadError};

use self::completing::Completing;
use self::raw::RawOperations;

/// Keys that begin with this are the gateway's own: no request sees or writes them.
pub const RESERVED_PREFIX: &str = ".sealstone/";

/// What requests are allowed to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Accept SSE-C over connections without TLS: the keys can be read on the network.
    pub insecure_customer_keys: bool,
    /// The region that buckets are in, `us-east-1` if empty.
    pub region: String,
    /// The domains whose subdomains are buckets.
    pub domains: Vec<String>,
}

/// The gateway as a service of s3s.
#[derive(Debug, Clone)]
pub struct Gateway {
    backend: Arc<dyn Backend>,
    keys: Arc<Keys>,
    settings: Arc<BucketSettings>,
    completing: Arc<Completing>,
    options: Options,
}

impl Gateway {
    /// Serves `backend` with these keys.
    pub fn new(backend: Arc<dyn Backend>, keys: Arc<Keys>, options: Options) -> Self {
        Self {
            backend,
            keys,
            settings: Arc::default(),
            completing: Arc::default(),
            options,
        }
    }

    /// The service, to which the caller adds authentication and hosts.
    #[must_use]
    pub fn service(self) -> S3ServiceBuilder {
        let mut builder = S3ServiceBuilder::new(self.clone());
        builder.set_route(RawOperations(self));
        builder
    }

    /// Drops multipart uploads that began longer than `age` ago, in all buckets, and what instances that died left
    /// behind; returns how many uploads.
    ///
    /// # Errors
    /// [`UploadError`]: the store fails.
    pub async fn sweep_uploads(&self, age: Duration) -> Result<usize, UploadError> {
        let mut swept = 0;
        for (bucket, _) in self.backend.buckets().await? {
            match uploads::sweep(&*self.backend, &self.keys.ring(), &bucket, age).await {
                Ok(uploads) => swept += uploads,
                // One bucket that cannot be listed keeps no other from being swept.
                Err(error) => tracing::warn!(bucket, %error, "stale uploads cannot be dropped"),
            }
        }
        Ok(swept)
    }

    fn region(&self) -> &str {
        match &*self.options.region {
            "" => "us-east-1",
            region => region,
        }
    }
}

/// An object's place in the store, and its name in encryption contexts.
#[derive(Debug, Clone)]
struct Target {
    at: Location,
    name: ObjectName,
}

impl Target {
    /// The object of a request.
    fn new(bucket: &str, key: &str) -> S3Result<Self> {
        if key.starts_with(RESERVED_PREFIX) {
            return Err(s3_error!(
                AccessDenied,
                "Keys that begin with {RESERVED_PREFIX} are reserved."
            ));
        }
        let name = ObjectName::new(bucket, key).map_err(|error| errors::of_request(error.into()))?;
        Ok(Self {
            at: Location::new(bucket, key),
            name,
        })
    }
}

/// Each operation of the trait, in one line: the modules have the code.
macro_rules! operations {
    ($($operation:ident: $input:ty => $output:ty,)*) => {
        #[async_trait::async_trait]
        impl S3 for Gateway {
            $(
                async fn $operation(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.$operation(request).await
                }
            )*
        }
    };
}

operations! {
    create_bucket: CreateBucketInput => CreateBucketOutput,
    delete_bucket: DeleteBucketInput => DeleteBucketOutput,
    head_bucket: HeadBucketInput => HeadBucketOutput,
    list_buckets: ListBucketsInput => ListBucketsOutput,
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput,
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput,
    delete_bucket_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput,
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput,
    put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput,
    delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput,
    list_objects: ListObjectsInput => ListObjectsOutput,
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput,
    put_object: PutObjectInput => PutObjectOutput,
    get_object: GetObjectInput => GetObjectOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
    copy_object: CopyObjectInput => CopyObjectOutput,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    upload_part: UploadPartInput => UploadPartOutput,
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
    list_parts: ListPartsInput => ListPartsOutput,
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput,
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput,
    get_object_acl: GetObjectAclInput => GetObjectAclOutput,
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput,
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput,
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput,
}
