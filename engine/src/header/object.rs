//! An object's header as it is stored: one of two attached copies, or a detached header.
//!
//! ```text
//! copy 1, copy 2 --parse--> which is current, what is wrong with the other --unlock--> the copy that opened the object
//! ```

use std::mem;

use super::{ATTACHED_LEN, COPY_LEN, Header, MAGIC, check_start, parse};
use crate::error::{CompositeError, Error, Result};
use crate::layout::PREFIX_LEN;

/// The fault of one copy of an attached header.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CopyFault {
    /// It does not parse.
    Damaged(Error),
    /// It parses, but differs from the current copy: a rewrite of the header was interrupted.
    Stale,
    /// It parses and has the higher generation, but does not open the payload with the offered keys, while the other
    /// copy does. The error says why.
    DoesNotOpen(Error),
}

/// An object's header as it was stored: the current one of two attached copies, with the fault of the other, or a
/// detached header.
#[derive(Debug, Clone)]
pub struct ObjectHeader {
    header: Header,
    faults: [Option<CopyFault>; 2],
    /// The copy that has [`CopyFault::Stale`].
    stale: Option<Header>,
    /// Where the payload begins in the object, in bytes.
    payload_start: u64,
    /// The payload's first bytes, if they were parsed with the header.
    prefix: Option<[u8; PREFIX_LEN]>,
}

/// A detached header has no second copy and so no faults.
impl From<Header> for ObjectHeader {
    fn from(header: Header) -> Self {
        Self {
            header,
            faults: [None, None],
            stale: None,
            payload_start: 0,
            prefix: None,
        }
    }
}

impl ObjectHeader {
    /// Parses an attached header from the first 8 KiB of an object, or from all of an object that is shorter. If
    /// `bytes` also includes the next 56 bytes, they help to choose between copies that differ.
    ///
    /// The valid copy with the highest generation is used.
    ///
    /// # Errors
    /// If neither copy parses: [`Error::NotSealstone`], [`Error::UnsupportedVersion`],
    /// [`Error::HeaderTruncated`], [`Error::HeaderDamaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < ATTACHED_LEN {
            check_start(bytes)?;
            return Err(Error::HeaderTruncated {
                have: bytes.len(),
                need: ATTACHED_LEN,
            });
        }
        let (first, second) = (&bytes[..COPY_LEN], &bytes[COPY_LEN..ATTACHED_LEN]);
        let (header, faults, stale) = match (parse(first), parse(second)) {
            (Ok((first, _)), Ok((second, _))) => choose(first, second),
            (Ok((header, _)), Err(error)) => (header, [None, Some(CopyFault::Damaged(error))], None),
            (Err(error), Ok((header, _))) => (header, [Some(CopyFault::Damaged(error)), None], None),
            // If only the first copy's magic is damaged, this is still a sealstone object.
            (Err(Error::NotSealstone { .. }), Err(error)) if second.starts_with(&MAGIC) => return Err(error),
            (Err(error), Err(_)) => return Err(error),
        };
        let found = Self {
            header,
            faults,
            stale,
            payload_start: ATTACHED_LEN as u64,
            prefix: bytes[ATTACHED_LEN..].first_chunk().copied(),
        };
        Ok(found.preferring_the_payloads_own())
    }

    /// Makes the stale copy the current one if it is plain and repeats the payload's first bytes, and the current one is
    /// composite and so cannot be compared with them: then the current one is another object's.
    fn preferring_the_payloads_own(mut self) -> Self {
        let own = |copy: &Header| copy.payload_prefix().is_some_and(|own| self.prefix == Some(own));
        if self.header.kind.is_composite()
            && let Some(other) = self.stale.take_if(|other| own(other))
        {
            self.stale = Some(mem::replace(&mut self.header, other));
            self.faults.reverse();
        }
        self
    }

    /// The copy that parses but is not the current one.
    pub(crate) const fn stale(&self) -> Option<&Header> {
        self.stale.as_ref()
    }

    /// Makes the stale copy the current one, because the other does not open the payload.
    pub(crate) fn fallen_back(self, error: &Error) -> Self {
        let Some(header) = self.stale else { return self };
        let faults = self.faults.map(|fault| match fault {
            Some(_) => None,
            None => Some(CopyFault::DoesNotOpen(error.clone())),
        });
        Self {
            header,
            faults,
            stale: None,
            ..self
        }
    }

    /// The payload's first bytes, if they were parsed with the header.
    pub(crate) const fn payload_prefix(&self) -> Option<&[u8; PREFIX_LEN]> {
        self.prefix.as_ref()
    }

    /// # Errors
    /// [`Error::Truncated`] if the payload's first bytes were not parsed with the header.
    pub(crate) fn check_complete(&self) -> Result<()> {
        self.prefix.map(drop).ok_or(Error::Truncated { after: 0 })
    }

    /// Checks, before any key call, that the object can be read as a stream. If the copies differ, one plain copy is
    /// enough: anyone can forge the other's flags. Opening the object decides.
    ///
    /// # Errors
    /// [`CompositeError::NotSeekable`] if all copies are of composite objects, whose end must be read first.
    pub fn check_streamable(&self) -> Result<()> {
        let copies = [Some(&self.header), self.stale.as_ref()];
        if copies.into_iter().flatten().all(|copy| copy.kind.is_composite()) {
            return Err(CompositeError::NotSeekable.into());
        }
        Ok(())
    }

    /// Where the payload begins in the object, in bytes: 8192 after an attached header, 0 if the header is detached.
    #[must_use]
    pub const fn payload_start(&self) -> u64 {
        self.payload_start
    }

    /// The current header: the valid copy with the highest generation, or, once the object has been opened, the copy
    /// that opened it.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The faults of the first and the second copy.
    #[must_use]
    pub const fn faults(&self) -> &[Option<CopyFault>; 2] {
        &self.faults
    }
}

/// Chooses between two copies that parse. Returns the current one, the fault of each, and the stale one.
fn choose(first: Header, second: Header) -> (Header, [Option<CopyFault>; 2], Option<Header>) {
    if first == second {
        (first, [None, None], None)
    } else if second.generation > first.generation {
        (second, [Some(CopyFault::Stale), None], Some(first))
    } else {
        (first, [None, Some(CopyFault::Stale)], Some(second))
    }
}
