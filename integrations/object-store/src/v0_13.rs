//! For `object_store` 0.13.

// One source for all versions: nothing in it depends on which.
use object_store_0_13 as object_store;

#[path = "store/encrypted.rs"]
mod encrypted;

pub use self::encrypted::{Builder, EncryptedStore, HeaderReplacer, Outcome};
