//! For `object_store` 0.14.

// One source for all versions: nothing in it depends on which.
use object_store_0_14 as object_store;

#[path = "store/encrypted.rs"]
mod encrypted;
#[cfg(feature = "aws")]
mod s3;

pub use self::encrypted::{Builder, EncryptedStore, HeaderReplacer, Outcome};
#[cfg(feature = "aws")]
pub use self::s3::S3HeaderReplacer;
