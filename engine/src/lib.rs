//! Streaming chunked encryption for large objects.

mod cipher;
mod context;
mod error;
mod header;
mod hex;
mod keys;
mod layout;
mod provider;
mod secret;
mod sys;
mod wire;

pub use cipher::{Backend, Suite};
pub use context::{EncryptionContext, ExpectedContext, StoredContext};
pub use error::{ContextMismatch, Error, Mangled, ProviderError, ProviderErrorClass, Result};
pub use header::{AttachedHeader, CopyFault, Header, WrappedKey};
pub use keys::DataKey;
pub use layout::{ChunkIndex, ChunkSize, Layout};
pub use provider::{Argon2Limits, BlockingProvider, BoxFuture, GeneratedKey, KeyMatch, KeyProvider};
pub use provider::{KeyRing, KeyRingEntry, KeyVersion, Passphrase, RawKey};
