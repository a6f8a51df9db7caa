//! The provider: each call of the engine is one call to KMS.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, GeneratedKey, KeyMatch};
use sealstone::{DataKey, EncryptionContext, KeyProvider};
use tokio::time::Instant;

use crate::KmsKey;
use crate::calls::Calls;
use crate::runtime::OwnRuntime;
use crate::service::pairs;

/// A key of AWS KMS.
///
/// Its slots name the key by its ARN, however the caller names it. KMS is only ever called for the *caller's* key, and
/// responses for another one are refused.
///
/// Calls run on the provider's own small runtime, so its futures can be polled, and the provider dropped, inside or
/// outside any runtime. Dropping a future ends its call.
pub struct AwsKms {
    calls: Arc<Calls>,
    runtime: OwnRuntime,
}

impl AwsKms {
    /// The provider id of KMS keys.
    pub const ID: &'static str = "aws-kms";

    /// The key as the caller named it.
    #[must_use]
    pub fn key(&self) -> &KmsKey {
        &self.calls.key
    }

    pub(crate) fn new(calls: Calls) -> Result<Self, ProviderError> {
        Ok(Self {
            runtime: OwnRuntime::start(Some(&calls.key))?,
            calls: Arc::new(calls),
        })
    }

    async fn run<T, F>(&self, work: impl FnOnce(Arc<Calls>, Instant) -> F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let timeout = self.calls.service.settings.timeout;
        let calls = Arc::clone(&self.calls);
        let work = move |deadline| work(calls, deadline);
        self.runtime.run(timeout, Some(self.key()), work).await
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calls { service, key, sources } = &*self.calls;
        f.debug_struct("AwsKms")
            .field("key", key)
            .field("rewraps_from", sources)
            .field("settings", &service.settings)
            .field("limit", &service.limit)
            .finish_non_exhaustive()
    }
}

impl KeyProvider for AwsKms {
    fn id(&self) -> &str {
        Self::ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        if !self.calls.service.is_allowed(&slot.key_id) {
            return KeyMatch::No(Some(format!("{} is not one of the allowed KMS keys", slot.key_id)));
        }
        self.key().matches(&slot.key_id)
    }

    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        !self.calls.sources(slot).is_empty()
    }

    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(self.run(|calls, deadline| {
            let context = pairs(context);
            async move { calls.generate(context, deadline).await }
        }))
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|calls, deadline| {
            let context = pairs(context);
            let data_key = DataKey::init_with(|copy| copy.copy_from_slice(data_key.expose()));
            async move { calls.wrap(&data_key, context, deadline).await }
        }))
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(self.run(|calls, deadline| {
            let (wrapped, context) = (wrapped.clone(), pairs(context));
            async move { calls.unwrap(&wrapped, context, deadline).await }
        }))
    }

    fn rewrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|calls, deadline| {
            let (wrapped, from, to) = (wrapped.clone(), pairs(from), pairs(to));
            async move { calls.rewrap(&wrapped, &from, &to, deadline).await }
        }))
    }

    /// The caller's key on both sides, because the slot must not choose the key.
    fn rebind_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|calls, deadline| {
            let (wrapped, from, to) = (wrapped.clone(), pairs(from), pairs(to));
            async move { calls.rebind(&wrapped, &from, &to, deadline).await }
        }))
    }
}
