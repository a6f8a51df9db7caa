//! Uploads in progress, and their parts.

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use crate::objects::{self, ChecksumAlgorithm};
use crate::uploads::{self, Upload};

use super::of_upload;
use crate::s3::listing::{encoder, owner};
use crate::s3::reads::signed;
use crate::s3::{Gateway, Target, checksums};

/// s3s's type of the same name as ours.
use s3s::dto::ChecksumAlgorithm as ChecksumAlgorithm_;

impl Gateway {
    pub(in crate::s3) async fn list_parts(
        &self,
        mut request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        let upload = self.upload(&target, &input.upload_id).await?;
        let mut parts = upload.parts(&*self.backend).await.map_err(of_upload)?;
        // The last one of each number.
        parts.reverse();
        parts.dedup_by_key(|part| part.number);
        parts.reverse();
        let after = input.part_number_marker.unwrap_or(0);
        let max = input.max_parts.unwrap_or(1000).clamp(0, 1000);
        let mut left = parts.into_iter().filter(|part| i32::from(part.number) > after);
        let algorithm = upload.checksum.map(|(algorithm, _)| algorithm);
        let page: Vec<_> = left.by_ref().take(usize::try_from(max).unwrap_or(0)).collect();
        let is_truncated = left.next().is_some();
        let last = page.last().map(|part| i32::from(part.number));
        let listed = page.iter().map(|part| listed_part(part, algorithm)).collect();
        Ok(S3Response::new(ListPartsOutput {
            parts: Some(listed),
            is_truncated: Some(is_truncated),
            next_part_number_marker: last.filter(|_| is_truncated),
            part_number_marker: Some(after),
            max_parts: Some(max),
            bucket: Some(target.at.bucket),
            key: Some(target.at.key),
            upload_id: Some(input.upload_id.clone()),
            owner: Some(owner()),
            initiator: Some(initiator()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            checksum_algorithm: algorithm.map(|algorithm| ChecksumAlgorithm_::from_static(algorithm.name())),
            checksum_type: upload.checksum.map(|(_, composite)| checksums::kind(composite)),
            ..ListPartsOutput::default()
        }))
    }

    pub(in crate::s3) async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let encode = encoder(input.encoding_type.as_ref())?;
        let max = input.max_uploads.unwrap_or(1000).clamp(0, 1000);
        let prefix = input.prefix.clone().unwrap_or_default();
        let found = uploads::all(&*self.backend, &self.keys.ring(), &input.bucket).await;
        let mut found = found.map_err(of_upload)?;
        found.retain(|upload| upload.at.key.starts_with(&prefix));
        let position = |upload: &Upload| (upload.at.key.clone(), upload.id.to_text());
        found.sort_by_key(position);
        if let Some(key) = input.key_marker.clone().filter(|key| !key.is_empty()) {
            // Without an id, after all uploads of the key.
            let id = input.upload_id_marker.clone().filter(|id| !id.is_empty());
            found.retain(|upload| match &id {
                Some(id) => position(upload) > (key.clone(), id.clone()),
                None => upload.at.key > key,
            });
        }
        let (page, groups, is_truncated) = page_of(found, &prefix, input.delimiter.as_deref(), max);
        let last = page.last().map(position).filter(|_| is_truncated);
        let listed = page.iter().map(|upload| MultipartUpload {
            key: Some(encode(&upload.at.key)),
            upload_id: Some(upload.id.to_text()),
            initiated: Some(upload.initiated.into()),
            initiator: Some(initiator()),
            owner: Some(owner()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(listed.collect()),
            common_prefixes: Some(
                groups
                    .into_iter()
                    .map(|group| CommonPrefix {
                        prefix: Some(encode(&group)),
                    })
                    .collect(),
            ),
            is_truncated: Some(is_truncated),
            next_key_marker: last.as_ref().map(|(key, _)| encode(key)),
            next_upload_id_marker: last.map(|(_, id)| id),
            max_uploads: Some(max),
            bucket: Some(input.bucket),
            prefix: Some(encode(&prefix)),
            delimiter: input.delimiter.map(|delimiter| encode(&delimiter)),
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

/// One page of uploads: those of the keys that are not grouped, and the groups.
fn page_of(found: Vec<Upload>, prefix: &str, delimiter: Option<&str>, max: i32) -> (Vec<Upload>, Vec<String>, bool) {
    let max = usize::try_from(max).unwrap_or(0);
    let (mut page, mut groups) = (Vec::new(), Vec::<String>::new());
    for upload in found {
        let rest = &upload.at.key[prefix.len()..];
        let group = delimiter
            .filter(|delimiter| !delimiter.is_empty())
            .and_then(|delimiter| {
                let end = rest.find(delimiter)? + delimiter.len();
                Some(format!("{prefix}{}", &rest[..end]))
            });
        if group.as_ref().is_some_and(|group| groups.last() == Some(group)) {
            continue;
        }
        if page.len() + groups.len() == max {
            return (page, groups, true);
        }
        match group {
            Some(group) => groups.push(group),
            None => page.push(upload),
        }
    }
    (page, groups, false)
}

fn listed_part(part: &uploads::Part, algorithm: Option<ChecksumAlgorithm>) -> Part {
    let mut listed = Part {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(part.modified.into()),
        part_number: Some(part.number.into()),
        size: Some(signed(part.receipt.plaintext_len())),
        ..Part::default()
    };
    let checksum = algorithm.map(|algorithm| objects::Checksum {
        algorithm,
        composite: false,
        value: part.checksum.clone(),
    });
    let checksum = checksums::to_response(checksum.as_ref(), 1);
    listed.checksum_crc32 = checksum.checksum_crc32;
    listed.checksum_crc32c = checksum.checksum_crc32c;
    listed.checksum_crc64nvme = checksum.checksum_crc64nvme;
    listed.checksum_sha1 = checksum.checksum_sha1;
    listed.checksum_sha256 = checksum.checksum_sha256;
    listed
}

fn initiator() -> Initiator {
    Initiator {
        display_name: owner().display_name,
        id: owner().id,
    }
}
