//! Listings. Their names must be in order, after those of the page before, and no more than were asked for: so each page
//! goes on from the last, and no store can repeat one forever.

use std::time::SystemTime;

use aws_sdk_s3::types::EncodingType;

use super::read::time;
use super::text::{decoded, required};
use super::{BackendError, ListPage, ListRequest, S3Backend, errors};
use crate::backend::listing::{delimiter, group};
use crate::backend::{ListedObject, StoredUpload};

/// Where a page ends.
#[derive(Debug)]
struct Token {
    /// The last name of the page.
    last: String,
    /// The store's own token.
    store: String,
}

impl Token {
    /// As [`ListPage::next`].
    fn encode(&self) -> String {
        format!("{}:{}{}", self.last.len(), self.last, self.store)
    }

    /// A client has sent it.
    fn decode(token: &str) -> Result<Self, BackendError> {
        let split = token.split_once(':').and_then(|(len, rest)| {
            let (last, store) = rest.split_at_checked(len.parse().ok()?)?;
            Some((last.to_owned(), store.to_owned()))
        });
        let (last, store) = split.ok_or_else(|| BackendError::InvalidName(token.to_owned()))?;
        Ok(Self { last, store })
    }
}

impl S3Backend {
    pub(super) async fn list_objects(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        let mut token = request.token.as_deref().map(Token::decode).transpose()?;
        loop {
            let (mut page, next) = self.list_page(bucket, request, token.as_ref()).await?;
            let is_empty = page.objects.is_empty() && page.prefixes.is_empty();
            if next.is_none() || !is_empty {
                page.next = next.map(|next| next.encode());
                return Ok(page);
            }
            token = next;
        }
    }

    async fn list_page(
        &self,
        bucket: &str,
        request: &ListRequest,
        token: Option<&Token>,
    ) -> Result<(ListPage, Option<Token>), BackendError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let start_after = request.start_after.as_deref().filter(|_| token.is_none());
        let max = request.max.try_into().unwrap_or(i32::MAX);
        let list = self.client.list_objects_v2().bucket(bucket).max_keys(max);
        let list = list
            .set_prefix(some(&request.prefix))
            .set_delimiter(delimiter(request).map(str::to_owned))
            .set_start_after(start_after.and_then(some).map(|after| after_group(request, after)))
            .set_continuation_token(token.map(|token| token.store.clone()))
            // XML cannot carry every name.
            .encoding_type(EncodingType::Url);
        let found = list.send().await.map_err(errors::of_bucket)?;
        let is_encoded = found.encoding_type() == Some(&EncodingType::Url);
        let name = |name: Option<&str>| {
            let name = name.unwrap_or_default();
            let name = if is_encoded { decoded(name)? } else { name.to_owned() };
            if !name.starts_with(&request.prefix) {
                return Err(nonsense(format!("it lists {name:?} under {:?}", request.prefix)));
            }
            Ok(name)
        };
        let mut page = ListPage::default();
        for object in found.contents() {
            let len = object.size().and_then(|len| len.try_into().ok());
            page.objects.push(ListedObject {
                key: name(object.key())?,
                etag: required(object.e_tag())?,
                len: len.ok_or_else(|| nonsense("it lists an object without a length"))?,
                modified: time(object.last_modified()),
            });
        }
        for group in found.common_prefixes() {
            page.prefixes.push(name(group.prefix())?);
        }
        check_order(&page, request, token)?;
        let next = if found.is_truncated() == Some(true) {
            let next = found.next_continuation_token();
            let next = next.filter(|next| token.is_none_or(|token| token.store != *next));
            let next = page.last().zip(next.map(str::to_owned));
            let next = next.map(|(last, store)| Token { last, store });
            Some(next.ok_or_else(|| nonsense("its listing goes on, but not from another place"))?)
        } else {
            None
        };
        // A store repeats it if it goes on after the key that is called like the group.
        page.prefixes.retain(|group| start_after != Some(group));
        Ok((page, next))
    }

    pub(super) async fn list_uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        let mut uploads = Vec::new();
        let mut after: (Option<String>, Option<String>) = (None, None);
        loop {
            let list = self.client.list_multipart_uploads().bucket(bucket);
            let list = list
                .encoding_type(EncodingType::Url)
                .set_key_marker(after.0.clone())
                .set_upload_id_marker(after.1.clone());
            let found = list.send().await.map_err(errors::of_bucket)?;
            let is_encoded = found.encoding_type() == Some(&EncodingType::Url);
            let name = |name: &str| if is_encoded { decoded(name) } else { Ok(name.to_owned()) };
            for upload in found.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                    uploads.push(StoredUpload {
                        key: name(key)?,
                        id: id.to_owned(),
                        // Not stale, if it does not say when.
                        began: upload
                            .initiated()
                            .map_or_else(SystemTime::now, |began| time(Some(began))),
                    });
                }
            }
            if found.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            let key = found.next_key_marker().map(name).transpose()?;
            let next = (key, found.next_upload_id_marker().map(str::to_owned));
            if next.0.is_none() || next == after {
                return Err(BackendError::Other(
                    "its listing of uploads goes on, but not from another place".into(),
                ));
            }
            after = next;
        }
    }
}

/// Where a listing begins. After a group, that is after the keys of the group.
fn after_group(request: &ListRequest, after: String) -> String {
    let is_group = group(&request.prefix, delimiter(request), &after) == Some(&after);
    if is_group { after + "\u{10ffff}" } else { after }
}

fn check_order(page: &ListPage, request: &ListRequest, token: Option<&Token>) -> Result<(), BackendError> {
    let keys = page.objects.iter().map(|object| object.key.as_str());
    let groups = page.prefixes.iter().map(String::as_str);
    if page.objects.len() + page.prefixes.len() > request.max {
        return Err(nonsense("it lists more than it was asked for"));
    }
    if !keys.clone().is_sorted_by(|one, next| one < next) || !groups.clone().is_sorted_by(|one, next| one < next) {
        return Err(nonsense("it lists names in no order"));
    }
    let (mut keys, mut groups) = (keys, groups);
    let is_after = match (token, request.start_after.as_deref()) {
        (Some(token), _) => keys.chain(groups).all(|name| name > token.last.as_str()),
        // The rest of a group in the middle of which the listing begins is listed as the group.
        (None, Some(after)) => {
            keys.all(|key| key > after) && groups.all(|group| group > after || after.starts_with(group))
        }
        (None, None) => true,
    };
    is_after
        .then_some(())
        .ok_or_else(|| nonsense("its listing goes back to earlier names"))
}

fn nonsense(what: impl Into<String>) -> BackendError {
    BackendError::Other(what.into().into())
}
