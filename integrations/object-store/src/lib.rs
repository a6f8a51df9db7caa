//! Transparent encryption for programs that use `object_store`.
//!
//! [`EncryptedStore`](v0_14::EncryptedStore) wraps a store and is one. What is written through it is sealed before it
//! leaves the process, and what is read has been verified. Sizes, ranges and listings are the plaintext's.
//!
//! ```text
//! put, multipart  plaintext --RunningParts--> payload    --> the inner store
//!                 header    --> the object's metadata, or in front of the payload
//! get, ranges     range --chunks that hold it--> the inner store --> ciphertext --RangeOpener--> plaintext
//!                 header --UnlockedCache: one key call for each object--> its key
//! list, head      stored length --Layout--> plaintext length      (no further request)
//! copy, rename    on the server, header and all, where the store keeps it
//! ```
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use object_store_0_14::{ObjectStoreExt, memory::InMemory, path::Path};
//! use sealstone::RawKey;
//! use sealstone_object_store::v0_14::EncryptedStore;
//!
//! // Any store, and any key: a key ring, AWS KMS, a passphrase.
//! let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
//! let store = EncryptedStore::builder(key).probe(InMemory::new()).await?;
//!
//! let path = Path::from("logs/today");
//! store.put(&path, "large, in practice".into()).await?;
//! assert_eq!(store.get_range(&path, 0..5).await?, "large");
//! assert_eq!(store.head(&path).await?.size, 18);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Versions of `object_store`
//!
//! Its releases are incompatible with each other, and a program can depend on several. The modules `v0_13` and `v0_14`
//! have the same types for each; the features `object-store-0-13` and `object-store-0-14` (the default) enable them.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(clippy::duplicate_mod, reason = "one source for all versions of object_store")]

#[cfg(not(any(feature = "object-store-0-13", feature = "object-store-0-14")))]
compile_error!("enable the feature object-store-0-14, or object-store-0-13");

mod bulk;
mod config;
mod context;
mod error;
mod keys;
mod sizes;

pub use bulk::{BulkOptions, Done};
pub use config::{Capabilities, HeaderPlace, ServerCopies};
pub use context::ObjectContext;
pub use error::StoreError;
pub use keys::Keys;

#[cfg(feature = "object-store-0-13")]
pub mod v0_13;
#[cfg(feature = "object-store-0-14")]
pub mod v0_14;
