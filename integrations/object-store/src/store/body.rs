//! Bodies: what the inner store returns as one stream, and what the caller gets.

use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::{Buf, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sealstone::positioned::read_full_at;

use super::super::object_store::path::Path;
use super::super::object_store::{self, GetResultPayload, Result};
use super::errors::generic;

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
            let have = read_full_at(&file, &mut piece, range.start)?;
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

/// What is left of a stream, from which any number of bytes can be taken.
pub(super) struct Body {
    stream: Ciphertext,
    /// The rest of the last item.
    item: Bytes,
}

impl Body {
    pub(super) const fn new(stream: Ciphertext) -> Self {
        Self {
            stream,
            item: Bytes::new(),
        }
    }

    /// Takes the next `len` bytes, or all if there are fewer. Copies only what spans two items.
    pub(super) async fn take(&mut self, len: usize) -> io::Result<Bytes> {
        while self.item.is_empty() && len > 0 {
            match self.stream.try_next().await? {
                Some(item) => self.item = item,
                None => return Ok(Bytes::new()),
            }
        }
        if self.item.len() >= len {
            return Ok(self.item.split_to(len));
        }
        // A length may be only what the store claims: it gets no memory before the bytes come.
        let mut joined = Vec::with_capacity(len.min(2 * 1024 * 1024));
        joined.extend_from_slice(&std::mem::take(&mut self.item));
        while joined.len() < len {
            let Some(mut item) = self.stream.try_next().await? else {
                break;
            };
            let missing = (len - joined.len()).min(item.len());
            joined.extend_from_slice(&item.split_to(missing));
            self.item = item;
        }
        Ok(joined.into())
    }

    /// Takes the next `len` bytes into memory and lets go of the stream.
    pub(super) async fn hold(&mut self, len: usize) -> io::Result<()> {
        self.item = self.take(len).await?;
        self.stream = stream::empty().boxed();
        Ok(())
    }

    /// The rest, as the store's callers get streams.
    pub(super) fn into_stream(self, location: &Path) -> BoxStream<'static, Result<Bytes>> {
        let location = location.clone();
        let rest = stream::iter([Ok(self.item)]).chain(self.stream);
        rest.map_err(move |error| failure(&location, error)).boxed()
    }

    /// Drops the next `len` bytes.
    pub(super) async fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let skipped = usize::try_from(len).map_or(self.item.len(), |len| len.min(self.item.len()));
            self.item.advance(skipped);
            len -= skipped as u64;
            if len > 0 {
                match self.stream.try_next().await? {
                    Some(item) => self.item = item,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

/// The error of a stream: the engine's or the inner store's.
pub(super) fn failure(location: &Path, error: io::Error) -> object_store::Error {
    match error.downcast::<object_store::Error>() {
        Ok(error) => error,
        Err(error) => generic(format!("{location}: {error}")),
    }
}
