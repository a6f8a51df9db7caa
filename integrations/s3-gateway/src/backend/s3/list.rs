//! Listings.

use std::time::SystemTime;

use aws_sdk_s3::types::EncodingType;

use super::read::time;
use super::text::{decoded, required};
use super::{BackendError, ListPage, ListRequest, S3Backend, errors};
use crate::backend::{ListedObject, StoredUpload};

impl S3Backend {
    pub(super) async fn list_objects(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let start_after = request.start_after.as_deref().filter(|_| request.token.is_none());
        let max = request.max.try_into().unwrap_or(i32::MAX);
        let list = self.client.list_objects_v2().bucket(bucket).max_keys(max);
        let list = list
            .set_prefix(some(&request.prefix))
            .set_delimiter(request.delimiter.as_deref().and_then(some))
            .set_start_after(start_after.and_then(some))
            .set_continuation_token(request.token.clone())
            // XML cannot carry every name.
            .encoding_type(EncodingType::Url);
        let found = list.send().await.map_err(errors::of_bucket)?;
        let is_encoded = found.encoding_type() == Some(&EncodingType::Url);
        let name = |name: Option<&str>| {
            let name = name.unwrap_or_default();
            let name = if is_encoded { decoded(name)? } else { name.to_owned() };
            if !name.starts_with(&request.prefix) {
                return Err(BackendError::Other(
                    format!("it lists {name:?} under {:?}", request.prefix).into(),
                ));
            }
            Ok(name)
        };
        let mut page = ListPage::default();
        for object in found.contents() {
            let len = object.size().and_then(|len| len.try_into().ok());
            page.objects.push(ListedObject {
                key: name(object.key())?,
                etag: required(object.e_tag())?,
                len: len.ok_or_else(|| BackendError::Other("it lists an object without a length".into()))?,
                modified: time(object.last_modified()),
            });
        }
        for group in found.common_prefixes() {
            let group = name(group.prefix())?;
            // Some stores list the group again that a listing is to begin after.
            if request.start_after.as_ref() != Some(&group) {
                page.prefixes.push(group);
            }
        }
        if found.is_truncated() == Some(true) {
            page.next = found.next_continuation_token().map(str::to_owned);
            if page.next.is_none() || page.next == request.token {
                return Err(BackendError::Other(
                    "its listing goes on, but not from another place".into(),
                ));
            }
        }
        Ok(page)
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
