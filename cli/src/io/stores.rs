//! Objects in stores: what commands do with them, whichever store it is.
//!
//! ```text
//! StoreUrl -> open   -> StoredObject (reads any range of one version; replaces the header in its metadata)
//!          -> create -> Upload (written in order; nothing is there until `complete`)
//! ```
//!
//! The header of an object is in its metadata. The clients of stores are in a build with the feature `stores`.

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
use std::ops::Range;

use sealstone::positioned::ReadAt;
use sealstone::{Header, Result};

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
