//! Storing and deleting: objects, uploads, tags, buckets.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_s3::types::{
    BucketLocationConstraint, CompletedMultipartUpload, CompletedPart, CreateBucketConfiguration, Tag, Tagging,
};

use super::attributes::Headers;
use super::body::{Upload, upload, within};
use super::read::time;
use super::text::{quoted, required};
use super::{
    Attributes, BackendError, Body, Builder, Condition, DEFAULT_REGION, Location, Requirement, RetryConfig, S3Backend,
    Tags, TimeoutConfig, UploadedPart, errors, once,
};

/// The most that S3 takes in one request.
const MAX_BODY: u64 = 5 << 30;

impl S3Backend {
    pub(super) async fn put_object(
        &self,
        at: &Location,
        body: Body,
        attributes: &Attributes,
        tags: &Tags,
        condition: &Condition,
    ) -> Result<String, BackendError> {
        match condition {
            Condition::None => {}
            Condition::Absent => self.need(Requirement::PutIfAbsent)?,
            Condition::Match(_) => self.need(Requirement::PutIfMatch)?,
        }
        let headers = self.headers(attributes, tags)?;
        check_len(&body)?;
        let upload = upload(body).await?;
        let (if_match, if_none_match) = conditions(condition);
        let request = self.client.put_object().bucket(&at.bucket).key(&at.key);
        let request = request.set_if_match(if_match).set_if_none_match(if_none_match);
        let config = overrides(&upload, *condition == Condition::None);
        let Upload { bytes, progress } = upload;
        let request = request.body(bytes).customize().config_override(config);
        let request = request.mutate_request(headers.into_edit()).disable_payload_signing();
        let stored = async {
            let stored = request.send().await.map_err(errors::of_object)?;
            required(stored.e_tag())
        };
        match progress {
            Some(progress) => progress.watch(self.idle_timeout, stored).await,
            None => stored.await,
        }
    }

    pub(super) async fn delete_object(&self, at: &Location, condition: &Condition) -> Result<(), BackendError> {
        let request = self.client.delete_object().bucket(&at.bucket).key(&at.key);
        let etag = match condition {
            Condition::None => {
                return match request.send().await.map_err(errors::of_object) {
                    Ok(_) | Err(BackendError::NoSuchKey) => Ok(()),
                    Err(error) => Err(error),
                };
            }
            Condition::Absent => {
                return match self.head_object(at, None).await {
                    Ok(_) => Err(BackendError::Precondition),
                    Err(BackendError::NoSuchKey) => Ok(()),
                    Err(error) => Err(error),
                };
            }
            Condition::Match(etag) => etag,
        };
        self.need(Requirement::DeleteIfMatch)?;
        let request = request.if_match(quoted(etag)).customize().config_override(once());
        let deleted = async { request.send().await.map(drop).map_err(errors::of_object) };
        within(self.idle_timeout, deleted).await
    }

    pub(super) async fn begin_upload(
        &self,
        at: &Location,
        attributes: &Attributes,
        tags: &Tags,
    ) -> Result<String, BackendError> {
        let headers = self.headers(attributes, tags)?;
        let request = self.client.create_multipart_upload().bucket(&at.bucket).key(&at.key);
        let request = request.customize().mutate_request(headers.into_edit());
        let begun = request.send().await.map_err(errors::of_object)?;
        let id = begun.upload_id().filter(|id| !id.is_empty());
        id.map(str::to_owned)
            .ok_or_else(|| BackendError::Other("it began an upload without an id".into()))
    }

    pub(super) async fn upload_part(
        &self,
        at: &Location,
        id: &str,
        number: u16,
        body: Body,
    ) -> Result<String, BackendError> {
        check_len(&body)?;
        let upload = upload(body).await?;
        let request = self.client.upload_part().bucket(&at.bucket).key(&at.key);
        let request = request.upload_id(id).part_number(number.into());
        let config = overrides(&upload, true);
        let Upload { bytes, progress } = upload;
        let request = request
            .body(bytes)
            .customize()
            .config_override(config)
            .disable_payload_signing();
        let stored = async {
            let stored = request.send().await.map_err(errors::of_object)?;
            required(stored.e_tag())
        };
        match progress {
            Some(progress) => progress.watch(self.idle_timeout, stored).await,
            None => stored.await,
        }
    }

    pub(super) async fn finish_upload(
        &self,
        at: &Location,
        id: &str,
        parts: &[UploadedPart],
        condition: &Condition,
    ) -> Result<String, BackendError> {
        match condition {
            Condition::None => {}
            Condition::Absent => self.need(Requirement::CompleteIfAbsent)?,
            Condition::Match(_) => self.need(Requirement::CompleteIfMatch)?,
        }
        let parts = parts.iter().map(|part| {
            let named = CompletedPart::builder().part_number(part.number.into());
            named.e_tag(quoted(&part.etag)).build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let (if_match, if_none_match) = conditions(condition);
        let request = self.client.complete_multipart_upload().bucket(&at.bucket).key(&at.key);
        let request = request.upload_id(id).multipart_upload(parts);
        let request = request.set_if_match(if_match).set_if_none_match(if_none_match);
        let completed = async {
            let completed = request.customize().config_override(once()).send().await;
            required(completed.map_err(errors::of_object)?.e_tag())
        };
        within(self.move_timeout, completed).await
    }

    pub(super) async fn get_tags(&self, at: &Location) -> Result<Tags, BackendError> {
        let request = self.client.get_object_tagging().bucket(&at.bucket).key(&at.key);
        if !self.lacks(Requirement::Tags) {
            match request.send().await.map_err(errors::of_object) {
                Ok(found) => {
                    let pairs = found.tag_set.into_iter().map(|tag| (tag.key, tag.value));
                    return Ok(pairs.collect());
                }
                // An object of such a store has none.
                Err(BackendError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.head_object(at, None).await.map(|_| Tags::new())
    }

    pub(super) async fn put_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError> {
        if tags.is_empty() {
            return self.delete_tags(at).await;
        }
        self.check_tags(&tags)?;
        let tags = tags
            .into_iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tags = tags
            .collect::<Result<_, _>>()
            .map_err(|error| BackendError::Other(error.into()))?;
        let tags = Tagging::builder().set_tag_set(Some(tags)).build();
        let tags = tags.map_err(|error| BackendError::Other(error.into()))?;
        let request = self.client.put_object_tagging().bucket(&at.bucket).key(&at.key);
        request.tagging(tags).send().await.map(drop).map_err(errors::of_object)
    }

    async fn delete_tags(&self, at: &Location) -> Result<(), BackendError> {
        if !self.lacks(Requirement::Tags) {
            let request = self.client.delete_object_tagging().bucket(&at.bucket).key(&at.key);
            match request.send().await.map_err(errors::of_object) {
                Err(BackendError::Unsupported(_)) => {}
                deleted => return deleted.map(drop),
            }
        }
        self.head_object(at, None).await.map(drop)
    }

    /// The headers that store these, if the store can.
    pub(super) fn headers(&self, attributes: &Attributes, tags: &Tags) -> Result<Headers, BackendError> {
        self.check_tags(tags)?;
        Headers::new(attributes, tags)
    }

    fn check_tags(&self, tags: &Tags) -> Result<(), BackendError> {
        if tags.is_empty() {
            return Ok(());
        }
        self.need(Requirement::Tags)
    }

    /// Also in a region where S3 makes an own bucket again without an error.
    pub(super) async fn make_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        match self
            .client
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .map_err(errors::of_bucket)
        {
            Ok(_) => return Err(BackendError::BucketExists),
            Err(BackendError::NoSuchBucket) => {}
            Err(error) => return Err(error),
        }
        let place = (self.region != DEFAULT_REGION).then(|| {
            let region = BucketLocationConstraint::from(self.region.as_str());
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let request = self
            .client
            .create_bucket()
            .bucket(bucket)
            .set_create_bucket_configuration(place);
        request.send().await.map(drop).map_err(errors::of_bucket)
    }

    pub(super) async fn list_buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        let mut buckets = BTreeMap::new();
        let mut token = None;
        loop {
            let request = self.client.list_buckets().set_continuation_token(token);
            let page = request.send().await.map_err(errors::of_bucket)?;
            let before = buckets.len();
            for bucket in page.buckets() {
                let name = bucket.name().unwrap_or_default().to_owned();
                buckets.insert(name, time(bucket.creation_date()));
            }
            token = page
                .continuation_token()
                .filter(|token| !token.is_empty())
                .map(str::to_owned);
            if token.is_none() {
                return Ok(buckets.into_iter().collect());
            }
            if buckets.len() == before {
                return Err(BackendError::Other(
                    "its list of buckets goes on, but without another bucket".into(),
                ));
            }
        }
    }
}

/// Refuses before the first byte what the store would refuse after the last.
fn check_len(body: &Body) -> Result<(), BackendError> {
    if body.len > MAX_BODY {
        return Err(BackendError::TooLarge(format!("{} bytes, sealed", body.len)));
    }
    Ok(())
}

/// `If-Match` and `If-None-Match`.
pub(super) fn conditions(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::None => (None, None),
        Condition::Absent => (None, Some("*".to_owned())),
        Condition::Match(etag) => (Some(quoted(etag)), None),
    }
}

/// Of a streamed body, the progress is watched instead of the time.
fn overrides(upload: &Upload, repeatable: bool) -> Builder {
    let mut config = Builder::new();
    if upload.progress.is_some() {
        let timeouts = TimeoutConfig::builder().disable_operation_attempt_timeout();
        config = config.timeout_config(timeouts.build());
    }
    if !repeatable {
        config = config.retry_config(RetryConfig::disabled());
    }
    config
}
