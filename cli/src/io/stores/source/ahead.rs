//! Fetches ahead of readers that go through an announced range in order, in bounded memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::super::failure::StoreError;
use super::super::runtime::{spawn, wait};
use super::Shared;

/// The length of a piece, which is one request.
pub(super) const PIECE: u64 = 8 * 1024 * 1024;
/// How many pieces are fetched ahead of the one that is read.
const AHEAD: u64 = 3;
/// How many pieces are kept at most.
const KEPT: usize = 6;

/// The pieces of one object.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    window: Mutex<Window>,
}

/// The pieces that are being fetched or kept.
#[derive(Default)]
struct Window {
    announced: Range<u64>,
    pieces: BTreeMap<u64, Arc<Mutex<Piece>>>,
    /// Numbers of pieces, the one that was read last at the end.
    order: Vec<u64>,
}

enum Piece {
    Coming(JoinHandle<Result<Bytes, StoreError>>),
    Here(Bytes),
    Failed(StoreError),
}

impl Ahead {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            window: Mutex::default(),
        }
    }

    /// From here on, reads in `range` are of its pieces.
    pub(super) fn announce(&self, range: Range<u64>) {
        *self.window() = Window {
            announced: range.start..range.end.min(self.shared.meta.size),
            ..Window::default()
        };
    }

    /// The bytes at `offset`, as many as its piece has; `None` if they were not announced.
    pub(super) fn read(&self, offset: u64) -> Result<Option<Bytes>, StoreError> {
        let Some((number, start, piece)) = self.window().piece(offset, &self.shared) else {
            return Ok(None);
        };
        let bytes = piece.lock().unwrap_or_else(PoisonError::into_inner).bytes();
        let skipped = usize::try_from(offset - start).unwrap_or(usize::MAX);
        match bytes {
            Ok(bytes) if skipped < bytes.len() => Ok(Some(bytes.slice(skipped..))),
            Ok(_) => Ok(None),
            Err(error) => {
                self.window().forget(number);
                Err(error)
            }
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// The piece at `offset`, its number and where it starts. It and those that follow are being fetched.
    fn piece(&mut self, offset: u64, shared: &Arc<Shared>) -> Option<(u64, u64, Arc<Mutex<Piece>>)> {
        if !self.announced.contains(&offset) {
            return None;
        }
        let number = (offset - self.announced.start) / PIECE;
        for wanted in (number..=number + AHEAD).rev() {
            let start = self.announced.start + wanted * PIECE;
            if start >= self.announced.end {
                continue;
            }
            self.order.retain(|known| *known != wanted);
            self.order.push(wanted);
            let range = start..(start + PIECE).min(self.announced.end);
            self.pieces
                .entry(wanted)
                .or_insert_with(|| Arc::new(Mutex::new(Piece::Coming(spawn(shared.clone().get(range))))));
        }
        while self.pieces.len() > KEPT {
            let oldest = self.order.remove(0);
            self.forget(oldest);
        }
        let piece = self.pieces.get(&number)?.clone();
        Some((number, self.announced.start + number * PIECE, piece))
    }

    fn forget(&mut self, number: u64) {
        self.pieces.remove(&number);
        self.order.retain(|known| *known != number);
    }
}

impl Piece {
    /// Its bytes, which may have to be waited for.
    fn bytes(&mut self) -> Result<Bytes, StoreError> {
        if let Self::Coming(task) = self {
            let fetched = wait(task).unwrap_or_else(|error| {
                Err(StoreError::new(
                    std::io::ErrorKind::Other,
                    format!("a request ended early: {error}"),
                ))
            });
            *self = fetched.map_or_else(Self::Failed, Self::Here);
        }
        match self {
            Self::Here(bytes) => Ok(bytes.clone()),
            Self::Failed(error) => Err(error.clone()),
            Self::Coming(_) => unreachable!("it was just waited for"),
        }
    }
}

/// A piece that was dropped from the window is not fetched to its end.
impl Drop for Piece {
    fn drop(&mut self) {
        if let Self::Coming(task) = self {
            task.abort();
        }
    }
}
