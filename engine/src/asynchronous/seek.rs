//! Seeking in the plaintext, step by step: each step begins with a seek of the source.
//!
//! ```text
//! Length ---> End ---> Position       the first seek: the object's length, its final chunk, the position
//!             Position                every other
//! ```

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use super::reader::AsyncDecryptReader;
use crate::chunker::Span;
use crate::decrypt::before_the_start;
use crate::error::{Error, Result};
use crate::sticky::Guarded;

/// A seek in progress.
pub(super) struct Seeking<R> {
    step: Step,
    /// Advances the seek; returns the new position, `None` for one before the start. A function pointer, because a read
    /// must finish an abandoned seek, and readers also exist for sources that do not seek.
    pub(super) poll: PollSeek<R>,
}

type PollSeek<R> = fn(&mut AsyncDecryptReader<R>, &mut Context<'_>) -> Poll<Result<Option<u64>>>;

/// What the source is seeking for.
enum Step {
    /// The object's length.
    Length(SeekFrom),
    /// The final chunk.
    End(SeekFrom, FinalChunk),
    /// The chunk at the position; `None` if the caller asked for a position before the start.
    Position(Option<u64>),
}

/// The final chunk while it is read.
struct FinalChunk {
    object_len: u64,
    span: Span,
    sealed: Vec<u8>,
    have: usize,
    /// Whether the source has reached the chunk, so that only reading is left.
    reached: bool,
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncDecryptReader<R> {
    fn begin_seek(&mut self, target: SeekFrom) -> Result<()> {
        self.guarded(|this| match this.machine.verified_len() {
            Some(len) => this.begin_move(target, len),
            None => this.begin_step(Step::Length(target), SeekFrom::End(0)),
        })
    }

    fn begin_move(&mut self, target: SeekFrom, len: u64) -> Result<()> {
        let position = self.machine.target(target, len);
        // A seek before the start keeps the position; the source may be at the end.
        let offset = self.machine.move_to(position.unwrap_or_else(|| self.position()), len)?;
        self.begin_step(Step::Position(position), SeekFrom::Start(offset))
    }

    fn begin_step(&mut self, step: Step, source_target: SeekFrom) -> Result<()> {
        Pin::new(&mut self.source)
            .start_seek(source_target)
            .map_err(Error::io("seeking in the input"))?;
        self.seeking = Some(Seeking {
            step,
            poll: Self::poll_seek,
        });
        Ok(())
    }

    fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u64>>> {
        loop {
            let Some(Seeking { step, .. }) = &mut self.seeking else {
                return Poll::Ready(Ok(Some(self.position())));
            };
            match step {
                Step::Length(target) => {
                    let target = *target;
                    let object_len = ready!(poll_source_seek(&mut self.source, cx))?;
                    self.begin_end(target, object_len)?;
                }
                Step::End(target, chunk) => {
                    let target = *target;
                    ready!(chunk.poll(&mut self.source, cx))?;
                    let sealed = &chunk.sealed[..chunk.have];
                    let len = self.machine.verify_end(chunk.object_len, chunk.span, sealed)?;
                    self.begin_move(target, len)?;
                }
                Step::Position(position) => {
                    let position = *position;
                    ready!(poll_source_seek(&mut self.source, cx))?;
                    self.seeking = None;
                    return Poll::Ready(Ok(position));
                }
            }
        }
    }

    fn begin_end(&mut self, target: SeekFrom, object_len: u64) -> Result<()> {
        let span = self.machine.final_span(object_len)?;
        let chunk = FinalChunk {
            object_len,
            span,
            sealed: vec![0; span.sealed_len],
            have: 0,
            reached: false,
        };
        let offset = self.machine.source_offset(span.sealed_offset);
        self.begin_step(Step::End(target, chunk), SeekFrom::Start(offset))
    }
}

impl FinalChunk {
    /// Seeks to the chunk and reads as much of it as the source has.
    fn poll<R: AsyncRead + AsyncSeek + Unpin>(&mut self, source: &mut R, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.reached {
            ready!(poll_source_seek(source, cx))?;
            self.reached = true;
        }
        while self.have < self.sealed.len() {
            let mut space = ReadBuf::new(&mut self.sealed[self.have..]);
            ready!(Pin::new(&mut *source).poll_read(cx, &mut space)).map_err(Error::io("reading the input"))?;
            match space.filled().len() {
                0 => break,
                count => self.have += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_source_seek<R: AsyncSeek + Unpin>(source: &mut R, cx: &mut Context<'_>) -> Poll<Result<u64>> {
    Pin::new(source)
        .poll_complete(cx)
        .map_err(Error::io("seeking in the input"))
}

/// Seeks in the plaintext. The object must begin at the source's offset 0. The first seek opens the final chunk, so
/// that positions are never relative to an unverified end.
impl<R: AsyncRead + AsyncSeek + Unpin> AsyncSeek for AsyncDecryptReader<R> {
    fn start_seek(self: Pin<&mut Self>, target: SeekFrom) -> io::Result<()> {
        let this = self.get_mut();
        if this.seeking.is_some() {
            return Err(io::Error::other(
                "another seek is in progress; `poll_complete` finishes it",
            ));
        }
        Ok(this.begin_seek(target)?)
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let position = ready!(self.get_mut().poll_guarded(|this| this.poll_seek(cx)))?;
        Poll::Ready(position.ok_or_else(before_the_start))
    }
}
