//! Rewrapping: changes an object's slots and context, and keeps its data key and payload. The cost does not depend on
//! the object's size.
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

/// Changes which keys open an object, and its encryption context.
///
/// The payload does not change. Use this to rotate keys, to grant access, and to bind an object to a new location. It
/// does not revoke access that was already used: anyone who could unwrap a removed slot may have kept the data key, and
/// old copies of the header may still exist. If that matters, use [`Decryptor::rekey_path`].
///
/// Changes that were already made are skipped, so an interrupted run over many objects can be repeated.
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

/// Selects slots of a header. Slots that the same [`Rewrap`] adds are never selected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SlotChoice {
    /// The slots that this key opens.
    Key(Arc<dyn KeyProvider>),
    /// The slots with these names, `provider:key id`, as [`WrappedKey::name`](crate::format::WrappedKey::name) returns
    /// them. Their keys are not needed.
    Named(Vec<String>),
    /// The slots that any of these choices selects.
    Any(Vec<Self>),
}

impl SlotChoice {
    /// The choices that it consists of, none of them [`Any`](Self::Any).
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

/// The result of rewrapping an object's header.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The current header, the same in both copies.
    pub header: Header,
    /// Whether the header has changed.
    pub changed: bool,
    /// The faults of the first and the second copy, which were repaired.
    pub repaired: [Option<CopyFault>; 2],
    /// The slots that [`Rewrap::drop_unreachable`] dropped, as `provider:key id`.
    pub dropped: Vec<String>,
}

impl Rewrap {
    /// Rewraps objects that `decryptor` opens: with its keys, its expected context and its limit on provider calls.
    /// Keys that are added or that replace others need not be repeated in it.
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

    /// Adds a slot for `key`, unless the object has one that opens.
    pub fn add_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.changes.push(Change::Add(key));
        self
    }

    /// Replaces the slots `old` with one slot for the key `new`. Between keys of one provider, this uses
    /// [`KeyProvider::rewrap_key`] if the provider supports it.
    pub fn replace(mut self, old: SlotChoice, new: Arc<dyn KeyProvider>) -> Self {
        self.changes.push(Change::Replace(old, new));
        self
    }

    /// Removes the slots `old`, if there are any. At least one slot must remain that is known to open, and showing that
    /// takes its key: anyone who can write the header may have added the others.
    pub fn remove(mut self, old: SlotChoice) -> Self {
        self.changes.push(Change::Remove(old));
        self
    }

    /// Binds the object to `context` instead of its current one: every slot is wrapped again, by an offered key that
    /// unwraps this object's data key from it. A slot that holds another data key was added by someone who can write
    /// the header; it causes an error and is never bound.
    ///
    /// If the two contexts differ only in supplied values, the header does not show whether the object was already
    /// rewrapped: it is tried under the old context and then under this one. A passphrase is tried under the old one
    /// only.
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.context = Some(context);
        self
    }

    /// When the context changes, removes slots that no offered key can bind to the new context, and slots that do not
    /// hold this object's data key; [`Rewrapped::dropped`] names them. Without this, such slots are an error. The
    /// object is opened before any slot is removed.
    pub const fn drop_unreachable(mut self) -> Self {
        self.drop_unreachable = true;
        self
    }

    /// Does not open the object if that can be avoided: for callers that may ask a key service to rewrap keys, but may
    /// not see the keys.
    ///
    /// Then nothing proves that a slot belongs to this object. Anyone who can write the header can insert another
    /// object's slot, if it is wrapped by the same key under the same context, and have it wrapped for the new key and
    /// context. To rule that out, bind objects to a context that names them, and expect it. Several slots are not
    /// merged into one ([`Error::AmbiguousSlots`]), no slot replaces one of the same name, and a header whose copies
    /// differ is still opened before one of them is overwritten. Slots that remain are not proven to open.
    ///
    /// A key that cannot identify its slots by their names, such as an alias, has to unwrap them: name the slots, or
    /// the key in full.
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

    /// Returns the new header, with the next generation; `None` if there is nothing to change.
    ///
    /// To store a new detached header, replace the old one atomically by the storage system's own means, preferably on
    /// the condition that it is still the one that was read.
    ///
    /// # Errors
    /// Any error of a key or of a context; [`Error::LastSlot`], [`Error::UnprovedSlots`], [`Error::UnreachableSlots`],
    /// [`Error::ForeignSlots`], [`Error::AmbiguousSlots`], [`Error::TooManyProviderCalls`], [`Error::TooManySlots`],
    /// [`Error::HeaderTooLarge`], [`Error::InvalidContext`], [`Error::GenerationLimit`].
    pub async fn header_async(&self, header: &Header) -> Result<Option<Header>> {
        Ok(plan::plan(self, header, false, None).await?.header)
    }

    /// [`Rewrap::header_async`], blocking the caller's thread.
    ///
    /// # Errors
    /// As [`Rewrap::header_async`].
    pub fn header(&self, header: &Header) -> Result<Option<Header>> {
        pollster::block_on(self.header_async(header))
    }

    /// Rewrites the attached header of the object in `file`, which must be open for reading and writing, and restores a
    /// header copy that is damaged or stale. Without any changes, it only restores.
    ///
    /// The file is locked meanwhile. If another process holds a lock, this waits at most
    /// [`LockedObject::DEFAULT_WAIT`]. A kill or a power loss at any point leaves an object that opens, with the old
    /// keys or the new ones; so does an error. On success the file contains no removed slot.
    ///
    /// If the changes depend on the header, use [`LockedObject`], which reads it under the lock.
    ///
    /// # Errors
    /// As [`Rewrap::header_async`] and [`Decryptor::read_header`]; nothing was changed then. [`Error::Locked`];
    /// [`Error::Io`].
    pub fn file(&self, file: &File) -> Result<Rewrapped> {
        LockedObject::lock(file, LockedObject::DEFAULT_WAIT)?.rewrap(self)
    }
}

#[cfg(test)]
mod tests;
