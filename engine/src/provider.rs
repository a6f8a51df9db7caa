//! Key providers: who makes, wraps and unwraps data keys.
//!
//! ```text
//! seal   generate(context) -> data key + wrapped key     the wrapped key goes into a slot
//! open   unwrap(wrapped key, context) -> data key        under the same context, or not at all
//! ```

mod blocking;
mod intermediate;
mod local;
mod passphrase;
mod raw;
#[cfg(test)]
mod testing;
mod wrap;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

pub use self::blocking::BlockingProvider;
pub use self::intermediate::{IntermediateKeyStats, IntermediateKeys};
pub use self::local::{KeyRing, KeyRingEntry, KeyVersion};
pub use self::passphrase::{Argon2Limits, Passphrase};
pub use self::raw::RawKey;
pub(crate) use self::{
    intermediate::ID as INTERMEDIATE, local::ID as LOCAL, passphrase::wrong_passphrase, raw::ID as RAW,
};

use crate::context::EncryptionContext;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::keys::DataKey;

/// A future that may be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a provider has the key that a slot was wrapped by. Answered without calling any service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMatch {
    /// It has: the slot is tried first.
    Yes,
    /// Only the key service can tell: the slot is tried after those that surely match.
    Maybe,
    /// It has not, and here is what to tell a person about it, if anything.
    No(Option<String>),
}

/// A data key and its wrapped copy.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The key in plaintext, to be dropped as soon as the cipher is made.
    pub data_key: DataKey,
    /// The same key as the slot keeps it. Its key id is the resolved one: never an alias.
    pub wrapped: WrappedKey,
}

/// Makes, wraps and unwraps data keys under a key-encryption key that never leaves it.
///
/// Each call is given the whole encryption context and binds the wrapped key to it: as the context of a key
/// service, or as associated data of the wrap.
///
/// Futures must not rely on the caller's async runtime: the synchronous parts of this crate drive them without
/// one. A provider whose client needs a runtime brings it, for example in a [`BlockingProvider`].
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// The provider's id, as slots name it: lower-case letters, digits and `-`, at most 32.
    fn id(&self) -> &str;

    /// Whether this provider has the key that `slot` was wrapped by. The slot is of this provider's id.
    fn matches(&self, slot: &WrappedKey) -> KeyMatch;

    /// Makes a data key and wraps it.
    fn generate<'a>(&'a self, context: &'a EncryptionContext) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = DataKey::random().map_err(|error| wrap::random_failed(self.id(), error))?;
            let wrapped = self.wrap(&data_key, context).await?;
            Ok(GeneratedKey { data_key, wrapped })
        })
    }

    /// Wraps a data key that another provider made.
    fn wrap<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>>;

    /// Unwraps a data key under the context it was wrapped under.
    fn unwrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>>;

    /// Whether [`rewrap`](Self::rewrap) may be asked for a slot of this provider's id: by default if it may be its
    /// own. One that was told of other keys of its service, and takes their slots over, overrides this.
    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        !matches!(self.matches(slot), KeyMatch::No(_))
    }

    /// Wraps the key of `wrapped` anew, under this provider's current key and the context `to`. A key service
    /// that can do so without giving the data key away overrides this.
    fn rewrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap(wrapped, from).await?;
            self.wrap(&data_key, to).await
        })
    }

    /// Wraps the key of `wrapped` anew under the same key, or a newer version of it, and the context `to`. A
    /// provider of several keys overrides this: a change of the context changes nobody's access.
    fn rebind<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.rewrap(wrapped, from, to)
    }
}

/// A provider's own file cannot be used: `action` completes "cannot ...".
fn file_failed(provider: &str, action: &str, path: &Path, error: io::Error) -> ProviderError {
    let class = match error.kind() {
        io::ErrorKind::NotFound => ProviderErrorClass::NotFound,
        io::ErrorKind::PermissionDenied => ProviderErrorClass::Denied,
        _ => ProviderErrorClass::Configuration,
    };
    let message = format!("cannot {action} {}: {error}", path.display());
    ProviderError::new(class, provider, message).with_source(error)
}
