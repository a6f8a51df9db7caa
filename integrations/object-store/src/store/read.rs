//! Reading: whole objects, ranges and lengths.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::Unlocked;
use sealstone::format::{ATTACHED_LEN, COMMITMENT_LEN, PREFIX_LEN, SALT_LEN};
use sealstone::range::RangeOpener;

use super::super::object_store::path::Path;
use super::super::object_store::{
    Extensions, GetOptions, GetRange, GetResult, GetResultPayload, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, Result,
};
use super::EncryptedStore;
use super::body::{Body, ciphertext, failure};
use super::errors::{generic, refused};
use super::header::{Reading, START_LEN, take_header};
use crate::config::HeaderPlace;
use crate::error::StoreError;

/// Ciphertext that is opened before a call returns, in bytes; more is a stream.
const AT_ONCE: u64 = 512 * 1024;
/// Plaintext that one thread opens at a time in a stream, in bytes: a multiple of every chunk size.
const PIECE: u64 = 1024 * 1024;
/// Requests of one call that are under way at a time.
const REQUESTS: usize = 10;

impl<S: ObjectStore> EncryptedStore<S> {
    pub(super) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let reading = Reading {
            location,
            context: self.context(location, &options.extensions)?,
            extensions: options.extensions.clone(),
        };
        let wanted = options.range.clone();
        let mut request = GetOptions {
            range: wanted.as_ref().map(|range| self.fetch_for(range)),
            ..options
        };
        if request.head {
            return self.head_result(self.fetch(&reading, request).await?, wanted);
        }
        if self.config.place == HeaderPlace::Metadata {
            return self.open_detached(&reading, request, wanted).await;
        }
        let Some(wanted) = wanted else {
            return self.open_whole(&reading, request).await;
        };
        if is_long(&wanted) && !self.is_known(&reading)? {
            // The range's body would have to wait for the header.
            let (_, e_tag) = self.unlock_attached(&reading, None).await?;
            request.if_match = request.if_match.or(e_tag);
        }
        self.open_attached(&reading, request, wanted).await
    }

    /// Asks the inner store. What it reports of the object's path decides nothing.
    async fn fetch(&self, reading: &Reading<'_>, request: GetOptions) -> Result<GetResult> {
        let mut result = self.store.get_opts(reading.location, request).await?;
        if result.range.start > result.range.end {
            return Err(other_bytes(reading.location));
        }
        result.meta.location = reading.location.clone();
        Ok(result)
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

    /// A range, or all, of an object whose header is in its metadata.
    async fn open_detached(
        &self,
        reading: &Reading<'_>,
        request: GetOptions,
        wanted: Option<GetRange>,
    ) -> Result<GetResult> {
        let result = self.fetch(reading, request).await?;
        let (header, attributes) = take_header(&result.attributes);
        let unlocked = self.unlock_detached(reading, header.as_ref()).await?;
        let (mut result, mut body) = split(result);
        result.attributes = attributes;
        if wanted.is_none() {
            check_prefix(reading.location, &unlocked, &mut body).await?;
            result.range = after_start(reading.location, &result.range, PREFIX_LEN)?;
        }
        self.opened(result, body, &unlocked, wanted).await
    }

    /// A range of an object whose header is attached.
    async fn open_attached(&self, reading: &Reading<'_>, request: GetOptions, wanted: GetRange) -> Result<GetResult> {
        let location = reading.location;
        let (mut result, mut body) = split(self.fetch(reading, request.clone()).await?);
        let unlocked = match self.cached(reading, result.meta.e_tag.as_deref())? {
            Some(unlocked) => unlocked,
            None => {
                let e_tag = result.meta.e_tag.clone();
                let len = result.range.end - result.range.start;
                if len <= AT_ONCE {
                    body.hold(index(len)).await.map_err(|error| failure(location, error))?;
                    self.unlock_attached(reading, e_tag).await?.0
                } else {
                    drop(body);
                    let (unlocked, e_tag) = self.unlock_attached(reading, e_tag).await?;
                    let again = GetOptions {
                        if_match: request.if_match.clone().or(e_tag),
                        ..request
                    };
                    (result, body) = split(self.fetch(reading, again).await?);
                    unlocked
                }
            }
        };
        self.opened(result, body, &unlocked, Some(wanted)).await
    }

    /// All of an object whose header is attached: one request, whose first bytes are the header.
    async fn open_whole(&self, reading: &Reading<'_>, request: GetOptions) -> Result<GetResult> {
        let (mut result, mut body) = split(self.fetch(reading, request).await?);
        let start = body.take(START_LEN).await;
        let start = start.map_err(|error| failure(reading.location, error))?;
        let unlocked = match self.cached(reading, result.meta.e_tag.as_deref())? {
            Some(unlocked) => unlocked,
            None => self.unlock_start(reading, result.meta.e_tag.as_deref(), &start).await?,
        };
        let prefix = start.get(ATTACHED_LEN..).and_then(|prefix| prefix.first_chunk());
        check_payload(reading.location, &unlocked, prefix)?;
        result.range = after_start(reading.location, &result.range, START_LEN)?;
        self.opened(result, body, &unlocked, None).await
    }

    /// What the caller gets of an object, of whose stored bytes `body` has `result.range`.
    async fn opened(
        &self,
        mut result: GetResult,
        mut body: Body,
        unlocked: &Unlocked,
        wanted: Option<GetRange>,
    ) -> Result<GetResult> {
        let stored_len = result.meta.size;
        result.meta = self.sized(result.meta)?;
        let location = &result.meta.location;
        let range = resolved(wanted, result.meta.size)?;
        let opener = range_opener(location, unlocked, stored_len, &range)?;
        skip_to(location, &mut body, &result.range, &opener).await?;
        result.payload = self.plaintext(location, opener, stored_len, body).await?;
        result.range = range;
        Ok(result)
    }

    /// The plaintext of a range, whose ciphertext comes next in `body`: at once if that is short, or else as a stream of
    /// pieces, several of which are opened at a time.
    async fn plaintext(
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
        let mut runs = opened_together.iter().cloned().peekable();
        let fetched_together = merged(opened_together.iter().cloned(), OBJECT_STORE_COALESCE_DEFAULT);
        let fetches = fetched_together.into_iter().map(|fetch| {
            let within = std::iter::from_fn(|| runs.next_if(|run| run.end <= fetch.end));
            (fetch.clone(), within.collect::<Vec<_>>())
        });
        let fetches: Vec<_> = fetches.collect();
        let fetched = stream::iter(fetches).map(|(fetch, runs)| self.fetch_runs(location, fetch, runs));
        let fetched: Vec<_> = fetched.buffered(REQUESTS).try_collect().await?;
        if let Some((first, rest)) = fetched.split_first()
            && rest.iter().any(|other| other.version != first.version)
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
        let reading = Reading {
            location,
            context: self.config.context(location.as_ref(), None).map_err(refused)?,
            extensions: Extensions::new(),
        };
        let options = GetOptions {
            range: Some(self.fetch_for(&GetRange::Bounded(fetch))),
            ..GetOptions::default()
        };
        let result = self.fetch(&reading, options).await?;
        let (header, _) = take_header(&result.attributes);
        let (result, mut body) = split(result);
        let have = result.range.clone();
        // All of it, before another request or a key call.
        body.hold(index(have.end - have.start))
            .await
            .map_err(|error| failure(location, error))?;
        let e_tag = result.meta.e_tag.clone();
        let unlocked = match self.config.place {
            HeaderPlace::Metadata => self.unlock_detached(&reading, header.as_ref()).await?,
            HeaderPlace::Attached => self.unlock_attached(&reading, e_tag.clone()).await?.0,
        };
        let stored_len = result.meta.size;
        let len = self.sized(result.meta)?.size;
        let mut at = have.start;
        let mut opened = Vec::with_capacity(runs.len());
        for run in runs {
            let range = resolved(Some(GetRange::Bounded(run)), len)?;
            let opener = range_opener(location, &unlocked, stored_len, &range)?;
            skip_to(location, &mut body, &(at..have.end), &opener).await?;
            let plain = open_next(location, &opener, &mut body).await?.await?;
            at = opener.ciphertext_range().end;
            opened.push((range, plain));
        }
        let header = unlocked.header();
        Ok(Fetched {
            version: (*header.salt(), *header.commitment(), e_tag),
            runs: opened,
        })
    }
}

/// Runs of plaintext that one request brought.
struct Fetched {
    /// The version that they are of: salt and commitment, which no other object has, and the ETag.
    version: ([u8; SALT_LEN], [u8; COMMITMENT_LEN], Option<String>),
    runs: Vec<(Range<u64>, Bytes)>,
}

/// One range out of the run that holds it. As in any store, a range that passes the end is cut there.
fn cut(runs: &[(Range<u64>, Bytes)], range: &Range<u64>) -> Result<Bytes> {
    let holding = runs.partition_point(|(run, _)| run.start <= range.start);
    let (run, bytes) = &runs[holding.saturating_sub(1)];
    let range = GetRange::Bounded(range.clone());
    let range = range.as_range(run.end).map_err(generic)?;
    let part = index(range.start - run.start)..index(range.end - run.start);
    if bytes.len() / 2 > part.len() {
        // A small range must not keep a long run in memory.
        return Ok(Bytes::copy_from_slice(&bytes[part]));
    }
    Ok(bytes.slice(part))
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
    check_payload(location, unlocked, prefix.first_chunk())
}

fn check_payload(location: &Path, unlocked: &Unlocked, prefix: Option<&[u8; PREFIX_LEN]>) -> Result<()> {
    let prefix = prefix.ok_or_else(|| other_bytes(location))?;
    let checked = unlocked.header().check_payload(prefix);
    checked.map_err(|error| refused(StoreError::sealstone(location, error)))
}

/// What is left of all of an object after its first `len` bytes.
fn after_start(location: &Path, have: &Range<u64>, len: usize) -> Result<Range<u64>> {
    if have.start != 0 {
        return Err(other_bytes(location));
    }
    Ok(len as u64..have.end)
}

/// The answer of a store and its body.
fn split(mut result: GetResult) -> (GetResult, Body) {
    let nothing = GetResultPayload::Stream(stream::empty().boxed());
    let payload = std::mem::replace(&mut result.payload, nothing);
    let body = Body::new(ciphertext(payload, result.range.clone()));
    (result, body)
}

/// Whether a range is not opened before the call returns, whatever the object's length.
fn is_long(range: &GetRange) -> bool {
    match range {
        GetRange::Bounded(range) => range.end.saturating_sub(range.start) > AT_ONCE / 2,
        GetRange::Suffix(len) => *len > AT_ONCE / 2,
        GetRange::Offset(_) => true,
    }
}

/// Drops what was fetched before the range's chunks.
async fn skip_to(location: &Path, body: &mut Body, have: &Range<u64>, opener: &RangeOpener) -> Result<()> {
    let needed = opener.ciphertext_range();
    if needed.start < have.start || needed.end > have.end {
        return Err(other_bytes(location));
    }
    let skipped = body.skip(needed.start - have.start).await;
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
