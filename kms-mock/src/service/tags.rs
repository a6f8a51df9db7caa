//! Tags of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::input::{Checks, Input};
use super::output::{Page, begin};
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;

/// Of one key.
const MAX_TAGS: usize = 50;

/// A tag of a request. Both members are required.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct Tag {
    tag_key: Option<String>,
    tag_value: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct TagResource {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Input for TagResource {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.required("tags", self.tags.as_ref());
        check_members(checks, self.tags.as_deref().unwrap_or_default());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct UntagResource {
    key_id: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Input for UntagResource {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.required("tagKeys", self.tag_keys.as_ref());
        for (number, key) in (1..).zip(self.tag_keys.iter().flatten()) {
            checks.text(&format!("tagKeys.{number}.member"), Some(key), 128);
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ListResourceTags {
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Input for ListResourceTags {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.page(self.limit, 50, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagList {
    tags: Vec<TagEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagEntry {
    tag_key: String,
    tag_value: String,
}

impl Service {
    pub(super) fn tag_resource(&self, exchange: &Exchange<'_>, input: TagResource) -> Reply<()> {
        let tags = new_tags(input.tags.unwrap_or_default())?;
        self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.require_kept()?;
            key.tags.extend(tags);
            check_count(key.tags.len())
        })
    }

    /// Ignores tag keys that the key does not have.
    pub(super) fn untag_resource(&self, exchange: &Exchange<'_>, input: UntagResource) -> Reply<()> {
        let tag_keys: BTreeSet<_> = input.tag_keys.unwrap_or_default().into_iter().collect();
        self.change_key(exchange, &input.key_id.unwrap_or_default(), |key| {
            key.require_kept()?;
            key.tags.retain(|tag_key, _| !tag_keys.contains(tag_key));
            Ok(())
        })
    }

    pub(super) fn list_resource_tags(&self, exchange: &Exchange<'_>, input: ListResourceTags) -> Reply<TagList> {
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            let after = begin(input.marker, |marker| key.tags.contains_key(marker))?;
            let rest = key
                .tags
                .range::<str, _>((Bound::Excluded(after.as_str()), Bound::Unbounded));
            let page = Page::of(rest, input.limit.or(Some(50)), |(tag_key, _)| (*tag_key).clone());
            Ok(Done::new(TagList {
                tags: entries(page.items),
                truncated: page.next_marker.is_some(),
                next_marker: page.next_marker,
            }))
        })
    }
}

/// Tags for an answer.
pub(super) fn entries<'t>(tags: impl IntoIterator<Item = (&'t String, &'t String)>) -> Vec<TagEntry> {
    let tags = tags.into_iter();
    tags.map(|(tag_key, tag_value)| TagEntry {
        tag_key: tag_key.clone(),
        tag_value: tag_value.clone(),
    })
    .collect()
}

/// Checks the API model's constraints on each tag.
pub(super) fn check_members(checks: &mut Checks, tags: &[Tag]) {
    for (number, tag) in (1..).zip(tags) {
        let (key, value) = (
            format!("tags.{number}.member.tagKey"),
            format!("tags.{number}.member.tagValue"),
        );
        checks.required(&key, tag.tag_key.as_ref());
        checks.text(&key, tag.tag_key.as_deref(), 128);
        checks.required(&value, tag.tag_value.as_ref());
        checks.at_most(&value, tag.tag_value.as_deref().unwrap_or_default(), 256);
    }
}

/// Checks the service's constraints on all tags.
///
/// # Errors
/// `TagException`.
pub(super) fn new_tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, KmsError> {
    let count = tags.len();
    let tags: BTreeMap<_, _> = tags
        .into_iter()
        .map(|tag| (tag.tag_key.unwrap_or_default(), tag.tag_value.unwrap_or_default()))
        .collect();
    if tags.len() < count {
        return Err(tag_exception("Duplicate tag keys"));
    }
    check_count(count)?;
    let reserved = |key: &String| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if tags.keys().any(reserved) {
        return Err(tag_exception("Tags beginning with aws: are reserved"));
    }
    Ok(tags)
}

fn check_count(count: usize) -> Result<(), KmsError> {
    if count > MAX_TAGS {
        return Err(tag_exception("Too many tags"));
    }
    Ok(())
}

fn tag_exception(message: &str) -> KmsError {
    KmsError::new("TagException", message)
}
