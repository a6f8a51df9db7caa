//! Bytes between streams and files, in blocks of bounded size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::{JoinHandle, spawn_blocking};

use super::files::Temporary;
use crate::backend::{BackendError, Body, ByteStream};

/// The bytes of one read or write.
const BLOCK: usize = 1 << 20;
/// The most pieces of one write.
const MAX_PIECES: usize = 1024;

/// Runs calls that block.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    spawn_blocking(call)
        .await
        .unwrap_or_else(|error| Err(BackendError::Other(error.into())))
}

/// Writes a body to the file that `begin` creates, and syncs it. One block is written while the next one arrives.
pub(super) async fn receive(
    body: Body,
    begin: impl FnOnce() -> Result<Temporary, BackendError> + Send + 'static,
    end: impl FnOnce(&mut Temporary) -> Result<(), BackendError> + Send + 'static,
) -> Result<Temporary, BackendError> {
    let mut blocks = Blocks {
        bytes: body.bytes,
        left: body.len,
        ended: false,
    };
    let mut block = blocks.next().await?;
    let mut file = blocking(begin).await?;
    while !block.is_empty() {
        let written = blocking(move || {
            block.iter().try_for_each(|piece| file.write(piece))?;
            Ok(file)
        });
        let (written, next) = tokio::join!(written, blocks.next());
        (file, block) = (written?, next?);
    }
    blocking(move || {
        end(&mut file)?;
        file.sync()?;
        Ok(file)
    })
    .await
}

/// A body in blocks.
struct Blocks {
    bytes: ByteStream,
    left: u64,
    ended: bool,
}

impl Blocks {
    /// The next block; none after the last.
    async fn next(&mut self) -> Result<Vec<Bytes>, BackendError> {
        let mut block = Vec::new();
        let mut len = 0;
        while !self.ended && len < BLOCK && block.len() < MAX_PIECES {
            let Some(piece) = self.bytes.next().await else {
                self.ended = true;
                break;
            };
            let piece = piece.map_err(BackendError::Body)?;
            len += piece.len();
            self.left = self
                .left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| wrong_length("is longer"))?;
            if !piece.is_empty() {
                block.push(piece);
            }
        }
        if self.ended && self.left > 0 {
            return Err(wrong_length("is shorter"));
        }
        Ok(block)
    }
}

fn wrong_length(how: &str) -> BackendError {
    let message = format!("it {how} than announced");
    BackendError::Body(io::Error::new(io::ErrorKind::UnexpectedEof, message))
}

/// Bytes of a file on their way out.
pub(super) struct Sending {
    file: Arc<File>,
    at: u64,
    end: u64,
    ahead: Option<Bytes>,
}

impl Sending {
    /// Reads the first block of `at..end`.
    pub(super) fn begin(file: File, at: u64, end: u64) -> io::Result<Self> {
        let mut sending = Self {
            file: Arc::new(file),
            at,
            end,
            ahead: None,
        };
        let first = read(&sending.file, at, end)?;
        sending.at += first.len() as u64;
        sending.ahead = Some(first);
        Ok(sending)
    }

    /// The bytes. One block is read while the one before it is used.
    pub(super) fn stream(mut self) -> ByteStream {
        let first = self.ahead.take().map(Ok);
        let pending = self.read_ahead();
        let rest = stream::try_unfold((self, pending), |(mut sending, pending)| async move {
            let Some(pending) = pending else { return Ok(None) };
            let block = pending.await??;
            sending.at += block.len() as u64;
            let pending = sending.read_ahead();
            Ok(Some((block, (sending, pending))))
        });
        stream::iter(first).chain(rest).boxed()
    }

    fn read_ahead(&self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let (file, at, end) = (self.file.clone(), self.at, self.end);
        (at < end).then(|| spawn_blocking(move || read(&file, at, end)))
    }
}

fn read(file: &File, at: u64, end: u64) -> io::Result<Bytes> {
    let len = usize::try_from(end - at).map_or(BLOCK, |len| len.min(BLOCK));
    let mut block = vec![0; len];
    file.read_exact_at(&mut block, at)?;
    Ok(block.into())
}
