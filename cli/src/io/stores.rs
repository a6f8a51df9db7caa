//! Objects in stores: what commands do with them, whichever store it is.
//!
//! ```text
//! StoreUrl -> open   -> StoredObject (reads any range of one version; replaces the header in its metadata)
//!          -> create -> Upload (written in order; nothing is there until `complete`)
//!          -> for_each_stored   Bulk: one operation on all objects under a prefix
//! ```
//!
//! The header of an object is in its metadata. The clients of stores are in a build with the feature `stores`.

#[cfg(feature = "stores")]
mod bulk;
#[cfg(feature = "stores")]
mod connection;
#[cfg(feature = "stores")]
mod failure;
#[cfg(feature = "stores")]
mod metadata;
#[cfg(feature = "stores")]
mod runtime;
#[cfg(feature = "stores")]
mod sink;
#[cfg(feature = "stores")]
mod source;

use std::fmt;
use std::io::Write;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use sealstone::positioned::ReadAt;
use sealstone::{ChunkSize, EncryptionContext, Executor, Header, KeyProvider, Result, Suite};

use super::location::StoreUrl;
use crate::exit::Failure;

/// One version of an object.
pub(crate) trait StoredObject: ReadAt + fmt::Debug {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// The header in its metadata, if there is one.
    fn header(&self) -> Option<Result<Header>>;

    /// Announces that `range` will be read in order: it is fetched ahead, several pieces at a time.
    fn will_read(&self, range: Range<u64>);

    /// Replaces the header in its metadata, unless the object has changed meanwhile.
    fn replace_header(&self, header: &Header) -> Result<(), Failure>;
}

/// What is written to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A sealed object that begins with its header.
    Object,
    /// The payload of an object whose header goes elsewhere.
    Payload,
    /// Plaintext.
    Plaintext,
}

/// An object that is being written. Dropped before `complete`, nothing is left of it.
pub(crate) trait Upload: Write + Send + fmt::Debug {
    /// Waits until the store has everything that was written.
    fn send(&mut self) -> Result<(), Failure>;

    /// Makes the object visible.
    fn complete(self: Box<Self>) -> Result<(), Failure>;

    /// What removes the parts that the store already has, on any thread.
    fn undo(&self) -> Box<dyn FnOnce() + Send>;
}

/// How an object is to be written.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "stores"), expect(dead_code, reason = "the clients of stores read it"))]
pub(crate) struct NewObject {
    /// What will be written.
    pub(crate) content: Content,
    /// Whether an existing object is replaced.
    pub(crate) replace: bool,
    /// How many bytes will be written, if that is known: decides how large the parts are.
    pub(crate) len: Option<u64>,
}

/// What is done to all objects under a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// They are read and verified.
    Verify,
    /// Their slots of the opening keys are replaced.
    Rewrap,
    /// They are sealed again under new data keys.
    Rekey,
    /// Those without a header are sealed.
    Encrypt,
}

type Key = Arc<dyn KeyProvider>;

/// Work on all objects under a prefix.
#[derive(Debug)]
#[cfg_attr(not(feature = "stores"), expect(dead_code, reason = "the clients of stores read it"))]
pub(crate) struct Bulk {
    /// What is done.
    pub(crate) operation: Operation,
    /// The first key to seal with, which opens too.
    pub(crate) key: Key,
    /// Further keys to seal with.
    pub(crate) sealing: Vec<Key>,
    /// Keys that only open.
    pub(crate) opening: Vec<Key>,
    /// What every object is bound to.
    pub(crate) context: EncryptionContext,
    /// The key of the context whose value is the object's key in the bucket.
    pub(crate) path_context: Option<String>,
    /// Of objects that are encrypted.
    pub(crate) chunk_size: ChunkSize,
    /// Of objects that are sealed.
    pub(crate) suite: Suite,
    /// Where they are sealed and opened.
    pub(crate) executor: Executor,
    /// How many objects at a time.
    pub(crate) jobs: Option<usize>,
    /// The last object of an earlier run.
    pub(crate) start_after: Option<String>,
    /// Whether objects over 64 MiB are replaced too, although another program may have changed them meanwhile.
    pub(crate) unconditional: bool,
}

impl Bulk {
    /// Work with these keys, of which there is at least one: they seal and open.
    pub(crate) fn new(operation: Operation, keys: Vec<Key>, executor: Executor) -> std::result::Result<Self, Failure> {
        let mut keys = keys.into_iter();
        Ok(Self {
            operation,
            key: keys.next().ok_or_else(|| Failure::usage("no key was given"))?,
            sealing: keys.collect(),
            opening: Vec::new(),
            context: EncryptionContext::new(),
            path_context: None,
            chunk_size: ChunkSize::default(),
            suite: Suite::default(),
            executor,
            jobs: None,
            start_after: None,
            unconditional: false,
        })
    }
}

/// What was done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "stores"), expect(dead_code, reason = "the clients of stores make it"))]
pub(crate) enum BulkDone {
    /// It was changed.
    Changed,
    /// Nothing was to be changed.
    Unchanged,
    /// So many bytes of plaintext were verified.
    Verified(u64),
}

/// Receives the outcome for each object.
pub(crate) type Next<'a> = dyn FnMut(&StoreUrl, std::result::Result<BulkDone, Failure>) -> ControlFlow<()> + 'a;

/// Does `bulk` to every object under `url`, in the order of their names, and passes each outcome to `next`, until that
/// breaks.
///
/// # Errors
/// If the objects cannot be listed to their end.
pub(crate) fn for_each_stored(
    url: &StoreUrl,
    bulk: &Bulk,
    next: &mut Next<'_>,
) -> std::result::Result<ControlFlow<()>, Failure> {
    #[cfg(feature = "stores")]
    return bulk::for_each(url, bulk, next);
    #[cfg(not(feature = "stores"))]
    {
        let _ = (bulk, next);
        Err(unavailable(url))
    }
}

/// Opens the object.
pub(crate) fn open(url: &StoreUrl) -> Result<Box<dyn StoredObject>, Failure> {
    #[cfg(feature = "stores")]
    return source::open(url);
    #[cfg(not(feature = "stores"))]
    Err(unavailable(url))
}

/// Whether there is such an object; `None` if that cannot be found out without the permission to read.
pub(crate) fn exists(url: &StoreUrl) -> Result<Option<bool>, Failure> {
    #[cfg(feature = "stores")]
    return source::exists(url);
    #[cfg(not(feature = "stores"))]
    Err(unavailable(url))
}

/// Begins an object.
pub(crate) fn create(url: &StoreUrl, new: NewObject) -> Result<Box<dyn Upload>, Failure> {
    #[cfg(feature = "stores")]
    return sink::create(url, new);
    #[cfg(not(feature = "stores"))]
    {
        let _ = new;
        Err(unavailable(url))
    }
}

/// Names are refused where they are parsed.
#[cfg(not(feature = "stores"))]
fn unavailable(url: &StoreUrl) -> Failure {
    Failure::usage(format!("{url} is in a store, and this build has no clients of stores"))
}
