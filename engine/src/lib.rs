//! Streaming chunked encryption for large objects: sealed in parallel, read in ranges, keyed by envelopes.
//!
//! An object is a header and a payload. The payload is [C2SP chunked encryption](https://c2sp.org/chunked-encryption),
//! so anyone who holds the data key can read it with another implementation. The header carries the data key,
//! wrapped by a [`KeyProvider`] for each key that may open the object. `FORMAT.md` is the specification.
//!
//! ```
//! use std::sync::Arc;
//! use sealstone::{Decryptor, Encryptor, Error, RawKey};
//!
//! let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
//! let mut object = Encryptor::new(key.clone()).seal(b"large, in practice")?;
//! assert_eq!(Decryptor::new(key.clone()).open(&object)?, b"large, in practice");
//!
//! // One flipped bit, and nothing comes out.
//! *object.last_mut().unwrap() ^= 1;
//! let refused = Decryptor::new(key).open(&object);
//! assert!(matches!(refused, Err(Error::ChunkAltered { chunk: 0, .. })));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Where to find what
//!
//! The names at the root are those of most programs. The modules have the rest, by subject:
//!
//! - [`keys`]: key providers, and how to write one. [`context`]: what a wrapped key is bound to.
//! - [`stream`]: readers, writers, streams, and machines without I/O. [`range`](mod@range) and [`positioned`]: parts of the
//!   plaintext, from sources that are read at offsets. [`parts`]: objects sealed in parts by one process.
//!   [`composite`]: objects sealed in components, by any number of processes.
//! - [`file`](mod@file): files that are replaced whole or not at all. [`rewrap`]: other keys for an object that stays where it
//!   is.
//! - [`mod@format`]: headers, layouts and limits. [`error`]: what an [`Error`] carries.
//!
//! # Features
//!
//! On by default:
//!
//! - `aws-lc-rs`: the fast AEAD backend. It needs a C compiler; without it, everything is pure Rust.
//! - `threads`: `Executor::threads` and `Executor::pool`.
//! - `passphrase`: `Passphrase`, keys derived with Argon2id.
//! - `key-ring`: `KeyRing`, a file of named keys.
//!
//! Off by default:
//!
//! - `tokio`: adapters and streams for asynchronous programs: `Encryptor::writer_async`, `Encryptor::seal_stream`,
//!   `Decryptor::reader_async`, `Decryptor::open_stream`.
//! - `mmap`: `positioned::MappedFile`, a local file as a source of ranged reads. It has unsafe code; the only other unsafe
//!   code in this crate is the mark that tells a fork from its parent.
//! - `hazmat`: sealing and opening under keys and salts of the caller's choice.
//! - `testing`: a conformance suite for implementations of [`KeyProvider`].

#![cfg_attr(docsrs, feature(doc_cfg))]

// Layer by layer, lowest first; `tests/suite/layers.rs` holds the modules to it.
mod buffer;
pub mod context;
pub mod error;
mod hex;
mod layout;
mod progress;
mod registry;
mod secret;
mod sticky;
mod suite;
mod sys;
mod wire;

mod cache;
mod cipher;
mod data_key;
pub mod format;
mod header;
pub mod keys;
mod unlock;

mod batch;
mod chunker;
mod executor;
mod opener;
pub mod positioned;
mod sealer;

pub mod composite;
mod decrypt;
mod encrypt;
pub mod file;
#[cfg(feature = "hazmat")]
pub mod hazmat;
mod machines;
pub mod range;
pub mod rewrap;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unlocked;

#[cfg(feature = "tokio")]
mod asynchronous;
pub mod stream;

// What most programs name. The rest is in the modules, by subject.
pub use cipher::Backend;
pub use context::{EncryptionContext, ExpectedContext};
pub use decrypt::Decryptor;
pub use encrypt::{Encryptor, NewObject, parts};
pub use error::{Error, Result};
pub use executor::Executor;
pub use format::{ChunkSize, Header, ObjectHeader, Suite};
#[cfg(feature = "key-ring")]
pub use keys::KeyRing;
#[cfg(feature = "passphrase")]
pub use keys::Passphrase;
pub use keys::{DataKey, KeyProvider, RawKey};
pub use progress::Progress;
pub use rewrap::Rewrap;
pub use unlocked::{Unlocked, UnlockedCache};

/// The examples of the pages, run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Project;

    #[doc = include_str!("../README.md")]
    struct Crate;

    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
}
