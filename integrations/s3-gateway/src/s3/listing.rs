//! Listings: plaintext sizes without a request for each object.

use base64ct::{Base64UrlUnpadded, Encoding};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::backend::{ListPage, ListRequest, ListedObject};
use crate::objects;

use super::conditions::etag;
use super::reads::signed;
use super::{Gateway, RESERVED_PREFIX, errors};

/// After every key of the gateway's own, which are ASCII.
const AFTER_RESERVED: &str = ".sealstone/\u{10ffff}";

/// The most that a page has, as in S3.
const MAX_KEYS: i32 = 1000;

impl Gateway {
    pub(super) async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let max_keys = max_keys(input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let page = self
            .page(
                &input.bucket,
                ListRequest {
                    prefix: input.prefix.clone().unwrap_or_default(),
                    delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
                    start_after: input.start_after.clone().filter(|after| !after.is_empty()),
                    token: input.continuation_token.as_deref().map(decode_token).transpose()?,
                    max: index(max_keys),
                },
            )
            .await?;
        let contents: Vec<Object> = page.objects.iter().map(|object| listed(object, encode)).collect();
        let groups = groups(&page, encode);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len() + groups.len()).ok(),
            contents: Some(contents),
            common_prefixes: Some(groups),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_deref().map(encode_token),
            continuation_token: input.continuation_token,
            max_keys: Some(max_keys),
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode(&delimiter)),
            start_after: input.start_after.map(|after| encode(&after)),
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        }))
    }

    pub(super) async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let max_keys = max_keys(input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let page = self
            .page(
                &input.bucket,
                ListRequest {
                    prefix: input.prefix.clone().unwrap_or_default(),
                    delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
                    start_after: input.marker.clone().filter(|after| !after.is_empty()),
                    token: None,
                    max: index(max_keys),
                },
            )
            .await?;
        let last = page.last();
        Ok(S3Response::new(ListObjectsOutput {
            contents: Some(page.objects.iter().map(|object| listed(object, encode)).collect()),
            common_prefixes: Some(groups(&page, encode)),
            is_truncated: Some(page.next.is_some()),
            // S3 leaves it out without a delimiter, where clients take the last key.
            next_marker: page.next.and(last).map(|last| encode(&last)),
            max_keys: Some(max_keys),
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            marker: Some(encode(input.marker.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode(&delimiter)),
            encoding_type: input.encoding_type,
            request_charged: None,
        }))
    }

    /// Every object has one version, `null`.
    pub(super) async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let max_keys = max_keys(input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let page = self
            .page(
                &input.bucket,
                ListRequest {
                    prefix: input.prefix.clone().unwrap_or_default(),
                    delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
                    start_after: input.key_marker.clone().filter(|after| !after.is_empty()),
                    token: None,
                    max: index(max_keys),
                },
            )
            .await?;
        let last = page.last();
        let versions = page.objects.iter().map(|object| {
            let listed = listed(object, encode);
            ObjectVersion {
                e_tag: listed.e_tag,
                is_latest: Some(true),
                key: listed.key,
                last_modified: listed.last_modified,
                owner: Some(owner()),
                size: listed.size,
                version_id: Some("null".to_owned()),
                ..ObjectVersion::default()
            }
        });
        let versions = versions.collect();
        Ok(S3Response::new(ListObjectVersionsOutput {
            versions: Some(versions),
            common_prefixes: Some(groups(&page, encode)),
            is_truncated: Some(page.next.is_some()),
            next_version_id_marker: page.next.as_ref().map(|_| "null".to_owned()),
            next_key_marker: page.next.and(last).map(|last| encode(&last)),
            max_keys: Some(max_keys),
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            key_marker: Some(encode(input.key_marker.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode(&delimiter)),
            encoding_type: input.encoding_type,
            ..ListObjectVersionsOutput::default()
        }))
    }

    /// A page without the gateway's own objects.
    pub(super) async fn page(&self, bucket: &str, mut request: ListRequest) -> S3Result<ListPage> {
        if request.max == 0 {
            self.backend.head_bucket(bucket).await.map_err(errors::of_backend)?;
            return Ok(ListPage::default());
        }
        let mut page = ListPage::default();
        loop {
            let mut more = self.backend.list(bucket, &request).await.map_err(errors::of_backend)?;
            let before = more.objects.len() + more.prefixes.len();
            more.objects.retain(|object| !object.key.starts_with(RESERVED_PREFIX));
            more.prefixes.retain(|prefix| !prefix.starts_with(RESERVED_PREFIX));
            let kept = more.objects.len() + more.prefixes.len();
            if kept > request.max {
                return Err(s3_error!(InternalError, "The store listed more than it was asked for."));
            }
            page.objects.append(&mut more.objects);
            page.prefixes.append(&mut more.prefixes);
            page.next = more.next;
            request.max -= kept;
            if page.next.is_none() || request.max == 0 || kept == before {
                return Ok(page);
            }
            // All of them are next to each other.
            request.token = None;
            request.start_after = Some(
                page.last()
                    .filter(|last| last.as_str() > AFTER_RESERVED)
                    .unwrap_or_else(|| AFTER_RESERVED.to_owned()),
            );
        }
    }
}

/// A token of the store as clients have it: any text fits into XML and URLs.
fn encode_token(token: &str) -> String {
    Base64UrlUnpadded::encode_string(token.as_bytes())
}

fn decode_token(token: &str) -> S3Result<String> {
    let bytes = Base64UrlUnpadded::decode_vec(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| errors::invalid_argument("The continuation token provided is incorrect"))
}

fn listed(object: &ListedObject, encode: fn(&str) -> String) -> Object {
    Object {
        e_tag: Some(etag(&object.etag)),
        key: Some(encode(&object.key)),
        last_modified: Some(object.modified.into()),
        // An object that the gateway did not write is listed with its own size, and refused when it is read.
        size: Some(signed(objects::plaintext_len(object.len).unwrap_or(object.len))),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}

fn groups(page: &ListPage, encode: fn(&str) -> String) -> Vec<CommonPrefix> {
    let groups = page.prefixes.iter().map(|prefix| CommonPrefix {
        prefix: Some(encode(prefix)),
    });
    groups.collect()
}

fn max_keys(requested: Option<MaxKeys>) -> S3Result<MaxKeys> {
    match requested.unwrap_or(MAX_KEYS) {
        negative if negative < 0 => Err(s3_error!(
            InvalidArgument,
            "Argument maxKeys must be an integer between 0 and 2147483647"
        )),
        requested => Ok(requested.min(MAX_KEYS)),
    }
}

fn index(max_keys: MaxKeys) -> usize {
    usize::try_from(max_keys).unwrap_or(0)
}

/// How keys are written: as they are, or percent-encoded as in URLs.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(str::to_owned),
        Some(EncodingType::URL) => Ok(percent_encoded),
        Some(_) => Err(errors::invalid_argument("Invalid Encoding Method specified in Request")),
    }
}

fn percent_encoded(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b'/');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

/// Everything belongs to the gateway's user.
pub(super) fn owner() -> Owner {
    Owner {
        display_name: Some("sealstone".to_owned()),
        id: Some("sealstone".to_owned()),
    }
}
