//! A provider whose calls take long enough for a person to wonder.

use std::sync::Arc;

use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, GeneratedKey, KeyMatch};
use sealstone::{DataKey, EncryptionContext, KeyProvider};

use super::kind;
use super::kind::Provider;
use crate::progress;

/// The same provider, which has the progress display say what is being waited for. Those that answer at once stay as
/// they are.
pub(crate) fn watched(provider: Provider) -> Provider {
    let Some(waits_for) = kind(provider.id()).and_then(|kind| kind.waits_for()) else {
        return provider;
    };
    Arc::new(Watched { provider, waits_for })
}

#[derive(Debug)]
struct Watched {
    provider: Provider,
    waits_for: &'static str,
}

impl Watched {
    fn watch<'a, T: 'a>(&'a self, call: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        Box::pin(async move {
            let _waiting = progress::waiting(self.waits_for);
            call.await
        })
    }
}

/// Each call is the provider's own, also where the trait has a default.
impl KeyProvider for Watched {
    fn id(&self) -> &str {
        self.provider.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.provider.matches(slot)
    }

    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        self.watch(self.provider.generate_key(context))
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.watch(self.provider.wrap_key(data_key, context))
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        self.watch(self.provider.unwrap_key(wrapped, context))
    }

    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        self.provider.can_rewrap(slot)
    }

    fn rewrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.watch(self.provider.rewrap_key(wrapped, from, to))
    }

    fn rebind_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.watch(self.provider.rebind_key(wrapped, from, to))
    }
}
