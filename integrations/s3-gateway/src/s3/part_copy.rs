//! `UploadPartCopy`: a range of an object becomes a part.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::objects::{self, ChecksumAlgorithm, Plaintext};
use crate::sse::CustomerHeaders;

use super::checksums::{self, Hasher};
use super::conditions::ReadConditions;
use super::encryption::{Reported, customer, report_sse};
use super::multipart::part_number;
use super::reads::check_version;
use super::writes::MAX_PUT;
use super::{Gateway, Target, errors};

impl Gateway {
    pub(super) async fn upload_part_copy(
        &self,
        mut request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        let number = part_number(input.part_number)?;
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = &input.copy_source
        else {
            return Err(s3_error!(NotImplemented, "The copy source must be a bucket and a key."));
        };
        check_version(version_id.as_deref())?;
        let from = Target::new(bucket, key)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let source_key = CustomerHeaders::new(
            input.copy_source_sse_customer_algorithm.take(),
            input.copy_source_sse_customer_key.take(),
            input.copy_source_sse_customer_key_md5.take(),
        );
        let source_key = self.customer_key(&request.extensions, source_key)?;
        let upload = self.upload(&target, &input.upload_id).await?;
        let mode = self.part_mode(&target, &upload, customer)?;

        let stored = self.backend.head(&from.at).await.map_err(errors::of_backend)?;
        let header = objects::header(&stored).map_err(errors::of_object)?;
        let source_mode = self.mode_of(&from, &header, source_key)?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        conditions.check_source(&stored)?;
        let source = self.open_version(&from, &stored, &source_mode).await?;
        let len = source.plaintext_len().map_err(errors::of_object)?;
        let range = match input.copy_source_range.as_deref() {
            Some(range) => copied_range(range, len)?,
            None => 0..len,
        };
        if range.end - range.start > MAX_PUT {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
            ));
        }
        let bytes = source.read(&*self.backend, &from.at, range.clone()).await;
        let bytes = bytes.map_err(errors::of_object)?;
        let algorithm = upload
            .checksum
            .map_or(ChecksumAlgorithm::Crc64Nvme, |(algorithm, _)| algorithm);
        let hasher = Arc::new(Mutex::new(Hasher::new(algorithm)));
        let (updated, finished) = (hasher.clone(), hasher);
        let plaintext = Plaintext {
            len: range.end - range.start,
            bytes: bytes
                .inspect_ok(move |bytes| updated.lock().unwrap_or_else(PoisonError::into_inner).update(bytes))
                .boxed(),
            note: Box::new(move || Ok(finished.lock().unwrap_or_else(PoisonError::into_inner).value())),
        };
        let unlocked = self.unlock(&target, &upload.header, &mode).await?;
        let part = self.put_part(&upload, &unlocked, number, plaintext).await?;

        let checksum = objects::Checksum {
            algorithm,
            composite: false,
            value: part.checksum.clone(),
        };
        let checksum = checksums::to_response(upload.checksum.map(|_| &checksum), 1);
        let mut output = UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(ETag::Strong(part.etag.clone())),
                last_modified: Some(part.modified.into()),
                checksum_crc32: checksum.checksum_crc32,
                checksum_crc32c: checksum.checksum_crc32c,
                checksum_crc64nvme: checksum.checksum_crc64nvme,
                checksum_sha1: checksum.checksum_sha1,
                checksum_sha256: checksum.checksum_sha256,
            }),
            ..UploadPartCopyOutput::default()
        };
        report_sse!(output, Reported::of(&mode, &upload.header));
        Ok(S3Response::new(output))
    }
}

/// The range of a copy: both ends must be in the source.
fn copied_range(range: &str, len: u64) -> S3Result<std::ops::Range<u64>> {
    let invalid = || {
        errors::invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
        )
    };
    match Range::parse(range) {
        Ok(Range::Int {
            first,
            last: Some(last),
        }) if last < len => Ok(first..last + 1),
        Ok(Range::Int {
            first: _,
            last: Some(_),
        }) => Err(s3_error!(
            InvalidRange,
            "Range specified is not valid for source object of size: {len}"
        )),
        _ => Err(invalid()),
    }
}
