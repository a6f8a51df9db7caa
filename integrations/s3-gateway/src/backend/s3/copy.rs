//! Copies inside the store. One request copies up to 5 GiB; more, and a copy under a condition on what it replaces, is
//! an upload whose parts are copied, since few stores check such a condition for a copy, and all that the gateway runs on
//! check it at completion. A copy onto itself is one request where the probe has found that the store checks it.

use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};
use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};

use super::body::within;
use super::text::{copy_source, quoted, required};
use super::{
    Attributes, BackendError, Body, Condition, Location, Requirement, S3Backend, Tags, UploadedPart, errors, once,
};

/// The most that S3 copies in one request.
const MOST: u64 = 5 << 30;
/// Copied as a part, unless there would be too many.
const PART: u64 = 1 << 30;
const MOST_PARTS: u64 = 10_000;
const PARTS_AT_ONCE: usize = 4;

/// The version to copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) at: &'a Location,
    pub(super) etag: &'a str,
}

impl Source<'_> {
    fn header(self) -> String {
        copy_source(&self.at.bucket, &self.at.key)
    }
}

impl S3Backend {
    pub(super) async fn copy_object(
        &self,
        source: Source<'_>,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let onto_itself = source.at == to;
        let condition = match condition {
            Condition::Match(etag) if onto_itself && etag != source.etag => return Err(BackendError::Precondition),
            // What it replaces is what it copies.
            Condition::None | Condition::Match(_) if onto_itself => Condition::Match(source.etag.to_owned()),
            condition => condition,
        };
        if (onto_itself && !self.copies_itself_by_parts()) || condition == Condition::None {
            match self.copy_version(source, to, &attributes, tags.as_ref()).await {
                Err(BackendError::Unsupported(_)) if onto_itself => {}
                // Stores have several codes for what is too large.
                Err(error @ (BackendError::Other(_) | BackendError::TooLarge(_))) => {
                    if self.head_object(source.at, Some(source.etag)).await?.len <= MOST {
                        return Err(error);
                    }
                }
                copied => return copied,
            }
        }
        self.copy_by_parts(source, to, attributes, tags, condition).await
    }

    /// Whether a completion is the only write of a copy onto itself that the store makes conditional. Where it has none,
    /// the copy has a race: see [`Requirement::can_be_waived`].
    fn copies_itself_by_parts(&self) -> bool {
        // What is empty has no parts, and is put.
        let replaces = [Requirement::CompleteIfMatch, Requirement::PutIfMatch];
        self.lacks(Requirement::SelfCopyIfMatch) && !replaces.into_iter().any(|needed| self.lacks(needed))
    }

    /// Where the store does not look at the version, it is looked at before and after.
    async fn copy_version(
        &self,
        source: Source<'_>,
        to: &Location,
        attributes: &Attributes,
        tags: Option<&Tags>,
    ) -> Result<String, BackendError> {
        // Without the condition, a version that is stored while S3 copies would be lost.
        let if_match = (source.at == to).then_some(source.etag);
        if !self.lacks(Requirement::CopyIfMatch) {
            return self.copy_at_once(source, to, attributes, tags, if_match).await;
        }
        self.check(source).await?;
        let copied = self.copy_at_once(source, to, attributes, tags, if_match).await?;
        if source.at != to {
            self.check(source).await?;
        }
        Ok(copied)
    }

    async fn check(&self, source: Source<'_>) -> Result<(), BackendError> {
        let found = self.head_object(source.at, None).await?;
        (found.etag == source.etag)
            .then_some(())
            .ok_or(BackendError::Precondition)
    }

    /// `if_match` is the `ETag` of what the copy replaces.
    pub(super) async fn copy_at_once(
        &self,
        source: Source<'_>,
        to: &Location,
        attributes: &Attributes,
        tags: Option<&Tags>,
        if_match: Option<&str>,
    ) -> Result<String, BackendError> {
        let headers = self.headers(attributes, tags.unwrap_or(&Tags::new()))?;
        let tags = tags
            .filter(|_| !self.lacks(Requirement::Tags))
            .map(|_| TaggingDirective::Replace);
        let request = self.client.copy_object().bucket(&to.bucket).key(&to.key);
        let request = request
            .copy_source(source.header())
            .copy_source_if_match(quoted(source.etag))
            .set_if_match(if_match.map(quoted))
            .metadata_directive(MetadataDirective::Replace)
            .set_tagging_directive(tags);
        let request = request
            .customize()
            .mutate_request(headers.into_edit())
            .config_override(once());
        let copied = async {
            let copied = request.send().await.map_err(errors::of_object)?;
            // An error after the status line has no result.
            required(copied.copy_object_result().and_then(|result| result.e_tag()))
        };
        within(self.move_timeout, copied).await
    }

    async fn copy_by_parts(
        &self,
        source: Source<'_>,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        let len = self.head_object(source.at, Some(source.etag)).await?.len;
        let tags = match tags {
            Some(tags) => tags,
            None => self.get_tags(source.at).await?,
        };
        if len == 0 {
            let empty = Body {
                len,
                bytes: stream::empty().boxed(),
            };
            return self.put_object(to, empty, &attributes, &tags, &condition).await;
        }
        let upload = self.begin_upload(to, &attributes, &tags).await?;
        let copied = self.copy_parts(source, len, to, &upload).await;
        let completed = match copied {
            Ok(parts) => self.finish_upload(to, &upload, &parts, &condition).await,
            Err(error) => Err(error),
        };
        if completed.is_err() {
            let request = self.client.abort_multipart_upload().bucket(&to.bucket).key(&to.key);
            // What went wrong is known already. Stores have rules against what is left of uploads.
            drop(request.upload_id(&upload).send().await);
        }
        completed
    }

    async fn copy_parts(
        &self,
        source: Source<'_>,
        len: u64,
        to: &Location,
        upload: &str,
    ) -> Result<Vec<UploadedPart>, BackendError> {
        let ranges = ranges(len);
        // Of a small object, S3 copies no range.
        let is_whole = ranges.len() == 1;
        let parts = (1..).zip(ranges).map(|(number, (first, last))| async move {
            let range = (!is_whole).then(|| format!("bytes={first}-{last}"));
            let request = self.client.upload_part_copy().bucket(&to.bucket).key(&to.key);
            let request = request
                .upload_id(upload)
                .part_number(i32::from(number))
                .copy_source(source.header())
                .copy_source_if_match(quoted(source.etag))
                .set_copy_source_range(range);
            let copied = async {
                let copied = request.customize().config_override(once()).send().await;
                let copied = copied.map_err(errors::of_object)?;
                required(copied.copy_part_result().and_then(|result| result.e_tag()))
            };
            let etag = within(self.move_timeout, copied).await?;
            Ok(UploadedPart { number, etag })
        });
        stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect().await
    }
}

/// The first and last byte of each part. They have about the same length: some stores copy no small ranges.
fn ranges(len: u64) -> Vec<(u64, u64)> {
    let part = len.div_ceil(len.div_ceil(PART).clamp(1, MOST_PARTS));
    let firsts = (0..len.div_ceil(part)).map(|index| index * part);
    firsts.map(|first| (first, len.min(first + part) - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_copy_are_all_bytes_in_at_most_as_many_parts_as_s3_has() {
        for len in [1, PART - 1, PART, PART + 1, MOST + 1, 48 << 40, (48 << 40) + 12_345] {
            let ranges = ranges(len);
            assert!(ranges.len() <= 10_000, "{len}");
            let mut next = 0;
            for (first, last) in ranges {
                assert_eq!(first, next);
                assert!(first <= last && last - first < MOST, "{len}");
                next = last + 1;
            }
            assert_eq!(next, len);
        }
    }
}
