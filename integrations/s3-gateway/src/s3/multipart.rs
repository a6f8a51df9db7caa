//! Multipart uploads.

mod listing;

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
