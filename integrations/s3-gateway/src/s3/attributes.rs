//! Content headers and metadata, from requests and into responses.

use std::collections::BTreeMap;

use s3s::dto::{Metadata, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};
use sealstone::Header;
use sealstone::format::is_metadata_key;

use crate::backend::{Attributes, Tags};

use super::errors;

/// S3's limit for the names and values of an object's metadata, in bytes.
const MAX_METADATA: usize = 2048;

/// The attributes of a request with these fields, which many inputs of s3s have.
macro_rules! requested {
    ($input:expr) => {
        $crate::s3::attributes::from_request(
            [
                ("cache-control", $input.cache_control.take()),
                ("content-disposition", $input.content_disposition.take()),
                ("content-encoding", $input.content_encoding.take()),
                ("content-language", $input.content_language.take()),
                ("content-type", $input.content_type.take()),
            ],
            $input.expires.take(),
            $input.metadata.take(),
        )
    };
}

/// The content headers and metadata of a response, whose fields many outputs of s3s have.
macro_rules! describe {
    ($output:expr, $attributes:expr) => {
        let content = |name: &str| $attributes.content.get(name).cloned();
        $output.cache_control = content("cache-control");
        $output.content_disposition = content("content-disposition");
        $output.content_encoding = content("content-encoding");
        $output.content_language = content("content-language");
        $output.content_type = content("content-type").or_else(|| Some("binary/octet-stream".to_owned()));
        $output.expires = $crate::s3::attributes::expires($attributes);
        $output.metadata = $crate::s3::attributes::user_metadata($attributes);
    };
}

pub(super) use {describe, requested};

pub(super) fn from_request<const N: usize>(
    content: [(&str, Option<String>); N],
    expires: Option<Timestamp>,
    metadata: Option<Metadata>,
) -> S3Result<Attributes> {
    let mut attributes = Attributes::default();
    for (name, value) in content {
        let value = match value {
            Some(value) if name == "content-encoding" => without_framing(&value),
            value => value,
        };
        if let Some(value) = value {
            attributes.content.insert(name.to_owned(), value);
        }
    }
    if let Some(expires) = expires {
        let mut text = Vec::new();
        if expires.format(TimestampFormat::HttpDate, &mut text).is_ok() {
            let text = String::from_utf8_lossy(&text).into_owned();
            attributes.content.insert("expires".to_owned(), text);
        }
    }
    let mut len = 0;
    for (name, value) in metadata.into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        len += name.len() + value.len();
        attributes.metadata.insert(stored_name(name), value);
    }
    if len > MAX_METADATA {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(errors::error("MetadataTooLarge", 400, message));
    }
    Ok(attributes)
}

/// The content encoding without the framing of the transfer, which is not the object's.
fn without_framing(value: &str) -> Option<String> {
    let kept = value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.eq_ignore_ascii_case("aws-chunked"));
    let kept = kept.collect::<Vec<_>>().join(",");
    (!kept.is_empty()).then_some(kept)
}

/// Adds the header of a sealed object.
pub(super) fn with_header(mut attributes: Attributes, header: &Header) -> S3Result<Attributes> {
    attributes.metadata.retain(|name, _| !is_metadata_key(name));
    let pairs = header.to_metadata().map_err(errors::of_engine)?;
    attributes.metadata.extend(pairs);
    Ok(attributes)
}

/// The metadata that the client stored.
pub(super) fn user_metadata(attributes: &Attributes) -> Option<Metadata> {
    let own = attributes.metadata.iter().filter(|(name, _)| !is_metadata_key(name));
    let metadata: Metadata = own
        .map(|(name, value)| (client_name(name).to_owned(), value.clone()))
        .collect();
    (!metadata.is_empty()).then_some(metadata)
}

/// Precedes a client's metadata name that would otherwise be that of a header: clients may store sealed objects of their
/// own.
const OF_CLIENT: &str = "of-client-";

fn stored_name(name: String) -> String {
    if is_ambiguous(&name) {
        return format!("{OF_CLIENT}{name}");
    }
    name
}

fn client_name(stored: &str) -> &str {
    let name = stored.strip_prefix(OF_CLIENT);
    name.filter(|name| is_ambiguous(name)).unwrap_or(stored)
}

/// Whether this is the name of a header, perhaps stored for a client, and perhaps more than once.
fn is_ambiguous(name: &str) -> bool {
    is_metadata_key(name.trim_start_matches(OF_CLIENT))
}

pub(super) fn expires(attributes: &Attributes) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, attributes.content.get("expires")?).ok()
}

/// The tags of the header `x-amz-tagging`.
pub(super) fn tags(header: Option<&str>) -> S3Result<Tags> {
    let mut tags = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(header.unwrap_or_default().as_bytes()) {
        if tags.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(s3_error!(
                InvalidArgument,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    check_tags(&tags)?;
    Ok(tags)
}

/// S3's limits: 10 tags, names up to 128 characters, values up to 256.
pub(super) fn check_tags(tags: &Tags) -> S3Result<()> {
    let too_long = |(name, value): (&String, &String)| {
        name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256
    };
    if tags.len() > 10 {
        return Err(errors::error(
            "BadRequest",
            400,
            "Object tags cannot be greater than 10",
        ));
    }
    if tags.iter().any(too_long) {
        return Err(errors::error(
            "InvalidTag",
            400,
            "The tag's key or value is too long, or the key is empty.",
        ));
    }
    Ok(())
}
