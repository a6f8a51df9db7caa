//! Several ranges of one object.
//!
//! ```text
//! ranges      |--| |---|            |-|        |--|     as the caller names them
//! opened      |----------|         |---|      |----|    runs of whole chunks, each opened once
//! fetched     |----------|         |---------------|    requests: runs that are at most 1 MiB apart share one
//! ```

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::format::{COMMITMENT_LEN, SALT_LEN};

use super::super::object_store::path::Path;
use super::super::object_store::{
    Extensions, GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, Result,
};
use super::EncryptedStore;
use super::body::failure;
use super::errors::{generic, refused};
use super::header::{Reading, take_header};
use super::read::{index, open_next, range_opener, resolved, skip_to, split};
use crate::config::HeaderPlace;
use crate::error::StoreError;

/// Requests of one call that are under way at a time.
const REQUESTS: usize = 10;

impl<S: ObjectStore> EncryptedStore<S> {
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
            HeaderPlace::Metadata | HeaderPlace::MetadataIdentifier => {
                self.unlock_detached(&reading, header.as_ref()).await?
            }
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
