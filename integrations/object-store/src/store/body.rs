//! Bodies: what the inner store returns as one stream, and what the caller gets.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use sealstone::positioned::ReadAt;

use super::super::object_store::path::Path;
use super::super::object_store::{GetResultPayload, Result};
use super::errors::{generic, refused};
use crate::error::StoreError;

/// Bytes of a local file that are read at once.
const PIECE: u64 = 2 * 1024 * 1024;

/// Ciphertext as the inner store returns it.
pub(super) type Ciphertext = BoxStream<'static, io::Result<Bytes>>;

/// The stream of what a store returned: `range` of an object.
pub(super) fn ciphertext(payload: GetResultPayload, range: Range<u64>) -> Ciphertext {
    match payload {
        GetResultPayload::File(file, _) => file_stream(file, range),
        GetResultPayload::Stream(stream) => stream.map(|item| item.map_err(io::Error::other)).boxed(),
    }
}

/// Reads a file in pieces: large ones, because each changes threads.
fn file_stream(file: File, range: Range<u64>) -> Ciphertext {
    let next = |(file, range): (File, Range<u64>)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = move || {
            let len = (range.end - range.start).min(PIECE);
            let mut piece = vec![0; usize::try_from(len).expect("at most 2 MiB")];
            let have = read_full(&file, &mut piece, range.start)?;
            piece.truncate(have);
            // A file that became shorter ends here: what is missing is noticed by whoever opens the chunks.
            let rest = if have == 0 {
                range.end..range.end
            } else {
                range.start + have as u64..range.end
            };
            Ok(Some((Bytes::from(piece), (file, rest))))
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(read).await.map_err(io::Error::other)?,
            Err(_) => read(),
        }
    };
    stream::try_unfold((file, range), next).boxed()
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], offset + have as u64)? {
            0 => break,
            count => have += count,
        }
    }
    Ok(have)
}

/// Drops the first `count` bytes of a stream.
pub(super) fn without_first(stream: Ciphertext, count: u64) -> Ciphertext {
    if count == 0 {
        return stream;
    }
    let mut left = count;
    let skip = move |item: io::Result<Bytes>| {
        std::future::ready(match item {
            Ok(mut bytes) => {
                let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                left -= skipped as u64;
                let rest = bytes.split_off(skipped);
                (!rest.is_empty()).then_some(Ok(rest))
            }
            Err(error) => Some(Err(error)),
        })
    };
    stream.filter_map(skip).boxed()
}

/// Collects the first `count` bytes of a stream, or all if there are fewer, without copying one that comes in one piece.
pub(super) async fn collect_first(stream: &mut Ciphertext, count: usize) -> io::Result<Bytes> {
    let mut joined: Vec<u8> = Vec::new();
    while let Some(item) = stream.next().await {
        let item = item?;
        if joined.is_empty() && item.len() >= count {
            return Ok(item.slice(..count));
        }
        if joined.is_empty() {
            joined.reserve_exact(count);
        }
        joined.extend_from_slice(&item[..item.len().min(count - joined.len())]);
        if joined.len() == count {
            break;
        }
    }
    Ok(joined.into())
}

/// Verified plaintext, which must be as long as it was announced.
pub(super) struct Plaintext<S> {
    inner: S,
    location: String,
    left: u64,
    failed: bool,
}

impl<S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static> Plaintext<S> {
    pub(super) fn boxed(inner: S, location: &Path, len: u64) -> BoxStream<'static, Result<Bytes>> {
        Box::pin(Self {
            inner,
            location: location.to_string(),
            left: len,
            failed: false,
        })
    }

    /// Whether `bytes` are no more than were announced, or the end comes where it was.
    fn check(&mut self, item: Option<Bytes>) -> Option<Result<Bytes>> {
        let left = match &item {
            Some(bytes) => self.left.checked_sub(bytes.len() as u64),
            None => (self.left == 0).then_some(0),
        };
        match left {
            Some(left) => {
                self.left = left;
                item.map(Ok)
            }
            None => Some(Err(refused(StoreError::OtherBytes {
                location: self.location.clone(),
            }))),
        }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static> Stream for Plaintext<S> {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let item = match ready!(this.inner.poll_next_unpin(cx)).transpose() {
            Ok(item) => this.check(item),
            Err(error) => Some(Err(failure(&this.location, error))),
        };
        this.failed = matches!(item, Some(Err(_)));
        Poll::Ready(item)
    }
}

/// The error of a stream: the engine's or the inner store's.
pub(super) fn failure(location: &str, error: io::Error) -> super::super::object_store::Error {
    match error.downcast::<sealstone::Error>() {
        Ok(error) => super::errors::unshared(location, error),
        Err(error) => generic(error),
    }
}
