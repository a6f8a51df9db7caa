//! Sealed bytes pushed, verified plaintext pulled.

use std::fmt;
use std::iter::FusedIterator;

use bytes::Bytes;

use crate::decrypt::check_prefix;
use crate::decrypt::machine::OpenMachine;
use crate::error::{Error, Result};
use crate::layout::PREFIX_LEN;
use crate::range::RangeOpener;
use crate::sticky::{Guarded, Sticky};
use crate::unlocked::Unlocked;

/// Opens a payload that the caller pushes, and returns verified plaintext when it is pulled.
///
/// The pulled bytes are a verified beginning of the plaintext. They are the whole only once [`StreamOpener::finish`]
/// has returned all of the rest without an error. After an error, every call returns that error again.
#[must_use = "the plaintext is incomplete until `finish`"]
pub struct StreamOpener {
    unlocked: Unlocked,
    /// The bytes of the payload's prefix pushed so far; `None` once it was checked.
    prefix: Option<Vec<u8>>,
    machine: OpenMachine,
}

impl Unlocked {
    /// Opens a payload that the caller pushes: the bytes after an attached header.
    pub fn stream_opener(&self) -> StreamOpener {
        StreamOpener {
            unlocked: self.clone(),
            prefix: Some(Vec::with_capacity(PREFIX_LEN)),
            machine: OpenMachine::new(self),
        }
    }
}

impl RangeOpener {
    /// Opens the range from ciphertext that the caller pushes: the bytes of [`RangeOpener::ciphertext_range`].
    pub fn stream_opener(&self) -> StreamOpener {
        StreamOpener {
            unlocked: self.unlocked().clone(),
            prefix: None,
            machine: self.machine(),
        }
    }
}

impl StreamOpener {
    /// Takes bytes from the front of `sealed` until it is empty, the opener is full, or a range is complete.
    ///
    /// # Errors
    /// [`Error::HeaderOfAnotherPayload`], [`Error::ObjectTooLarge`].
    pub fn push(&mut self, sealed: &mut &[u8]) -> Result<()> {
        self.guarded(|this| {
            this.push_prefix(sealed)?;
            while !sealed.is_empty() && this.machine.wants_input() {
                let space = this.machine.space();
                let (head, rest) = sealed.split_at(space.len().min(sealed.len()));
                space[..head.len()].copy_from_slice(head);
                *sealed = rest;
                this.machine.filled(head.len())?;
            }
            Ok(())
        })
    }

    fn push_prefix(&mut self, sealed: &mut &[u8]) -> Result<()> {
        let Some(prefix) = &mut self.prefix else {
            return Ok(());
        };
        let (head, rest) = sealed.split_at((PREFIX_LEN - prefix.len()).min(sealed.len()));
        prefix.extend_from_slice(head);
        *sealed = rest;
        if prefix.len() == PREFIX_LEN {
            check_prefix(self.unlocked.header(), prefix)?;
            self.prefix = None;
        }
        Ok(())
    }

    /// Whether plaintext must be pulled before more sealed bytes are taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        !self.machine.wants_input()
    }

    /// Returns the next verified plaintext; `None` if more sealed bytes are needed first. Waits for the executor's
    /// threads.
    ///
    /// # Errors
    /// [`Error::ChunkAltered`], [`Error::TrailingData`], [`Error::Cancelled`].
    pub fn pull(&mut self) -> Result<Option<Bytes>> {
        self.guarded(|this| {
            while !this.machine.has_plaintext()? {
                if this.machine.is_idle() {
                    return Ok(None);
                }
                this.machine.next()?;
            }
            Ok(Some(this.machine.take_bytes()))
        })
    }

    /// Ends the sealed bytes. The iterator yields the rest of the plaintext, and an error if that is incomplete.
    pub const fn finish(self) -> OpenedRest {
        OpenedRest {
            opener: self,
            ended: false,
            failed: false,
        }
    }
}

impl Guarded for StreamOpener {
    fn sticky(&mut self) -> &mut Sticky {
        self.machine.sticky()
    }
}

impl fmt::Debug for StreamOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOpener")
            .field("position", &self.machine.position())
            .field("failed", &self.machine.failure())
            .finish_non_exhaustive()
    }
}

/// The rest of a plaintext. The plaintext is complete when this has ended without an error.
#[derive(Debug)]
#[must_use = "the plaintext is incomplete until this has ended"]
pub struct OpenedRest {
    opener: StreamOpener,
    ended: bool,
    failed: bool,
}

impl OpenedRest {
    fn step(&mut self) -> Result<Option<Bytes>> {
        loop {
            if !self.ended {
                self.ended = self.opener.guarded(|this| {
                    if this.prefix.is_some() {
                        return Err(Error::Truncated { after: 0 });
                    }
                    Ok(this.machine.has_ended()
                        || (this.machine.wants_input() && this.machine.filled(0).map(|_| true)?))
                })?;
            }
            if let Some(plain) = self.opener.pull()? {
                return Ok(Some(plain));
            }
            if self.ended {
                // No batch is in progress: this reports whether the end was the verified one.
                self.opener.guarded(|this| this.machine.next())?;
                return Ok(None);
            }
        }
    }
}

impl Iterator for OpenedRest {
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

impl FusedIterator for OpenedRest {}
