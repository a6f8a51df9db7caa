//! Streaming chunked encryption for large objects: sealed in parallel, read in ranges, keyed by envelopes.
//!
//! An object is a header and a payload. The payload is [C2SP chunked encryption](https://c2sp.org/chunked-encryption),
//! so that whoever holds the data key can read it with another implementation. The header carries the data key,
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
//! # Features
//!
//! On by default:
//!
//! - `aws-lc-rs`: the fast AEAD backend. It needs a C compiler; without it, everything is pure Rust.
//! - `threads`: `Executor::threads` and `Executor::pool`.
//! - `passphrase`: `Passphrase`, keys derived with Argon2id.
//! - `key-ring`: `KeyRing`, a file of named keys, and `sse`.
//!
//! Off by default:
//!
//! - `tokio`: adapters and streams for asynchronous programs: `Encryptor::writer_async`, `Encryptor::seal_stream`,
//!   `Decryptor::reader_async`, `Decryptor::open_stream`.
//! - `mmap`: `MappedFile`, a local file as a source of ranged reads. It has unsafe code; the only other unsafe code in this
//!   crate is the mark that tells a fork from its parent.
//! - `hazmat`: sealing and opening under keys and salts of the caller's choice.
//! - `testing`: a conformance suite for implementations of [`KeyProvider`].

#![cfg_attr(docsrs, feature(doc_cfg))]

// Layer by layer, lowest first; `tests/suite/layers.rs` holds the modules to it.
mod buffer;
mod context;
mod error;
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
mod header;
mod keys;
mod provider;
mod unlock;

mod batch;
mod chunker;
mod executor;
#[cfg(feature = "mmap")]
mod mapped;
mod opener;
mod positioned;
mod sealer;

#[cfg(feature = "tokio")]
mod asynchronous;
mod decrypt;
mod encrypt;
mod file;
#[cfg(feature = "hazmat")]
pub mod hazmat;
mod range;
mod rewrap;
pub mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unlocked;

// Public API: sealing and opening,
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncDecryptReader, AsyncEncryptWriter, OpenStream, SealStream};
pub use decrypt::{DecryptReader, Decryptor};
pub use encrypt::{
    EncryptWriter, Encryptor, EqualParts, NewObject, PartSealer, PartWriter, RunningPart, RunningParts, SealedPart,
};
pub use file::{
    AtomicFile, FileAccess, FileAttributes, IfExists, NamedFile, NotKept, OpenedObject, SparseFile, has_true_length,
};
#[cfg(feature = "mmap")]
pub use mapped::MappedFile;
pub use positioned::{ReadAt, SizeOnly, WriteAt};
pub use range::{RangeOpener, RangeReader};
pub use rewrap::{LockedObject, Rewrap, Rewrapped, SlotChoice};
pub use unlocked::{Unlocked, UnlockedCache};
// how and where,
pub use cipher::Backend;
pub use executor::Executor;
pub use progress::Progress;
pub use suite::Suite;
// keys,
pub use keys::{DATA_KEY_LEN, DataKey};
#[cfg(feature = "passphrase")]
pub use provider::{Argon2Limits, Passphrase};
pub use provider::{BoxFuture, GeneratedKey, IntermediateKeyStats, IntermediateKeys, KeyMatch, KeyProvider, RawKey};
#[cfg(feature = "key-ring")]
pub use provider::{KeyRing, KeyRingEntry, KeyVersion};
// the encryption context,
pub use context::{EncryptionContext, ExpectedContext, MAX_CONTEXT_PAIRS, StoredContext};
// the format,
pub use header::{
    ATTACHED_LEN, COPY_LEN, CopyFault, Header, MAGIC, MAX_DETACHED_LEN, MAX_METADATA_LEN, MAX_SLOTS, METADATA_KEY,
    ObjectHeader, VERSION, WrappedKey,
};
pub use layout::{
    COMMITMENT_LEN, ChunkIndex, ChunkSize, Layout, MAX_CHUNKS, MAX_PLAINTEXT_LEN, PREFIX_LEN, SALT_LEN, TAG_LEN,
};
// and errors.
pub use error::{ContextMismatch, Error, PartError, ProviderError, ProviderErrorClass, Result, TransferDamage};

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
