//! Tags of objects.

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::backend::Tags;

use super::reads::check_version;
use super::{Gateway, Target, attributes, errors};

impl Gateway {
    pub(super) async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let target = Target::new(&request.input.bucket, &request.input.key)?;
        check_version(request.input.version_id.as_deref())?;
        let tags = self.backend.tags(&target.at).await.map_err(errors::of_backend)?;
        let tags = tags.into_iter().map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        });
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: tags.collect(),
            version_id: None,
        }))
    }

    pub(super) async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let target = Target::new(&request.input.bucket, &request.input.key)?;
        check_version(request.input.version_id.as_deref())?;
        let mut tags = Tags::new();
        for tag in request.input.tagging.tag_set {
            let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
            if tags.insert(key, value).is_some() {
                return Err(s3_error!(
                    InvalidArgument,
                    "Cannot provide multiple Tags with the same key"
                ));
            }
        }
        attributes::check_tags(&tags)?;
        let stored = self.backend.set_tags(&target.at, tags).await;
        stored.map_err(errors::of_backend)?;
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    pub(super) async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let target = Target::new(&request.input.bucket, &request.input.key)?;
        check_version(request.input.version_id.as_deref())?;
        let stored = self.backend.set_tags(&target.at, Tags::new()).await;
        stored.map_err(errors::of_backend)?;
        Ok(S3Response::with_status(
            DeleteObjectTaggingOutput::default(),
            hyper::StatusCode::NO_CONTENT,
        ))
    }
}
