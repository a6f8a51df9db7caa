//! Rewrap: other slots, another context, the same data key and payload. What it costs does not depend on the
//! object's size.
//!
//! ```text
//! Rewrap --header--> plan: open a slot, wrap for others --> Header, generation + 1     pure; for detached headers
//!        --file----> lock -> sync -> read -> plan -> write the copies, one after the other (see `in_place`)
//! ```

mod bind;
mod candidates;
mod choice;
mod in_place;
mod locked;
mod plan;
mod trials;

use std::fs::File;
use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::decrypt::Decryptor;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::header::{CopyFault, Header};
use crate::keys::KeyProvider;

pub use self::locked::LockedObject;

/// Changes of who may open an object, and of its encryption context.
///
/// The payload stays as it is, so this is the way to rotate keys, to give access, and to follow an object to another
/// place. It does not revoke what somebody has seen: whoever could unwrap a removed slot may have kept the data key,
/// and old copies of the header may be about. Where that matters, use [`Decryptor::rekey_path`].
///
/// Asked for again, what exists already is left alone: a run over many objects that was interrupted is begun again.
///
/// ```
/// use std::sync::Arc;
/// use sealstone::{Decryptor, Encryptor, Error, RawKey, Rewrap};
/// use sealstone::rewrap::SlotChoice;
///
/// let [old, new] = [1, 2].map(|byte| Arc::new(RawKey::from_slice(&[byte; 32]).expect("32 bytes")));
/// let object = Encryptor::new(old.clone()).seal(b"large, in practice")?;
/// let header = Decryptor::read_header(object.as_slice())?;
///
/// let rotate = Rewrap::new(Decryptor::new(old.clone())).replace(SlotChoice::Key(old.clone()), new.clone());
/// let header = rotate.header(header.header())?.expect("it was not sealed for the new key yet");
/// let payload = &object[sealstone::format::ATTACHED_LEN..];
/// assert!(Decryptor::new(new).unlock(header.clone())?.open(payload).is_ok());
/// let refused = Decryptor::new(old).unlock(header);
/// assert!(matches!(refused, Err(Error::NoUsableKey { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is changed yet"]
pub struct Rewrap {
    decryptor: Decryptor,
    changes: Vec<Change>,
    context: Option<EncryptionContext>,
    drop_unreachable: bool,
    opens: bool,
    only_expected: bool,
}

/// Which slots of a header are meant. Slots that the same [`Rewrap`] puts there are never meant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SlotChoice {
    /// Those that this key opens.
    Key(Arc<dyn KeyProvider>),
    /// Those of these names, `provider:key id`, as [`WrappedKey::name`](crate::format::WrappedKey::name) returns them. Their
    /// keys need not be there.
    Named(Vec<String>),
    /// Those that any of these means.
    Any(Vec<Self>),
}

impl SlotChoice {
    /// The choices that it is made of, none of them [`Any`](Self::Any).
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Any(choices) => choices.iter().flat_map(Self::parts).collect(),
            choice => vec![choice],
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Add(Arc<dyn KeyProvider>),
    Replace(SlotChoice, Arc<dyn KeyProvider>),
    Remove(SlotChoice),
}

/// What became of an object's header.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The header as it is now, in both copies.
    pub header: Header,
    /// Whether it says something else than before.
    pub changed: bool,
    /// What was wrong with the first and the second copy, and is no more.
    pub repaired: [Option<CopyFault>; 2],
    /// The slots that [`Rewrap::drop_unreachable`] dropped, as `provider:key id`.
    pub dropped: Vec<String>,
}

impl Rewrap {
    /// Rewraps what `decryptor` opens: with its keys, under its rule for the context, with at most so many provider
    /// calls to find the data key. Keys that are added or replaced need not be repeated in it.
    pub const fn new(decryptor: Decryptor) -> Self {
        Self {
            decryptor,
            changes: Vec::new(),
            context: None,
            drop_unreachable: false,
            opens: true,
            only_expected: false,
        }
    }

    /// Adds a slot for `key`, unless there is one that opens.
    pub fn add_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.changes.push(Change::Add(key));
        self
    }

    /// Puts one slot for the key `new` in the place of the slots `old`. Between keys of one provider its own
    /// [`KeyProvider::rewrap_key`] does it, where it can.
    pub fn replace(mut self, old: SlotChoice, new: Arc<dyn KeyProvider>) -> Self {
        self.changes.push(Change::Replace(old, new));
        self
    }

    /// Removes the slots `old`, if there are any. Not all slots of an object can be removed, and of those that stay one has
    /// to be known to open, which takes its key: whoever can write the header may have put the others there.
    pub fn remove(mut self, old: SlotChoice) -> Self {
        self.changes.push(Change::Remove(old));
        self
    }

    /// Binds the object to `context` instead of the context it has: every slot is wrapped again, each by a key that is
    /// offered and that unwraps this object's data key from it. A slot that holds another data key was put there by
    /// someone who may write the header; it is an error, and is never bound.
    ///
    /// Asked for again, where the contexts differ in supplied values only, the object is tried under the old context and
    /// then under this one. A passphrase is tried under the old one alone.
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.context = Some(context);
        self
    }

    /// If the context is changed, slots that no offered key can bind to the new context are removed, and so are those
    /// that do not hold this object's data key. [`Rewrapped::dropped`] names them. Otherwise they are an error. The object
    /// is opened before any is removed.
    pub const fn drop_unreachable(mut self) -> Self {
        self.drop_unreachable = true;
        self
    }

    /// Does not open the object first, where that can be done without: for callers who may have a key service wrap
    /// keys again, but may not see them.
    ///
    /// Nothing then proves that a slot is this object's. Whoever can write the header can put another object's slot
    /// there, if that is wrapped by the same key under the same context, and have it wrapped for the new key and
    /// context: bind objects to a context that names them, and expect it, so that there is no such slot. Several slots are not made
    /// into one ([`Error::AmbiguousSlots`]), no slot gives way to one of the same name, and a header whose copies differ is
    /// opened all the same before one of them is overwritten. Nor is it proved that a slot that stays opens.
    ///
    /// A key that cannot tell its slots by their names, such as an alias, is asked to unwrap them: name the slots, or the
    /// key in full.
    pub const fn without_opening(mut self) -> Self {
        self.opens = false;
        self
    }

    /// Never skips an object as already rewrapped: supplied values are not stored, so the header alone cannot show where
    /// the object belongs. The object must open in the context that the decryptor expects.
    pub const fn only_from_expected(mut self) -> Self {
        self.only_expected = true;
        self
    }

    /// What becomes of a header: the new one, of the next generation; `None` if there is nothing to change.
    ///
    /// A detached header is then replaced by the storage system's own atomic means, best on the condition that it
    /// still is the one that was read.
    ///
    /// # Errors
    /// Every error of a key and of a context; [`Error::LastSlot`], [`Error::UnprovedSlots`], [`Error::UnreachableSlots`],
    /// [`Error::ForeignSlots`], [`Error::AmbiguousSlots`], [`Error::TooManyProviderCalls`], [`Error::TooManySlots`],
    /// [`Error::HeaderTooLarge`], [`Error::InvalidContext`], [`Error::GenerationLimit`].
    pub async fn header_async(&self, header: &Header) -> Result<Option<Header>> {
        Ok(plan::plan(self, header, false).await?.header)
    }

    /// [`Rewrap::header_async`], waiting on the caller's thread.
    ///
    /// # Errors
    /// As [`Rewrap::header_async`].
    pub fn header(&self, header: &Header) -> Result<Option<Header>> {
        pollster::block_on(self.header_async(header))
    }

    /// Rewrites the attached header of the object in `file`, which is open for reading and writing, and restores a
    /// copy of the header that is damaged or stale. Without any change asked for, that is all.
    ///
    /// The file is locked meanwhile; a lock of another process is waited for, for at most
    /// [`LockedObject::DEFAULT_WAIT`]. A kill or a loss of power at any point leaves an object that opens, with the old
    /// keys or the new; after an error it is one or the other as well. On success no removed slot is in the file.
    ///
    /// Where the changes depend on the header, [`LockedObject`] reads it under the lock.
    ///
    /// # Errors
    /// As [`Rewrap::header_async`], and every error of a header; nothing was changed then. [`Error::Locked`];
    /// [`Error::Io`].
    pub fn file(&self, file: &File) -> Result<Rewrapped> {
        LockedObject::lock(file, LockedObject::DEFAULT_WAIT)?.rewrap(self)
    }
}

#[cfg(test)]
mod tests;
