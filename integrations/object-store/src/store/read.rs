//! Reading: whole objects, ranges and lengths.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::format::{ATTACHED_LEN, PREFIX_LEN};
use sealstone::range::RangeOpener;
use sealstone::{EncryptionContext, Unlocked};

use super::super::object_store::path::Path;
use super::super::object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, Result,
};
use super::EncryptedStore;
use super::body::{Ciphertext, Plaintext, ciphertext, collect_first, failure, without_first};
use super::errors::{generic, refused};
use super::header::take_header;
use crate::config::HeaderPlace;
use crate::context::ObjectContext;
use crate::error::StoreError;

/// Ciphertext that is opened at once, in bytes; more is a stream.
const AT_ONCE: u64 = 512 * 1024;
/// Requests of one call that are under way at a time.
const REQUESTS: usize = 10;

impl<S: ObjectStore> EncryptedStore<S> {
    pub(super) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let context = self
            .config
            .context(location.as_ref(), options.extensions.get::<ObjectContext>());
        let context = context.map_err(refused)?;
        let wanted = options.range.clone();
        let request = GetOptions {
            range: wanted.as_ref().map(|range| self.fetch_for(range)),
            ..options
        };
        let is_head = request.head;
        let result = self.store.get_opts(location, request).await?;
        if is_head {
            return self.head_result(result, wanted);
        }
        match (self.config.place, &wanted) {
            (HeaderPlace::Attached, None) => self.whole_attached(result, context).await,
            _ => self.open(result, wanted, context).await,
        }
    }

    /// What holds a range of the plaintext, in a stored object of unknown length.
    fn fetch_for(&self, range: &GetRange) -> GetRange {
        let sizes = self.config.sizes();
        match range {
            // The store refuses it, as it does without the wrapper.
            GetRange::Bounded(range) if range.is_empty() => GetRange::Bounded(range.clone()),
            GetRange::Bounded(range) => GetRange::Bounded(sizes.fetch(range)),
            GetRange::Offset(start) => GetRange::Offset(sizes.fetch_from(*start)),
            GetRange::Suffix(len) => GetRange::Suffix(sizes.fetch_last(*len)),
        }
    }

    fn head_result(&self, mut result: GetResult, wanted: Option<GetRange>) -> Result<GetResult> {
        let (header, attributes) = take_header(&result.attributes);
        if self.config.place == HeaderPlace::Metadata {
            self.parse_header(&result.meta.location, header.as_ref())?;
        }
        result.meta = self.sized(result.meta)?;
        result.range = resolved(wanted, result.meta.size)?;
        result.payload = GetResultPayload::Stream(stream::empty().boxed());
        result.attributes = attributes;
        Ok(result)
    }

    /// Opens a range of an object, or all of one whose header is in its metadata.
    async fn open(
        &self,
        mut result: GetResult,
        wanted: Option<GetRange>,
        context: EncryptionContext,
    ) -> Result<GetResult> {
        let (header, attributes) = take_header(&result.attributes);
        let stored_len = result.meta.size;
        let unlocked = self.unlock(&result.meta, header.as_ref(), context).await?;
        result.meta = self.sized(result.meta)?;
        result.attributes = attributes;
        let location = &result.meta.location;
        let is_whole = wanted.is_none();
        let range = resolved(wanted, result.meta.size)?;
        let opener = range_opener(location, &unlocked, stored_len, &range)?;
        let ciphertext = ciphertext(result.payload, result.range.clone());
        result.payload = if is_whole {
            self.open_whole(location, &unlocked, &opener, ciphertext).await?
        } else {
            let ciphertext = trimmed(location, ciphertext, &result.range, &opener)?;
            open_range(location, &opener, ciphertext).await?
        };
        result.range = range;
        Ok(result)
    }

    /// Opens all of a payload, its first 56 bytes included.
    async fn open_whole(
        &self,
        location: &Path,
        unlocked: &Unlocked,
        opener: &RangeOpener,
        mut ciphertext: Ciphertext,
    ) -> Result<GetResultPayload> {
        let len = opener.plaintext_range().end;
        if opener.ciphertext_range().end <= AT_ONCE {
            let payload_len = index(opener.ciphertext_range().end);
            let payload = collect_first(&mut ciphertext, payload_len).await;
            let payload = payload.map_err(|error| failure(location.as_ref(), error))?;
            let opened = unlocked.clone().open_async(payload).await;
            return at_once(location, opened, len);
        }
        let opened = unlocked.open_stream(ciphertext).await;
        let opened = opened.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        Ok(GetResultPayload::Stream(Plaintext::boxed(opened, location, len)))
    }

    /// All of an object whose header is in front: one request, whose first bytes are the header.
    async fn whole_attached(&self, mut result: GetResult, context: EncryptionContext) -> Result<GetResult> {
        let location = result.meta.location.clone();
        let mut body = ciphertext(result.payload, result.range.clone());
        let mut start = Vec::new();
        let mut rest = Bytes::new();
        while start.len() < ATTACHED_LEN + PREFIX_LEN {
            let Some(item) = body
                .try_next()
                .await
                .map_err(|error| failure(location.as_ref(), error))?
            else {
                break;
            };
            let missing = (ATTACHED_LEN + PREFIX_LEN - start.len()).min(item.len());
            start.extend_from_slice(&item[..missing]);
            rest = item.slice(missing..);
        }
        let header = self.parse_attached(&location, &start)?;
        let unlocked = self.unlock_header(&location, header, context).await?;
        let stored_len = result.meta.size;
        result.meta = self.sized(result.meta)?;
        result.range = 0..result.meta.size;
        let opener = range_opener(&location, &unlocked, stored_len, &result.range)?;
        // The header has verified the payload's first bytes.
        let chunks = stream::iter([Ok(rest)]).chain(body).boxed();
        result.payload = open_range(&location, &opener, chunks).await?;
        Ok(result)
    }

    /// Several ranges: those whose chunks meet are opened together, and those that are near are fetched together.
    pub(super) async fn ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let chunk_len = self.config.sizes().chunk_len();
        let aligned = ranges.iter().map(|range| {
            let end = range.end.checked_next_multiple_of(chunk_len).unwrap_or(range.end);
            range.start / chunk_len * chunk_len..end
        });
        let opened_together = merged(aligned, 0);
        let fetched_together = merged(opened_together.iter().cloned(), OBJECT_STORE_COALESCE_DEFAULT);
        let mut fetches = Vec::with_capacity(fetched_together.len());
        for fetch in fetched_together {
            let runs = opened_together
                .iter()
                .filter(|run| fetch.start <= run.start && run.end <= fetch.end);
            let runs = runs.cloned().collect();
            fetches.push(self.fetch_runs(location, fetch, runs));
        }
        let fetched: Vec<_> = stream::iter(fetches).buffered(REQUESTS).try_collect().await?;
        if let Some((first, rest)) = fetched.split_first()
            && rest.iter().any(|other| other.e_tag != first.e_tag)
        {
            return Err(refused(StoreError::Changed {
                location: location.to_string(),
            }));
        }
        let runs: Vec<_> = fetched.into_iter().flat_map(|fetch| fetch.runs).collect();
        ranges.iter().map(|range| cut(&runs, range)).collect()
    }

    /// Fetches `fetch` of the plaintext, and opens `runs` of it.
    async fn fetch_runs(&self, location: &Path, fetch: Range<u64>, runs: Vec<Range<u64>>) -> Result<Fetched> {
        let options = GetOptions {
            range: Some(self.fetch_for(&GetRange::Bounded(fetch))),
            ..GetOptions::default()
        };
        let context = self.config.context(location.as_ref(), None).map_err(refused)?;
        let result = self.store.get_opts(location, options).await?;
        let (header, _) = take_header(&result.attributes);
        let stored_len = result.meta.size;
        let unlocked = self.unlock(&result.meta, header.as_ref(), context).await?;
        let (e_tag, have) = (result.meta.e_tag.clone(), result.range.clone());
        let len = self.sized(result.meta)?.size;
        let mut body = ciphertext(result.payload, have.clone());
        let body = collect_first(&mut body, index(have.end - have.start)).await;
        let body = body.map_err(|error| failure(location.as_ref(), error))?;
        let mut opened = Vec::with_capacity(runs.len());
        for run in runs {
            let range = resolved(Some(GetRange::Bounded(run)), len)?;
            let opener = range_opener(location, &unlocked, stored_len, &range)?;
            let needed = opener.ciphertext_range();
            if needed.start < have.start || needed.end > have.start + body.len() as u64 {
                return Err(other_bytes(location));
            }
            let bytes = body.slice(index(needed.start - have.start)..index(needed.end - have.start));
            let plain = opener.open_async(bytes).await;
            let plain = plain.map_err(|error| refused(StoreError::sealstone(location, error)))?;
            opened.push((range, plain));
        }
        Ok(Fetched { e_tag, runs: opened })
    }
}

/// Runs of plaintext that one request brought.
struct Fetched {
    e_tag: Option<String>,
    runs: Vec<(Range<u64>, Bytes)>,
}

/// One range out of the run that holds it. As in any store, a range that passes the end is cut there.
fn cut(runs: &[(Range<u64>, Bytes)], range: &Range<u64>) -> Result<Bytes> {
    let holding = runs.partition_point(|(run, _)| run.start <= range.start);
    let (run, bytes) = &runs[holding.saturating_sub(1)];
    let range = GetRange::Bounded(range.clone());
    let range = range.as_range(run.end).map_err(generic)?;
    Ok(bytes.slice(index(range.start - run.start)..index(range.end - run.start)))
}

/// Ascending, disjoint ranges that cover `ranges`; those that are at most `gap` apart become one.
fn merged(ranges: impl Iterator<Item = Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The range of a plaintext of `len` bytes that the caller asked for.
fn resolved(wanted: Option<GetRange>, len: u64) -> Result<Range<u64>> {
    match wanted {
        Some(range) => range.as_range(len).map_err(generic),
        None => Ok(0..len),
    }
}

fn range_opener(location: &Path, unlocked: &Unlocked, stored_len: u64, range: &Range<u64>) -> Result<RangeOpener> {
    let opener = unlocked.range(stored_len, range.clone());
    opener.map_err(|error| refused(StoreError::sealstone(location, error)))
}

/// Drops what was fetched before the range's chunks.
fn trimmed(location: &Path, body: Ciphertext, have: &Range<u64>, opener: &RangeOpener) -> Result<Ciphertext> {
    let needed = opener.ciphertext_range();
    if !needed.is_empty() && (needed.start < have.start || needed.end > have.end) {
        return Err(other_bytes(location));
    }
    Ok(without_first(body, needed.start.saturating_sub(have.start)))
}

/// Opens a range from its ciphertext: at once, if that is short.
async fn open_range(location: &Path, opener: &RangeOpener, mut ciphertext: Ciphertext) -> Result<GetResultPayload> {
    let needed = opener.ciphertext_range();
    let len = opener.plaintext_range().end - opener.plaintext_range().start;
    if needed.end - needed.start <= AT_ONCE {
        let fetched = collect_first(&mut ciphertext, index(needed.end - needed.start)).await;
        let fetched = fetched.map_err(|error| failure(location.as_ref(), error))?;
        return at_once(location, opener.open_async(fetched).await, len);
    }
    let opened = opener.open_stream(ciphertext);
    Ok(GetResultPayload::Stream(Plaintext::boxed(opened, location, len)))
}

/// A body of plaintext that was opened at once, and must have the length that was announced.
fn at_once(location: &Path, opened: sealstone::Result<Bytes>, len: u64) -> Result<GetResultPayload> {
    let opened = opened.map_err(|error| refused(StoreError::sealstone(location, error)))?;
    if opened.len() as u64 != len {
        return Err(other_bytes(location));
    }
    let item = (!opened.is_empty()).then_some(Ok(opened));
    Ok(GetResultPayload::Stream(stream::iter(item).boxed()))
}

fn other_bytes(location: &Path) -> super::super::object_store::Error {
    refused(StoreError::OtherBytes {
        location: location.to_string(),
    })
}

/// A length of bytes in memory.
fn index(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
