//! Looking objects up, and reading them. A response is checked against the request: stores, and what caches them, have
//! answered with another range, or with another version.

use std::ops::Range;
use std::time::SystemTime;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use futures_util::{StreamExt, stream};

use super::attributes::Described;
use super::body::download;
use super::text::{quoted, required};
use super::{BackendError, Location, S3Backend, StoredBytes, StoredObject, StoredRange, errors};

impl S3Backend {
    pub(super) async fn head_object(&self, at: &Location, etag: Option<&str>) -> Result<StoredObject, BackendError> {
        let request = self.client.head_object().bucket(&at.bucket).key(&at.key);
        let found = request.set_if_match(etag.map(quoted)).send().await;
        let found = found.map_err(errors::of_object)?;
        Ok(StoredObject {
            etag: same(required(found.e_tag())?, etag)?,
            len: length(found.content_length())?,
            modified: time(found.last_modified()),
            attributes: found.attributes(),
        })
    }

    pub(super) async fn get_object(
        &self,
        at: &Location,
        range: StoredRange,
        etag: Option<&str>,
    ) -> Result<StoredBytes, BackendError> {
        let Some(header) = range_header(&range) else {
            return self.nothing(at, &range, etag).await;
        };
        let request = self
            .client
            .get_object()
            .bucket(&at.bucket)
            .key(&at.key)
            .set_range(header);
        let found = match request.set_if_match(etag.map(quoted)).send().await {
            Err(error) if errors::is_beyond_end(&error) => return self.nothing(at, &range, etag).await,
            found => found.map_err(errors::of_object)?,
        };
        let (returned, len) = extent(&found)?;
        let expected = range.within(len);
        if returned != expected {
            let message = format!("it returned bytes {returned:?} of {len} when asked for {expected:?}");
            return Err(BackendError::Other(message.into()));
        }
        let object = StoredObject {
            etag: same(required(found.e_tag())?, etag)?,
            len,
            modified: time(found.last_modified()),
            attributes: found.attributes(),
        };
        Ok(StoredBytes {
            object,
            bytes: download(found.body, returned.end - returned.start, self.idle_timeout),
            range: returned,
        })
    }

    /// No byte of the object, as HTTP cannot ask for it.
    async fn nothing(
        &self,
        at: &Location,
        range: &StoredRange,
        etag: Option<&str>,
    ) -> Result<StoredBytes, BackendError> {
        let object = self.head_object(at, etag).await?;
        let range = range.within(object.len);
        if !range.is_empty() {
            return Err(BackendError::Other(
                format!("it refused bytes {range:?} of {}", object.len).into(),
            ));
        }
        Ok(StoredBytes {
            object,
            range,
            bytes: stream::empty().boxed(),
        })
    }
}

/// The header that asks for a range: none for all bytes. `None` for a range without a byte.
fn range_header(range: &StoredRange) -> Option<Option<String>> {
    match range {
        StoredRange::Suffix(0) => None,
        StoredRange::Suffix(last) => Some(Some(format!("bytes=-{}", last.min(&(i64::MAX as u64))))),
        StoredRange::Bytes(range) if range.is_empty() => None,
        StoredRange::Bytes(Range {
            start: 0,
            end: u64::MAX,
        }) => Some(None),
        // Many stores count with signed numbers.
        StoredRange::Bytes(range) if range.end > i64::MAX as u64 => Some(Some(format!("bytes={}-", range.start))),
        StoredRange::Bytes(range) => Some(Some(format!("bytes={}-{}", range.start, range.end - 1))),
    }
}

/// Which bytes a response has, and how many the object has.
fn extent(found: &GetObjectOutput) -> Result<(Range<u64>, u64), BackendError> {
    let content = length(found.content_length())?;
    let Some(header) = found.content_range() else {
        return Ok((0..content, content));
    };
    let (range, len) = content_range(header)
        .filter(|(range, _)| range.end - range.start == content)
        .ok_or_else(|| BackendError::Other(format!("its {content} bytes are those of {header:?}").into()))?;
    Ok((range, len))
}

/// `bytes 5-9/20`, each number as its canonical digits.
fn content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (range, len) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, len) = (digits(first)?, digits(last)?, digits(len)?);
    (first <= last && last < len).then(|| (first..last + 1, len))
}

fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn length(len: Option<i64>) -> Result<u64, BackendError> {
    let len = len.and_then(|len| len.try_into().ok());
    len.ok_or_else(|| BackendError::Other("its response has no length".into()))
}

fn same(etag: String, expected: Option<&str>) -> Result<String, BackendError> {
    match expected {
        Some(expected) if expected != etag => {
            let message = format!("it returned version {etag:?} when asked for {expected:?}");
            Err(BackendError::Other(message.into()))
        }
        _ => Ok(etag),
    }
}

pub(super) fn time(at: Option<&DateTime>) -> SystemTime {
    let at = at.and_then(|at| SystemTime::try_from(*at).ok());
    at.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_every_store_reads_them() {
        for (range, header) in [
            (StoredRange::Bytes(0..u64::MAX), Some(None)),
            (StoredRange::Bytes(0..1), Some(Some("bytes=0-0"))),
            (StoredRange::Bytes(5..10), Some(Some("bytes=5-9"))),
            (StoredRange::Bytes(5..u64::MAX), Some(Some("bytes=5-"))),
            (StoredRange::Suffix(3), Some(Some("bytes=-3"))),
            (StoredRange::Suffix(0), None),
            (StoredRange::Bytes(5..5), None),
        ] {
            assert_eq!(
                range_header(&range),
                header.map(|header| header.map(str::to_owned)),
                "{range:?}"
            );
        }
    }

    #[test]
    fn only_whole_numbers_make_a_content_range() {
        assert_eq!(content_range("bytes 5-9/20"), Some((5..10, 20)));
        for header in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 9-5/20",
            "bytes 5-20/20",
            "bytes 5-9/*",
            "bytes */20",
            "bytes +5-9/20",
            "bytes 5-9/18446744073709551616",
            "bytes 0-18446744073709551615/18446744073709551615",
            "octets 5-9/20",
            "bytes -9/20",
            "bytes 5-/20",
        ] {
            assert_eq!(content_range(header), None, "{header}");
        }
    }
}
