//! Reading: whole objects, a range and lengths.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::format::{ATTACHED_LEN, PREFIX_LEN};
use sealstone::range::RangeOpener;
use sealstone::{Header, Unlocked};

use super::super::object_store::path::Path;
use super::super::object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, Result};
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
        if self.config.place != HeaderPlace::Attached {
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
    pub(super) async fn fetch(&self, reading: &Reading<'_>, request: GetOptions) -> Result<GetResult> {
        let (asked, is_head) = (request.range.clone(), request.head);
        let mut result = self.store.get_opts(reading.location, request).await?;
        if !is_head && !is_within(&result.range, asked.as_ref()) {
            return Err(other_bytes(reading.location));
        }
        result.meta.location = reading.location.clone();
        Ok(result)
    }

    /// What holds a range of the plaintext, in a stored object of unknown length.
    pub(super) fn fetch_for(&self, range: &GetRange) -> GetRange {
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
        if self.config.place != HeaderPlace::Attached {
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
            result.range.start = PREFIX_LEN as u64;
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
        check_payload(reading.location, unlocked.header(), prefix)?;
        result.range.start = START_LEN as u64;
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
}

/// The range of a plaintext of `len` bytes that the caller asked for.
pub(super) fn resolved(wanted: Option<GetRange>, len: u64) -> Result<Range<u64>> {
    match wanted {
        Some(range) => range.as_range(len).map_err(generic),
        None => Ok(0..len),
    }
}

pub(super) fn range_opener(
    location: &Path,
    unlocked: &Unlocked,
    stored_len: u64,
    range: &Range<u64>,
) -> Result<RangeOpener> {
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
pub(super) async fn open_next(
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
    check_payload(location, unlocked.header(), prefix.first_chunk())
}

pub(super) fn check_payload(location: &Path, header: &Header, prefix: Option<&[u8; PREFIX_LEN]>) -> Result<()> {
    let prefix = prefix.ok_or_else(|| other_bytes(location))?;
    let checked = header.check_payload(prefix);
    checked.map_err(|error| refused(StoreError::sealstone(location, error)))
}

/// Whether a store that was asked for a range, or for all of an object, says that it returns no more than that. What is
/// kept in memory depends on it.
fn is_within(have: &Range<u64>, asked: Option<&GetRange>) -> bool {
    let is_ordered = have.start <= have.end;
    is_ordered
        && match asked {
            None => have.start == 0,
            Some(GetRange::Bounded(asked)) => asked.start <= have.start && have.end <= asked.end,
            Some(GetRange::Offset(start)) => *start <= have.start,
            Some(GetRange::Suffix(len)) => have.end - have.start <= *len,
        }
}

/// The answer of a store and its body.
pub(super) fn split(mut result: GetResult) -> (GetResult, Body) {
    let nothing = GetResultPayload::Stream(stream::empty().boxed());
    let payload = std::mem::replace(&mut result.payload, nothing);
    let body = Body::new(ciphertext(payload, result.range.clone()));
    (result, body)
}

/// Whether a range may be too long to be opened before the call returns.
fn is_long(range: &GetRange) -> bool {
    match range {
        GetRange::Bounded(range) => range.end.saturating_sub(range.start) > AT_ONCE / 2,
        GetRange::Suffix(len) => *len > AT_ONCE / 2,
        GetRange::Offset(_) => true,
    }
}

/// Drops what was fetched before the range's chunks.
pub(super) async fn skip_to(location: &Path, body: &mut Body, have: &Range<u64>, opener: &RangeOpener) -> Result<()> {
    let needed = opener.ciphertext_range();
    if needed.start < have.start || needed.end > have.end {
        return Err(other_bytes(location));
    }
    let skipped = body.skip(needed.start - have.start).await;
    skipped.map_err(|error| failure(location, error))
}

pub(super) fn other_bytes(location: &Path) -> super::super::object_store::Error {
    refused(StoreError::OtherBytes {
        location: location.to_string(),
    })
}

/// A length of bytes in memory.
pub(super) fn index(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
