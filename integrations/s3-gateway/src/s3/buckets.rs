//! Buckets: created, deleted and described.

use std::time::Duration;

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::backend::{BackendError, ListRequest};
use crate::bucket::Setting;
use crate::policy::Policy;
use crate::uploads;

use super::listing::owner;
use super::multipart::of_upload;
use super::{Gateway, RESERVED_PREFIX, Target, errors, unsupported};

impl Gateway {
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        let grants = input.grant_full_control.is_some()
            || input.grant_read.is_some()
            || input.grant_read_acp.is_some()
            || input.grant_write.is_some()
            || input.grant_write_acp.is_some();
        unsupported::check(input.acl.as_ref().map(BucketCannedACL::as_str), grants, false, false)?;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(s3_error!(NotImplemented, "Object lock is not implemented."));
        }
        let bucket = input.bucket;
        self.backend.create_bucket(&bucket).await.map_err(errors::of_backend)?;
        Ok(S3Response::new(CreateBucketOutput {
            location: Some(format!("/{bucket}")),
        }))
    }

    pub(super) async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let bucket = request.input.bucket;
        let settings = self.own_settings(&bucket).await?;
        self.delete_own_objects(&bucket).await?;
        if let Err(error) = self.backend.delete_bucket(&bucket).await {
            // Later objects must not be encrypted otherwise because a deletion failed.
            for (setting, value) in settings {
                self.set(&bucket, setting, value).await?;
            }
            return Err(errors::of_backend(error));
        }
        self.settings.forget(&bucket);
        Ok(S3Response::with_status(
            DeleteBucketOutput {},
            hyper::StatusCode::NO_CONTENT,
        ))
    }

    async fn own_settings(&self, bucket: &str) -> S3Result<Vec<(Setting, Option<Vec<u8>>)>> {
        let mut settings = Vec::new();
        for setting in [Setting::Encryption, Setting::Policy] {
            let stored = self
                .settings
                .get(&*self.backend, &self.keys.ring(), bucket, setting)
                .await;
            let value = stored.map_err(errors::of_object)?;
            settings.extend(value.map(|value| (setting, Some(value.to_vec()))));
        }
        Ok(settings)
    }

    /// Deletes what the gateway stored in a bucket that has nothing else: its configuration, and uploads in progress.
    async fn delete_own_objects(&self, bucket: &str) -> S3Result<()> {
        let any = ListRequest {
            max: 1,
            ..ListRequest::default()
        };
        if !self.page(bucket, any).await?.objects.is_empty() {
            return Err(errors::of_backend(BackendError::BucketNotEmpty));
        }
        let swept = uploads::sweep(&*self.backend, &self.keys.ring(), bucket, Duration::ZERO).await;
        swept.map_err(of_upload)?;
        let own = uploads::delete_all(&*self.backend, bucket, RESERVED_PREFIX).await;
        own.map_err(errors::of_backend)
    }

    pub(super) async fn delete_bucket_encryption(
        &self,
        request: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        let bucket = request.input.bucket;
        self.backend.head_bucket(&bucket).await.map_err(errors::of_backend)?;
        self.set(&bucket, Setting::Encryption, None).await?;
        Ok(S3Response::new(DeleteBucketEncryptionOutput {}))
    }

    /// Replaces or removes settings of a bucket.
    pub(super) async fn set(&self, bucket: &str, setting: Setting, value: Option<Vec<u8>>) -> S3Result<()> {
        let stored = self
            .settings
            .set(&*self.backend, &self.keys.ring(), bucket, setting, value)
            .await;
        stored.map_err(errors::of_object)
    }

    pub(super) async fn get_bucket_policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let bucket = request.input.bucket;
        self.backend.head_bucket(&bucket).await.map_err(errors::of_backend)?;
        let stored = self
            .settings
            .get(&*self.backend, &self.keys.ring(), &bucket, Setting::Policy)
            .await;
        let stored = stored.map_err(errors::of_object)?;
        let stored =
            stored.ok_or_else(|| errors::error("NoSuchBucketPolicy", 404, "The bucket policy does not exist"))?;
        Ok(S3Response::new(GetBucketPolicyOutput {
            policy: Some(String::from_utf8_lossy(&stored).into_owned()),
        }))
    }

    pub(super) async fn put_bucket_policy(
        &self,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let PutBucketPolicyInput { bucket, policy, .. } = request.input;
        self.backend.head_bucket(&bucket).await.map_err(errors::of_backend)?;
        if let Err(error) = Policy::parse(policy.as_bytes(), &bucket) {
            return Err(errors::error("MalformedPolicy", 400, error.to_string()));
        }
        self.set(&bucket, Setting::Policy, Some(policy.into_bytes())).await?;
        Ok(S3Response::with_status(
            PutBucketPolicyOutput {},
            hyper::StatusCode::NO_CONTENT,
        ))
    }

    pub(super) async fn delete_bucket_policy(
        &self,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        let bucket = request.input.bucket;
        self.backend.head_bucket(&bucket).await.map_err(errors::of_backend)?;
        self.set(&bucket, Setting::Policy, None).await?;
        Ok(S3Response::new(DeleteBucketPolicyOutput {}))
    }

    pub(super) async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let found = self.backend.head_bucket(&request.input.bucket).await;
        found.map_err(errors::of_backend)?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(self.region().to_owned()),
            ..HeadBucketOutput::default()
        }))
    }

    pub(super) async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let found = self.backend.buckets().await.map_err(errors::of_backend)?;
        let named = found.into_iter().filter(|(name, _)| name.starts_with(&prefix));
        let buckets = named.map(|(name, created)| Bucket {
            name: Some(name),
            creation_date: Some(created.into()),
            ..Bucket::default()
        });
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            owner: Some(owner()),
            ..ListBucketsOutput::default()
        }))
    }

    pub(super) async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let found = self.backend.head_bucket(&request.input.bucket).await;
        found.map_err(errors::of_backend)?;
        // S3 returns nothing for its first region.
        let region = Some(self.region()).filter(|region| *region != "us-east-1");
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: region.map(|region| BucketLocationConstraint::from(region.to_owned())),
        }))
    }

    /// Buckets are not versioned.
    pub(super) async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let found = self.backend.head_bucket(&request.input.bucket).await;
        found.map_err(errors::of_backend)?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    pub(super) async fn get_bucket_acl(
        &self,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        let found = self.backend.head_bucket(&request.input.bucket).await;
        found.map_err(errors::of_backend)?;
        Ok(S3Response::new(GetBucketAclOutput {
            grants: Some(full_control()),
            owner: Some(owner()),
        }))
    }

    pub(super) async fn get_object_acl(
        &self,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let target = Target::new(&request.input.bucket, &request.input.key)?;
        self.backend.head(&target.at).await.map_err(errors::of_backend)?;
        Ok(S3Response::new(GetObjectAclOutput {
            grants: Some(full_control()),
            owner: Some(owner()),
            ..GetObjectAclOutput::default()
        }))
    }
}

/// The only grant there is: the owner's.
fn full_control() -> Vec<Grant> {
    vec![Grant {
        grantee: Some(Grantee {
            display_name: owner().display_name,
            email_address: None,
            id: owner().id,
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}
