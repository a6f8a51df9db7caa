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
use super::body::{Body, ciphertext, failure};
use super::errors::{generic, refused};
use super::header::take_header;
use crate::config::HeaderPlace;
use crate::context::ObjectContext;
use crate::error::StoreError;

/// Ciphertext that is opened before a call returns, in bytes; more is a stream.
const AT_ONCE: u64 = 512 * 1024;
/// Plaintext that one thread opens at a time in a stream, in bytes: a multiple of every chunk size.
const PIECE: u64 = 1024 * 1024;
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
        let mut body = Body::new(ciphertext(result.payload, result.range.clone()));
        if is_whole {
            check_prefix(location, &unlocked, &mut body).await?;
        } else {
            skip_to(location, &mut body, &result.range, &opener).await?;
        }
        result.payload = self.opened(location, opener, stored_len, body).await?;
        result.range = range;
        Ok(result)
    }

    /// All of an object whose header is in front: one request, whose first bytes are the header.
    async fn whole_attached(&self, mut result: GetResult, context: EncryptionContext) -> Result<GetResult> {
        let location = result.meta.location.clone();
        let mut body = Body::new(ciphertext(result.payload, result.range.clone()));
        let start = body.take(ATTACHED_LEN + PREFIX_LEN).await;
        let start = start.map_err(|error| failure(&location, error))?;
        let header = self.parse_attached(&location, &start)?;
        let unlocked = self.unlock_header(&location, header, context).await?;
        let stored_len = result.meta.size;
        result.meta = self.sized(result.meta)?;
        result.range = 0..result.meta.size;
        let opener = range_opener(&location, &unlocked, stored_len, &result.range)?;
        // The header has verified the payload's first bytes.
        result.payload = self.opened(&location, opener, stored_len, body).await?;
        Ok(result)
    }

    /// The plaintext of a range, whose ciphertext comes next in `body`: at once if that is short, or else as a stream of
    /// pieces, several of which are opened at a time.
    async fn opened(
        &self,
        location: &Path,
        opener: RangeOpener,
        stored_len: u64,
        mut body: Body,
    ) -> Result<GetResultPayload> {
        let needed = opener.ciphertext_range();
        if needed.end - needed.start <= AT_ONCE {
            let plain = open_next(location, &opener, &mut body).await?.await?;
            let item = (!plain.is_empty()).then_some(Ok(plain));
            return Ok(GetResultPayload::Stream(stream::iter(item).boxed()));
        }
        let pieces = Pieces {
            location: location.clone(),
            unlocked: opener.unlocked().clone(),
            stored_len,
            rest: opener.plaintext_range().clone(),
            body,
        };
        let opened = stream::try_unfold(pieces, Pieces::next).try_buffered(self.pieces_at_once());
        Ok(GetResultPayload::Stream(opened.boxed()))
    }

    fn pieces_at_once(&self) -> usize {
        self.config.executor.thread_count() + 1
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
        let mut body = Body::new(ciphertext(result.payload, have.clone()));
        let body = body.take(index(have.end - have.start)).await;
        let body = body.map_err(|error| failure(location, error))?;
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

/// A range that is opened piece by piece.
struct Pieces {
    location: Path,
    unlocked: Unlocked,
    stored_len: u64,
    /// The plaintext that is left.
    rest: Range<u64>,
    body: Body,
}

impl Pieces {
    /// Fetches the next piece; the future opens it.
    async fn next(mut self) -> Result<Option<(impl Future<Output = Result<Bytes>>, Self)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // All but the first begin with a chunk, and all but the last end with one.
        let end = (self.rest.start / PIECE + 1).saturating_mul(PIECE).min(self.rest.end);
        let opener = range_opener(&self.location, &self.unlocked, self.stored_len, &(self.rest.start..end))?;
        let opening = open_next(&self.location, &opener, &mut self.body).await?;
        self.rest.start = end;
        Ok(Some((opening, self)))
    }
}

/// Takes the ciphertext of a range from `body`; the future opens it.
async fn open_next(
    location: &Path,
    opener: &RangeOpener,
    body: &mut Body,
) -> Result<impl Future<Output = Result<Bytes>> + use<>> {
    let needed = opener.ciphertext_range();
    let len = index(needed.end - needed.start);
    let fetched = body.take(len).await.map_err(|error| failure(location, error))?;
    if fetched.len() < len {
        return Err(other_bytes(location));
    }
    let (location, opener) = (location.clone(), opener.clone());
    Ok(async move {
        let opened = opener.open_async(fetched).await;
        opened.map_err(|error| refused(StoreError::sealstone(location, error)))
    })
}

/// Compares a payload's first 56 bytes with those in the header.
async fn check_prefix(location: &Path, unlocked: &Unlocked, body: &mut Body) -> Result<()> {
    let prefix = body.take(PREFIX_LEN).await.map_err(|error| failure(location, error))?;
    let prefix = prefix.first_chunk().ok_or_else(|| other_bytes(location))?;
    let checked = unlocked.header().check_payload(prefix);
    checked.map_err(|error| refused(StoreError::sealstone(location, error)))
}

/// Drops what was fetched before the range's chunks.
async fn skip_to(location: &Path, body: &mut Body, have: &Range<u64>, opener: &RangeOpener) -> Result<()> {
    let needed = opener.ciphertext_range();
    if !needed.is_empty() && (needed.start < have.start || needed.end > have.end) {
        return Err(other_bytes(location));
    }
    let skipped = body.skip(needed.start.saturating_sub(have.start)).await;
    skipped.map_err(|error| failure(location, error))
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
