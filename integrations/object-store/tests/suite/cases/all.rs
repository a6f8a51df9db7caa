//! The cases, and what they have in common.

mod bulk;
mod copies;
mod hostile;
mod integration;
mod keys;
mod model;
mod requests;
mod uploads;
mod wrapped;

use super::object_store::ObjectStore;
use super::subject::{Builder, EncryptedStore};
use crate::common::key;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};

pub(super) const METADATA: Capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::All);
pub(super) const ATTACHED: Capabilities = Capabilities::new(HeaderPlace::Attached, ServerCopies::All);

pub(super) fn builder() -> Builder {
    EncryptedStore::builder(key(7))
}

pub(super) fn encrypted<S: ObjectStore>(store: S, capabilities: Capabilities) -> EncryptedStore<S> {
    builder().build(store, capabilities).unwrap()
}
