//! Plaintext pushed, sealed bytes pulled.

use std::fmt;
use std::iter::FusedIterator;
use std::mem;

use bytes::Bytes;

use crate::encrypt::machine::SealMachine;
use crate::encrypt::{NewObject, Unsealed};
use crate::error::Result;
use crate::sticky::{Guarded, Sticky};

/// Seals plaintext that the caller pushes, and returns the object's bytes when they are pulled.
///
/// The object is complete only once [`StreamSealer::finish`] has returned all of the rest. After an error, every call
/// returns that error again.
#[must_use = "the object is incomplete until `finish`"]
pub struct StreamSealer {
    /// The bytes before the first chunk.
    start: Bytes,
    machine: SealMachine,
}

impl NewObject {
    /// Seals plaintext that the caller pushes.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`](crate::Error::HeaderTooLarge).
    pub fn sealer(self) -> Result<StreamSealer> {
        self.unsealed().map(StreamSealer::new)
    }
}

impl StreamSealer {
    pub(crate) fn new(mut unsealed: Unsealed) -> Self {
        Self {
            start: mem::take(&mut unsealed.start).into(),
            machine: SealMachine::new(unsealed),
        }
    }

    /// Bytes of plaintext that were pushed so far.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.machine.plaintext_len()
    }

    /// Takes bytes from the front of `plaintext` until it is empty or the sealer is full. Complete chunks are sealed
    /// without a copy; only chunks that span two pieces are copied.
    ///
    /// # Errors
    /// [`Error::ObjectTooLarge`](crate::Error::ObjectTooLarge), [`Error::Cancelled`](crate::Error::Cancelled),
    /// [`Error::Forked`](crate::Error::Forked).
    pub fn push(&mut self, plaintext: &mut Bytes) -> Result<()> {
        self.guarded(|this| {
            while !plaintext.is_empty() && !this.machine.is_full() {
                this.machine.push_bytes(plaintext)?;
            }
            Ok(())
        })
    }

    /// Whether sealed bytes must be pulled before more plaintext is taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.machine.is_full()
    }

    /// Returns the next bytes of the object; `None` if more plaintext is needed first. Waits for the executor's
    /// threads.
    ///
    /// # Errors
    /// [`Error::SealedWrongly`](crate::Error::SealedWrongly).
    pub fn pull(&mut self) -> Result<Option<Bytes>> {
        self.guarded(|this| {
            if !this.start.is_empty() {
                return Ok(Some(mem::take(&mut this.start)));
            }
            Ok(this.machine.next()?.map(|sealed| sealed.into_bytes(0)))
        })
    }

    /// Seals the complete chunks that are pending; does nothing while the sealer is full.
    ///
    /// # Errors
    /// As [`StreamSealer::push`].
    pub fn flush(&mut self) -> Result<()> {
        self.guarded(|this| {
            if !this.machine.is_full() {
                this.machine.push_complete()?;
            }
            Ok(())
        })
    }

    /// Ends the plaintext. The iterator yields the rest of the object, and seals the final chunk once there is room.
    pub const fn finish(self) -> SealedRest {
        SealedRest {
            sealer: self,
            ended: false,
            failed: false,
        }
    }
}

impl Guarded for StreamSealer {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl fmt::Debug for StreamSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSealer")
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}

/// The rest of an object's bytes. The object is complete when this has ended without an error.
#[derive(Debug)]
#[must_use = "the object is incomplete until this has ended"]
pub struct SealedRest {
    sealer: StreamSealer,
    ended: bool,
    failed: bool,
}

impl SealedRest {
    fn step(&mut self) -> Result<Option<Bytes>> {
        if !self.ended && !self.sealer.is_full() {
            self.sealer.guarded(|this| this.machine.finish())?;
            self.ended = true;
        }
        self.sealer.pull()
    }
}

impl Iterator for SealedRest {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl FusedIterator for SealedRest {}
