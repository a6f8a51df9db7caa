//! Key providers generate, wrap and unwrap data keys.
//!
//! ```text
//! seal   generate_key(context) -> data key + wrapped key     the wrapped key goes into a slot
//! open   unwrap_key(wrapped key, context) -> data key        fails under any other context
//! ```

mod intermediate;
#[cfg(feature = "key-ring")]
mod local;
#[cfg(feature = "passphrase")]
mod passphrase;
mod raw;
mod wrap;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

pub use crate::data_key::{DATA_KEY_LEN, DataKey};

pub use self::intermediate::{IntermediateKeyStats, IntermediateKeys};
#[cfg(feature = "key-ring")]
pub use self::local::{KeyRing, KeyRingEntry, KeyVersion};
#[cfg(feature = "passphrase")]
pub use self::passphrase::{Argon2Limits, Passphrase};
pub use self::raw::RawKey;
pub(crate) use self::wrap::refused;

use crate::context::EncryptionContext;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;

/// A future that can be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a provider has the key that wrapped a slot, decided without calling any service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMatch {
    /// The provider has the key. Such slots are tried first.
    Yes,
    /// Only unwrapping can tell, and the key comes from a secret that can be guessed, such as a passphrase. Tried
    /// first, like [`Yes`](Self::Yes).
    ///
    /// An attacker can craft a slot that unwraps under many guesses at once. Callers therefore never learn whether such
    /// a slot failed to unwrap or unwrapped to another payload's key: both take the same work and return the same
    /// error, of class `BadCiphertext` and with this message. Such a slot is tried under one context only.
    Guessable(String),
    /// Only the key service can tell. Such slots are tried after the others.
    Maybe,
    /// The provider does not have the key. The text, if any, is a human-readable reason.
    No(Option<String>),
}

/// A data key and its wrapped copy.
#[derive(Debug)]
#[non_exhaustive]
pub struct GeneratedKey {
    /// The key in plaintext. Drop it once the cipher has been created.
    pub data_key: DataKey,
    /// The same key, wrapped. Its key id is the resolved one, never an alias.
    pub wrapped: WrappedKey,
}

impl GeneratedKey {
    /// A data key and the same key as `wrapped`.
    #[must_use]
    pub const fn new(data_key: DataKey, wrapped: WrappedKey) -> Self {
        Self { data_key, wrapped }
    }
}

/// Generates, wraps and unwraps data keys under a key-encryption key that never leaves the provider.
///
/// Each call receives the whole encryption context, including the values that the header does not store, and binds the
/// wrapped key to it: as a key service's encryption context, or as associated data of the wrap.
///
/// An implementation needs an id, [`matches`](Self::matches), [`wrap_key`](Self::wrap_key) and
/// [`unwrap_key`](Self::unwrap_key). The defaults of the other methods suit a provider with one key that unwraps and
/// wraps locally. A provider that delegates to another one must delegate every method.
///
/// Futures must not depend on the caller's async runtime: the synchronous parts of this crate drive them without one. A
/// provider whose client needs a runtime brings its own.
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// The provider's id, as slots name it: lower-case letters, digits and `-`, at most 32 characters.
    fn id(&self) -> &str;

    /// Whether this provider has the key that wrapped `slot`, which names this provider's [`id`](Self::id).
    fn matches(&self, slot: &WrappedKey) -> KeyMatch;

    /// Generates a data key and wraps it. By default the key comes from the operating system's generator.
    ///
    /// # Errors
    /// As [`wrap_key`](Self::wrap_key).
    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = DataKey::random().map_err(|error| wrap::random_failed(self.id(), error))?;
            let wrapped = self.wrap_key(&data_key, context).await?;
            Ok(GeneratedKey::new(data_key, wrapped))
        })
    }

    /// Wraps a data key that another provider generated.
    ///
    /// # Errors
    /// Any class; see [`ProviderErrorClass`].
    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>>;

    /// Unwraps a data key under the context that it was wrapped under.
    ///
    /// # Errors
    /// Class `BadCiphertext` for a different context or altered bytes; `BadCiphertext`, `OtherKey`, `NotFound` or
    /// `Denied` for a slot wrapped under another key; other classes for the provider's own failures.
    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>>;

    /// Whether the provider can rewrap this slot without revealing the data key, as a key service can. If so,
    /// [`rewrap_key`](Self::rewrap_key) and [`rebind_key`](Self::rebind_key) are called for slots that have not been
    /// unwrapped. Otherwise, and by default, slots are first unwrapped and checked against the object, and their data
    /// key is then wrapped.
    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        let _ = slot;
        false
    }

    /// Wraps the key in `wrapped` under this provider's current key and the context `to`. Called only if
    /// [`can_rewrap`](Self::can_rewrap) returns `true`. By default it unwraps and wraps.
    ///
    /// # Errors
    /// As [`unwrap_key`](Self::unwrap_key).
    fn rewrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_key(wrapped, from).await?;
            self.wrap_key(&data_key, to).await
        })
    }

    /// Wraps the key in `wrapped` under the key that wrapped it, or a newer version of that key, and the context `to`.
    /// By default it unwraps and wraps. A provider with several keys must override this, because changing the context
    /// must not change who has access.
    ///
    /// # Errors
    /// As [`unwrap_key`](Self::unwrap_key).
    fn rebind_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_key(wrapped, from).await?;
            self.wrap_key(&data_key, to).await
        })
    }
}

/// The error for a provider's own file that cannot be used. `action` completes "cannot ...".
fn file_failed(provider: &str, action: &str, path: &Path, error: io::Error) -> ProviderError {
    let class = match error.kind() {
        io::ErrorKind::NotFound => ProviderErrorClass::NotFound,
        io::ErrorKind::PermissionDenied => ProviderErrorClass::Denied,
        _ => ProviderErrorClass::Configuration,
    };
    let message = format!("cannot {action} {}: {error}", path.display());
    ProviderError::new(class, provider, message).with_source(error)
}
