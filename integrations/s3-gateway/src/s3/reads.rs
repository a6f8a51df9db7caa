//! `GetObject` and `HeadObject`.

use std::ops::Range;

use futures_util::TryStreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::dto::*;
use s3s::{Body, S3Error, S3Request, S3Response, S3Result, s3_error};
use sealstone_s3_sse::{CustomerKey, names};

use crate::backend::{BackendError, ByteStream, StoredObject};
use crate::objects::{self, Ending, ObjectError, OpenObject};

use super::attributes::describe;
use super::conditions::{ReadConditions, etag};
use super::encryption::{Reported, customer, report_sse};
use super::{Gateway, Target, checksums, errors};

/// What of an object a response has.
#[derive(Debug)]
struct Selected {
    range: Range<u64>,
    /// The header `Content-Range`, if it is not the whole object.
    content_range: Option<String>,
    /// The number of parts, if one was asked for.
    parts: Option<PartsCount>,
}

impl Gateway {
    pub(super) async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        check_version(input.version_id.as_deref())?;
        refuse_mode(&request.headers)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let conditions = conditions(input);
        for _ in 0..READ_ATTEMPTS {
            match self.read_version(&target, input, customer.clone(), &conditions).await {
                Err(ReadError::Overwritten) => {}
                Err(ReadError::Refused(error)) => return Err(error),
                Ok(output) => return Ok(S3Response::new(output)),
            }
        }
        Err(s3_error!(
            ServiceUnavailable,
            "The object is overwritten again and again. Please try again."
        ))
    }

    /// One attempt at a read: all of its requests are for one version.
    async fn read_version(
        &self,
        target: &Target,
        input: &GetObjectInput,
        customer: Option<CustomerKey>,
        conditions: &ReadConditions,
    ) -> Result<GetObjectOutput, ReadError> {
        let ending = Ending::fetch(&*self.backend, &target.at)
            .await
            .map_err(errors::of_object)?;
        let header = objects::header(&ending.stored).map_err(errors::of_object)?;
        let mode = self.mode_of(target, &header, customer)?;
        conditions.check(&ending.stored)?;
        let unlocked = self.unlock(target, &header, &mode).await?;
        let opened = ending.open(&*self.backend, &target.at, &unlocked).await;
        let object = opened.map_err(ReadError::of)?;
        let len = object.plaintext_len().map_err(errors::of_object)?;
        let selected = match (&input.range, input.part_number) {
            (Some(_), Some(_)) => return Err(range_and_part().into()),
            (Some(range), None) => select_range(range, len)?,
            (None, Some(number)) => select_part(&object, number, len)?,
            (None, None) => Selected::whole(len),
        };
        let plaintext = object.read(&*self.backend, &target.at, selected.range.clone()).await;
        let plaintext = plaintext.map_err(ReadError::of)?;

        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(to_body(plaintext, target)),
            content_length: Some(signed(selected.range.end - selected.range.start)),
            e_tag: Some(etag(&object.stored().etag)),
            last_modified: Some(object.stored().modified.into()),
            parts_count: selected.parts,
            ..GetObjectOutput::default()
        };
        if wants_checksum(input.checksum_mode.as_ref()) && selected.content_range.is_none() {
            checksums::report!(output, object_checksum(&object));
        }
        output.content_range = selected.content_range;
        describe!(output, &object.stored().attributes);
        report_sse!(output, Reported::of(&mode, &header));
        Ok(output)
    }

    /// Clients repeat a HEAD that failed with 500 thousands of times, so none does.
    pub(super) async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.head_version(request).await.map_err(errors::of_head)
    }

    async fn head_version(&self, mut request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        check_version(input.version_id.as_deref())?;
        refuse_mode(&request.headers)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let stored = self.backend.head(&target.at).await.map_err(errors::of_backend)?;
        let header = objects::header(&stored).map_err(errors::of_object)?;
        let mode = self.mode_of(&target, &header, customer)?;
        conditions(input).check(&stored)?;
        // Only these need the manifest; everything else is known without a key.
        let object = if wants_checksum(input.checksum_mode.as_ref()) || input.part_number.is_some() {
            Some(self.open_version(&target, &stored, &mode).await?)
        } else {
            None
        };
        let len = plaintext_len(&stored)?;
        let selected = match (&input.range, input.part_number, &object) {
            (Some(_), Some(_), _) => return Err(range_and_part()),
            (Some(range), None, _) => select_range(range, len)?,
            (None, Some(number), Some(object)) => select_part(object, number, len)?,
            _ => Selected::whole(len),
        };
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(selected.range.end - selected.range.start)),
            e_tag: Some(etag(&stored.etag)),
            last_modified: Some(stored.modified.into()),
            parts_count: selected.parts,
            ..HeadObjectOutput::default()
        };
        if let Some(object) = object.filter(|_| selected.content_range.is_none()) {
            checksums::report!(output, object_checksum(&object));
        }
        describe!(output, &stored.attributes);
        report_sse!(output, Reported::of(&mode, &header));
        output.content_range = selected.content_range;
        Ok(S3Response::new(output))
    }

    pub(super) async fn get_object_attributes(
        &self,
        mut request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = &mut request.input;
        let target = Target::new(&input.bucket, &input.key)?;
        check_version(input.version_id.as_deref())?;
        refuse_mode(&request.headers)?;
        let customer = self.customer_key(&request.extensions, customer!(input))?;
        let stored = self.backend.head(&target.at).await.map_err(errors::of_backend)?;
        let header = objects::header(&stored).map_err(errors::of_object)?;
        let mode = self.mode_of(&target, &header, customer)?;
        let object = self.open_version(&target, &stored, &mode).await?;
        // s3s takes a list in one header for one attribute.
        let wanted = input
            .object_attributes
            .iter()
            .flat_map(|names| names.as_str().split(','));
        let wanted: Vec<&str> = wanted.map(str::trim).collect();
        let wants = |name: &str| wanted.contains(&name);
        let parts = object.parts().len();
        Ok(S3Response::new(GetObjectAttributesOutput {
            checksum: wants(ObjectAttributes::CHECKSUM).then(|| object_checksum(&object)),
            e_tag: wants(ObjectAttributes::ETAG).then(|| etag(&stored.etag)),
            last_modified: Some(stored.modified.into()),
            object_parts: (wants(ObjectAttributes::OBJECT_PARTS) && parts > 1).then(|| GetObjectAttributesParts {
                total_parts_count: i32::try_from(parts).ok(),
                ..GetObjectAttributesParts::default()
            }),
            object_size: if wants(ObjectAttributes::OBJECT_SIZE) {
                Some(signed(plaintext_len(&stored)?))
            } else {
                None
            },
            storage_class: wants(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..GetObjectAttributesOutput::default()
        }))
    }

    /// Opens the version of an object that was looked up before.
    pub(super) async fn open_version(
        &self,
        target: &Target,
        stored: &StoredObject,
        mode: &sealstone_s3_sse::ServerSide,
    ) -> S3Result<OpenObject> {
        let ending = Ending::fetch(&*self.backend, &target.at)
            .await
            .map_err(errors::of_object)?;
        if ending.stored.etag != stored.etag {
            return Err(s3_error!(
                ServiceUnavailable,
                "The object was overwritten meanwhile. Please try again."
            ));
        }
        let header = objects::header(&ending.stored).map_err(errors::of_object)?;
        let unlocked = self.unlock(target, &header, mode).await?;
        let opened = ending.open(&*self.backend, &target.at, &unlocked).await;
        opened.map_err(errors::of_object)
    }
}

/// How often a read begins again because the object was overwritten.
const READ_ATTEMPTS: usize = 4;

/// Why one attempt at a read fails.
enum ReadError {
    /// The object was overwritten between two requests: the next attempt reads the new one.
    Overwritten,
    Refused(S3Error),
}

impl ReadError {
    fn of(error: ObjectError) -> Self {
        match error {
            ObjectError::Store(BackendError::Precondition) => Self::Overwritten,
            error => Self::Refused(errors::of_object(error)),
        }
    }
}

impl From<S3Error> for ReadError {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

/// The conditions of a read, whose fields two inputs of s3s have.
macro_rules! conditions {
    ($($input:ty)*) => {
        $(
            impl TakeConditions for $input {
                fn take_conditions(&mut self) -> ReadConditions {
                    ReadConditions {
                        if_match: self.if_match.take(),
                        if_none_match: self.if_none_match.take(),
                        if_modified_since: self.if_modified_since.take(),
                        if_unmodified_since: self.if_unmodified_since.take(),
                    }
                }
            }
        )*
    };
}

trait TakeConditions {
    fn take_conditions(&mut self) -> ReadConditions;
}

conditions! { GetObjectInput HeadObjectInput }

fn conditions(input: &mut impl TakeConditions) -> ReadConditions {
    input.take_conditions()
}

impl Selected {
    const fn whole(len: u64) -> Self {
        Self {
            range: 0..len,
            content_range: None,
            parts: None,
        }
    }

    fn part_of(range: Range<u64>, len: u64) -> Self {
        let content_range = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
        Self {
            range,
            content_range: Some(content_range),
            parts: None,
        }
    }
}

fn select_range(range: &s3s::dto::Range, len: u64) -> S3Result<Selected> {
    match range.check(len) {
        Ok(range) if !range.is_empty() => Ok(Selected::part_of(range, len)),
        _ => {
            let mut refused = s3_error!(InvalidRange, "The requested range is not satisfiable");
            let mut headers = hyper::HeaderMap::new();
            if let Ok(value) = format!("bytes */{len}").parse() {
                headers.insert(hyper::header::CONTENT_RANGE, value);
            }
            refused.set_headers(headers);
            Err(refused)
        }
    }
}

fn select_part(object: &OpenObject, number: PartNumber, len: u64) -> S3Result<Selected> {
    let parts = object.parts();
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let Some(range) = index.and_then(|index| parts.get(index)).cloned() else {
        return Err(errors::error(
            "InvalidPartNumber",
            416,
            "The requested partnumber is not satisfiable",
        ));
    };
    if range.is_empty() {
        // A range of no bytes has no `Content-Range`.
        return Ok(Selected::whole(len));
    }
    let mut selected = Selected::part_of(range, len);
    selected.parts = (parts.len() > 1).then(|| i32::try_from(parts.len()).unwrap_or(i32::MAX));
    Ok(selected)
}

fn range_and_part() -> S3Error {
    s3_error!(
        InvalidRequest,
        "Cannot specify both Range header and partNumber query parameter"
    )
}

/// Objects have one version, whose id is `null`.
pub(super) fn check_version(id: Option<&str>) -> S3Result<()> {
    match id {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(errors::error(
            "NoSuchVersion",
            404,
            "The specified version does not exist.",
        )),
    }
}

/// The mode is the object's: only a customer's key comes with a read.
fn refuse_mode(headers: &hyper::HeaderMap) -> S3Result<()> {
    if headers.contains_key(names::SERVER_SIDE_ENCRYPTION) {
        return Err(errors::invalid_argument(
            "x-amz-server-side-encryption header is not supported for this operation.",
        ));
    }
    Ok(())
}

fn wants_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

pub(super) fn object_checksum(object: &OpenObject) -> Checksum {
    checksums::to_response(object.note().checksum.as_ref(), object.parts().len())
}

pub(super) fn plaintext_len(stored: &StoredObject) -> S3Result<u64> {
    objects::plaintext_len(stored.len).ok_or_else(|| errors::of_object(ObjectError::NotSealed))
}

pub(super) fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// A body of a response. An error in it closes the connection, so that no client takes a short body for success.
fn to_body(plaintext: ByteStream, target: &Target) -> StreamingBlob {
    let at = target.at.clone();
    let frames = plaintext.map_ok(Frame::data).inspect_err(move |error| {
        tracing::error!(bucket = at.bucket, key = at.key, %error, "a download was aborted");
    });
    StreamingBlob::from(Body::http_body_unsync(StreamBody::new(frames)))
}
