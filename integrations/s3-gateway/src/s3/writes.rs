//! `PutObject`, `DeleteObject` and `DeleteObjects`.

use futures_util::{StreamExt, stream};
use s3s::dto::*;
use s3s::stream::ByteStream as _;
use s3s::{S3Request, S3Response, S3Result, s3_error};
use sealstone::composite::Padding;
use sealstone_s3_sse::context_to_header;

use crate::backend::{BackendError, Condition};
use crate::objects::{self, CHUNK_SIZE, ChecksumAlgorithm, Plaintext};

use super::attributes::requested;
use super::checksums::{Announced, Verifier};
use super::conditions::{etag, write_condition};
use super::encryption::{Reported, check_policy, report_sse, requested_sse};
use super::reads::check_version;
use super::unsupported::refuse_unsupported;
use super::{Gateway, Target, attributes, checksums, errors};

/// The most that one request stores, in bytes, as in S3.
pub(super) const MAX_PUT: u64 = 5 << 30;

/// How many deletions of one request are under way at a time.
const DELETIONS: usize = 16;

impl Gateway {
    pub(super) async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        // s3s takes forms with signatures of version 2, which name no region.
        if request.credentials.is_some() && request.region.is_none() {
            return Err(s3_error!(InvalidRequest, "Requests require AWS Signature Version 4."));
        }
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        refuse_unsupported!(input)?;
        check_policy!(self, &target, input)?;
        let sse = requested_sse!(self, &request.extensions, input);
        let tags = attributes::tags(input.tagging.as_deref())?;
        let attributes = requested!(input)?;
        let (body, len) = body_of(input.body.take(), input.content_length)?;
        let announced = Announced::of(
            &request.headers,
            request.trailing_headers.take(),
            ChecksumAlgorithm::Crc64Nvme,
        )?;
        let (if_match, if_none_match) = (input.if_match.take(), input.if_none_match.take());
        let condition = write_condition(&*self.backend, &target.at, if_match.as_ref(), if_none_match.as_ref()).await?;

        let default = self.bucket_default(&target.at.bucket).await?;
        let mode = sse
            .resolve(&self.keys, &target.name, &default)
            .map_err(errors::of_request)?;
        let encryptor = mode.encryptor(&target.name).with_chunk_size(CHUNK_SIZE);
        let object = encryptor.begin_composite_async(Padding::PlaintextLength).await;
        let object = object.map_err(errors::of_engine)?;
        let attributes = attributes::with_header(attributes, object.header())?;
        let verifier = Verifier::new(announced);
        let note = verifier.clone();
        let plaintext = Plaintext {
            len,
            bytes: verifier.watch(body),
            note: Box::new(move || note.finish()),
        };
        let sealed = objects::seal(&object, plaintext).map_err(errors::of_object)?;
        let stored = self.backend.put(&target.at, sealed, attributes, tags, condition).await;
        let stored = stored.map_err(|error| verifier.refused().unwrap_or_else(|| errors::of_backend(error)))?;

        let mut output = PutObjectOutput {
            e_tag: Some(etag(&stored)),
            ssekms_encryption_context: context_to_header(object.header()),
            ..PutObjectOutput::default()
        };
        checksums::report!(output, checksums::to_response(verifier.computed().as_ref(), 1));
        report_sse!(output, Reported::of(&mode, object.header()));
        Ok(S3Response::new(output))
    }

    pub(super) async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = &request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        check_version(input.version_id.as_deref())?;
        let condition = match &input.if_match {
            None => Condition::None,
            // Only for an object that exists.
            condition => write_condition(&*self.backend, &target.at, condition.as_ref(), None).await?,
        };
        let deleted = self.backend.delete(&target.at, condition).await;
        deleted.map_err(errors::of_backend)?;
        Ok(S3Response::with_status(
            DeleteObjectOutput::default(),
            hyper::StatusCode::NO_CONTENT,
        ))
    }

    pub(super) async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        if delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        self.backend.head_bucket(&bucket).await.map_err(errors::of_backend)?;
        let deletions = delete
            .objects
            .into_iter()
            .map(|object| self.delete_one(&bucket, object));
        let results: Vec<_> = stream::iter(deletions).buffered(DELETIONS).collect().await;
        let (mut deleted, mut failed) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(object) => deleted.push(object),
                Err(error) => failed.push(error),
            }
        }
        let quiet = delete.quiet.unwrap_or(false);
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: (!failed.is_empty()).then_some(failed),
            request_charged: None,
        }))
    }

    async fn delete_one(&self, bucket: &str, object: ObjectIdentifier) -> Result<DeletedObject, Error> {
        let key = object.key.clone();
        let deleting = async {
            let target = Target::new(bucket, &object.key)?;
            check_version(object.version_id.as_deref())?;
            let condition = match object.e_tag.clone().map(ETagCondition::ETag) {
                None => Condition::None,
                condition => write_condition(&*self.backend, &target.at, condition.as_ref(), None).await?,
            };
            match self.backend.delete(&target.at, condition).await {
                Ok(()) | Err(BackendError::NoSuchKey) => Ok(()),
                Err(error) => Err(errors::of_backend(error)),
            }
        };
        match deleting.await {
            Ok(()) => Ok(DeletedObject {
                key: Some(key),
                version_id: object.version_id,
                ..DeletedObject::default()
            }),
            Err(error) => Err(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id: object.version_id,
            }),
        }
    }
}

/// A request's body and its length, which must be known before the first byte.
pub(super) fn body_of(body: Option<StreamingBlob>, content_length: Option<i64>) -> S3Result<(StreamingBlob, u64)> {
    let body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    let known = body.remaining_length().exact().map(|len| len as u64);
    let announced = content_length.and_then(|len| u64::try_from(len).ok());
    let len = known
        .or(announced)
        .ok_or_else(|| s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header."))?;
    if len > MAX_PUT {
        return Err(errors::error(
            "EntityTooLarge",
            400,
            "Your proposed upload exceeds the maximum allowed size",
        ));
    }
    Ok((body, len))
}
