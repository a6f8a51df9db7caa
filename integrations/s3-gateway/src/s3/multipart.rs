//! Multipart uploads.

use hyper::header::HeaderValue;
use s3s::dto::*;
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use sealstone::Unlocked;
use sealstone::composite::Padding;
use sealstone_s3_sse::{CustomerKey, Mode, ServerSide, SseError, context_to_header, names};

use crate::backend::BackendError;
use crate::objects::{self, CHUNK_SIZE, ChecksumAlgorithm, Ending, ObjectError, Plaintext};
use crate::sse::{self, RequestError};
use crate::uploads::{self, CompletedPart as NamedPart, Completion, Upload, UploadError, UploadId, completion_id};

use super::attributes::requested;
use super::checksums::{Announced, PartChecksums, Verifier};
use super::conditions::{etag, write_condition};
use super::encryption::{Reported, check_policy, customer, report_sse, requested_sse};
use super::listing::{encoder, owner};
use super::reads::signed;
use super::unsupported::refuse_unsupported;
use super::writes::body_of;
use super::{Gateway, Target, attributes, checksums, errors};

impl Gateway {
    pub(super) async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        refuse_unsupported!(input)?;
        check_policy!(self, &target, input)?;
        let sse = requested_sse!(self, &request.extensions, input);
        let tags = attributes::tags(input.tagging.as_deref())?;
        let attributes = requested!(input)?;
        let checksum = upload_checksum(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let default = self.bucket_default(&target.at.bucket).await?;
        let mode = sse
            .resolve(&self.keys, &target.name, &default)
            .map_err(errors::of_request)?;
        let encryptor = mode.encryptor(&target.name).with_chunk_size(CHUNK_SIZE);
        let object = encryptor.begin_composite_async(Padding::PlaintextLength).await;
        let object = object.map_err(errors::of_engine)?;
        let attributes = attributes::with_header(attributes, object.header())?;
        let ring = self.keys.ring();
        let upload = Upload::create(
            &*self.backend,
            &ring,
            &target.at,
            object.header(),
            checksum,
            attributes,
            tags,
        )
        .await;
        let upload = upload.map_err(of_upload)?;

        let mut output = CreateMultipartUploadOutput {
            bucket: Some(target.at.bucket),
            key: Some(target.at.key),
            upload_id: Some(upload.id.to_text()),
            checksum_algorithm: input.checksum_algorithm.take(),
            checksum_type: checksum.map(|(_, composite)| checksums::kind(composite)),
            ssekms_encryption_context: context_to_header(object.header()),
            ..CreateMultipartUploadOutput::default()
        };
        report_sse!(output, Reported::of(&mode, object.header()));
        Ok(S3Response::new(output))
    }

    pub(super) async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        let number = part_number(input.part_number)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let upload = self.upload(&target, &input.upload_id).await?;
        let mode = self.part_mode(&target, &upload, customer)?;
        let (body, len) = body_of(input.body.take(), input.content_length)?;
        let algorithm = upload
            .checksum
            .map_or(ChecksumAlgorithm::Crc64Nvme, |(algorithm, _)| algorithm);
        let announced = Announced::of(&request.headers, request.trailing_headers.take(), algorithm)?;
        check_algorithm(&upload, announced.algorithm())?;
        let unlocked = self.unlock(&target, &upload.header, &mode).await?;
        let verifier = Verifier::new(announced);
        let note = verifier.clone();
        let plaintext = Plaintext {
            len,
            bytes: verifier.watch(body),
            note: Box::new(move || note.finish_part()),
        };
        let part = self.put_part(&upload, &unlocked, number, plaintext).await;
        let part = part.map_err(|error| verifier.refused().unwrap_or(error))?;
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            ..UploadPartOutput::default()
        };
        let computed = checksums::to_response(verifier.computed().as_ref(), 1);
        output.checksum_crc32 = computed.checksum_crc32;
        output.checksum_crc32c = computed.checksum_crc32c;
        output.checksum_crc64nvme = computed.checksum_crc64nvme;
        output.checksum_sha1 = computed.checksum_sha1;
        output.checksum_sha256 = computed.checksum_sha256;
        report_sse!(output, Reported::of(&mode, &upload.header));
        Ok(S3Response::new(output))
    }

    /// Seals and stores a part.
    pub(super) async fn put_part(
        &self,
        upload: &Upload,
        unlocked: &Unlocked,
        number: u16,
        plaintext: Plaintext,
    ) -> S3Result<uploads::Part> {
        let object = unlocked.composite(upload.id.commitment()).map_err(errors::of_engine)?;
        let part = upload.put_part(&*self.backend, &object, number, plaintext).await;
        part.map_err(of_upload)
    }

    pub(super) async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let named = named_parts(input.multipart_upload.as_ref())?;
        let condition = write_condition(
            &*self.backend,
            &target.at,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
        );
        let id = UploadId::parse(&input.upload_id).ok_or_else(|| of_upload(UploadError::NoSuchUpload))?;
        let loaded = Upload::load(&*self.backend, &self.keys.ring(), &target.at, &input.upload_id).await;
        let upload = match loaded {
            Err(UploadError::NoSuchUpload) => return self.completed_before(&target, &id, &named, customer).await,
            upload => upload.map_err(of_upload)?,
        };
        let mode = self.part_mode(&target, &upload, customer.clone())?;
        // On this instance, one completion of an upload at a time: a client that repeats one waits for the first.
        let _turn = self.completing.turn(&input.upload_id).await;
        let uploaded = upload.parts(&*self.backend).await.map_err(of_upload)?;
        let completion = match Completion::new(&uploaded, &named) {
            // Perhaps they are gone because the object is complete.
            Err(error @ UploadError::InvalidPart(_)) => {
                let before = self.completed_before(&target, &id, &named, customer).await;
                return before.map_err(|_| of_upload(error));
            }
            completion => completion.map_err(of_upload)?,
        };
        let checksum = PartChecksums::of(&upload, &completion);
        checksum.check(input, completion.plaintext_len())?;
        // Not a cached one: it seals nothing after the completion.
        let decryptor = mode.decryptor(&target.name, &upload.header);
        let decryptor = decryptor.map_err(|error| errors::of_request(error.into()))?;
        let unlocked = decryptor
            .unlock_async(upload.header.clone())
            .await
            .map_err(errors::of_engine)?;
        let checksum = checksum.of_object();
        let condition = condition.await?;
        let completed = upload
            .complete(&*self.backend, &unlocked, &completion, checksum.clone(), condition)
            .await;
        let stored = match completed {
            Err(error @ (UploadError::NoSuchUpload | UploadError::InvalidPart(_))) => {
                let before = self.completed_before(&target, &id, &named, customer).await;
                return before.map_err(|_| of_upload(error));
            }
            stored => stored.map_err(of_upload)?,
        };
        let mut output = CompleteMultipartUploadOutput {
            e_tag: Some(etag(&stored)),
            ..CompleteMultipartUploadOutput::default()
        };
        checksums::report!(output, checksums::to_response(checksum.as_ref(), named.len()));
        Ok(completed_response(output, &target, &mode, &upload.header))
    }

    /// The response to a completion that was repeated after it had succeeded: the object is the one that it made.
    async fn completed_before(
        &self,
        target: &Target,
        id: &UploadId,
        named: &[NamedPart],
        customer: Option<CustomerKey>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let none = || of_upload(UploadError::NoSuchUpload);
        let ending = match Ending::fetch(&*self.backend, &target.at).await {
            Err(ObjectError::Store(BackendError::NoSuchKey)) => return Err(none()),
            ending => ending.map_err(errors::of_object)?,
        };
        let header = objects::header(&ending.stored)
            .ok()
            .filter(|header| header.commitment() == id.commitment());
        let header = header.ok_or_else(none)?;
        let mode = self.mode_of(target, &header, customer)?;
        let unlocked = self.unlock(target, &header, &mode).await?;
        let object = ending.open(&*self.backend, &target.at, &unlocked).await;
        let object = object.map_err(errors::of_object)?;
        if object.note().completion != Some(completion_id(named)) {
            return Err(none());
        }
        let mut output = CompleteMultipartUploadOutput {
            e_tag: Some(etag(&object.stored().etag)),
            ..CompleteMultipartUploadOutput::default()
        };
        checksums::report!(output, super::reads::object_checksum(&object));
        Ok(completed_response(output, target, &mode, &header))
    }

    pub(super) async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = &request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        let upload = self.upload(&target, &input.upload_id).await?;
        upload.abort(&*self.backend).await.map_err(of_upload)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn list_parts(
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

    pub(super) async fn list_multipart_uploads(
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

    /// The upload of a request.
    pub(super) async fn upload(&self, target: &Target, id: &str) -> S3Result<Upload> {
        let upload = Upload::load(&*self.backend, &self.keys.ring(), &target.at, id).await;
        upload.map_err(of_upload)
    }

    /// The mode of an upload, given the request's key. Uses no key.
    pub(super) fn part_mode(
        &self,
        target: &Target,
        upload: &Upload,
        customer: Option<CustomerKey>,
    ) -> S3Result<ServerSide> {
        let has_key = customer.is_some();
        let is_customer = Mode::of(&upload.header) == Ok(Mode::Customer);
        if is_customer && !has_key {
            return Err(s3_error!(
                InvalidRequest,
                "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
            ));
        }
        let mode = sse::of_object(&self.keys, &upload.header, customer).map_err(errors::of_request)?;
        match mode.decryptor(&target.name, &upload.header) {
            Ok(_) => Ok(mode),
            Err(SseError::WrongCustomerKey) => Err(errors::invalid_argument(
                "The provided encryption parameters did not match the ones used originally.",
            )),
            Err(error) => Err(errors::of_request(RequestError::Sse(error))),
        }
    }
}

/// s3s's type of the same name as ours.
use s3s::dto::ChecksumAlgorithm as ChecksumAlgorithm_;

fn completed_response(
    mut output: CompleteMultipartUploadOutput,
    target: &Target,
    mode: &ServerSide,
    header: &sealstone::Header,
) -> S3Response<CompleteMultipartUploadOutput> {
    let sse = Reported::of(mode, header);
    output.server_side_encryption = sse.mode;
    output.ssekms_key_id = sse.kms_key;
    output.bucket_key_enabled = sse.bucket_key;
    output.location = Some(format!("/{}/{}", target.at.bucket, target.at.key));
    output.bucket = Some(target.at.bucket.clone());
    output.key = Some(target.at.key.clone());
    let mut response = S3Response::new(output);
    let customer = [
        (names::CUSTOMER_ALGORITHM, sse.customer_algorithm),
        (names::CUSTOMER_KEY_MD5, sse.customer_md5),
    ];
    for (name, value) in customer {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers.insert(name, value);
        }
    }
    response
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

pub(super) fn part_number(number: PartNumber) -> S3Result<u16> {
    let number = u16::try_from(number)
        .ok()
        .filter(|number| (1..=uploads::MAX_PARTS).contains(number));
    number.ok_or_else(|| errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))
}

/// The checksum that an upload asks for, and whether it is one of the parts' checksums.
fn upload_checksum(
    algorithm: Option<&ChecksumAlgorithm_>,
    kind: Option<&ChecksumType>,
) -> S3Result<Option<(ChecksumAlgorithm, bool)>> {
    let Some(algorithm) = algorithm else {
        return Ok(None);
    };
    let algorithm = checksums::algorithm_named(algorithm.as_str())?;
    let is_crc = !matches!(algorithm, ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256);
    let composite = match kind.map(ChecksumType::as_str) {
        None => algorithm != ChecksumAlgorithm::Crc64Nvme,
        Some(ChecksumType::COMPOSITE) if algorithm != ChecksumAlgorithm::Crc64Nvme => true,
        Some(ChecksumType::FULL_OBJECT) if is_crc => false,
        Some(kind) => {
            let name = algorithm.name().to_ascii_lowercase();
            return Err(s3_error!(
                InvalidRequest,
                "The {kind} checksum type cannot be used with the {name} checksum algorithm."
            ));
        }
    };
    Ok(Some((algorithm, composite)))
}

/// A part's checksum is of the upload's algorithm, if that was named.
fn check_algorithm(upload: &Upload, announced: ChecksumAlgorithm) -> S3Result<()> {
    match upload.checksum {
        Some((algorithm, _)) if algorithm != announced => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            algorithm.name().to_ascii_lowercase(),
            announced.name().to_ascii_lowercase()
        )),
        _ => Ok(()),
    }
}

/// The parts that a completion names.
fn named_parts(upload: Option<&CompletedMultipartUpload>) -> S3Result<Vec<NamedPart>> {
    let parts = upload
        .and_then(|upload| upload.parts.as_ref())
        .filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )
    })?;
    parts
        .iter()
        .map(|part| {
            Ok(NamedPart {
                number: part_number(part.part_number.unwrap_or(0))?,
                etag: part
                    .e_tag
                    .as_ref()
                    .map(|etag| etag.value().to_owned())
                    .unwrap_or_default(),
            })
        })
        .collect()
}

/// The error of an upload.
pub(super) fn of_upload(failure: UploadError) -> S3Error {
    match failure {
        UploadError::NoSuchUpload => errors::of_backend(BackendError::NoSuchUpload),
        UploadError::InvalidPart(_) => s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
        ),
        UploadError::InvalidPartOrder => s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ),
        UploadError::PartTooSmall(_) => s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ),
        UploadError::NoRoomForEnd => s3_error!(
            InvalidRequest,
            "The gateway needs one part number after the last part: part 10000 was uploaded with other bytes."
        ),
        UploadError::Object(failure) => errors::of_object(failure),
    }
}
