//! The provider: each call of the engine is one of KMS, made on a runtime of its own.
//!
//! ```text
//! caller's future --spawn--> own runtime: turn (limit) -> client -> KMS -> answer checked --> caller's future
//!      dropped    --abort-->              all of it within `timeout`
//! ```

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sealstone::{
    BoxFuture, DataKey, EncryptionContext, GeneratedKey, KeyMatch, KeyProvider, ProviderError, ProviderErrorClass,
    WrappedKey,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::calls::{Calls, pairs};
use crate::errors::failure;
use crate::limit::Limit;
use crate::settings::Settings;
use crate::{ID, KmsKey};

/// In the place of a timeout that no clock counts.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A key of AWS KMS.
///
/// Its slots name the key by its ARN, however the caller names it. KMS is only ever asked for the *caller's* key, and
/// answers for another one are refused.
///
/// Calls are made on a small runtime of its own, so that its futures can be polled anywhere, inside or outside any
/// runtime, and it can be dropped anywhere. A dropped future ends its call.
pub struct AwsKms {
    calls: Arc<Calls>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl AwsKms {
    /// The provider id of KMS keys.
    pub const ID: &'static str = "aws-kms";

    /// The key as the caller named it.
    #[must_use]
    pub fn key(&self) -> &KmsKey {
        &self.calls.settings.key
    }

    pub(crate) fn new(settings: Settings, limit: Limit) -> Result<Self, ProviderError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // Files of configuration and host names are read on these.
            .max_blocking_threads(4)
            .thread_name("sealstone-aws-kms")
            .enable_all()
            .build()
            .map_err(|error| {
                let message = "its thread cannot be started";
                failure(ProviderErrorClass::Unavailable, &settings.key, message).with_source(error)
            })?;
        Ok(Self {
            calls: Arc::new(Calls::new(settings, limit)),
            runtime: Some(runtime),
        })
    }

    /// Does the work on the own runtime, until it has ended or this future is dropped.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Calls>, Instant) -> F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let now = Instant::now();
        let deadline = now.checked_add(self.calls.settings.timeout).unwrap_or(now + LONGEST);
        let work = work(Arc::clone(&self.calls), deadline);
        let unavailable = |message: String| failure(ProviderErrorClass::Unavailable, self.key(), message);
        let Some(runtime) = &self.runtime else {
            return Err(unavailable("it is being dropped".to_owned()));
        };
        // The timer is one of the own runtime too, and so made there.
        let mut task = AbortOnDrop(runtime.spawn(async move { timeout_at(deadline, work).await }));
        match (&mut task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let timeout = self.calls.settings.timeout;
                Err(unavailable(format!(
                    "no answer of KMS within {timeout:?}, all waiting included; check the network"
                )))
            }
            Err(error) if error.is_panic() => {
                let message = "the AWS client cannot work with its configuration";
                Err(failure(ProviderErrorClass::Configuration, self.key(), message).with_source(error))
            }
            Err(error) => Err(unavailable("the call ended early".to_owned()).with_source(error)),
        }
    }
}

impl Drop for AwsKms {
    fn drop(&mut self) {
        // Waiting for it is not allowed inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calls { settings, limit, .. } = &*self.calls;
        f.debug_struct("AwsKms")
            .field("settings", settings)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

impl KeyProvider for AwsKms {
    fn id(&self) -> &str {
        ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        if !self.calls.is_allowed(&slot.key_id) {
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
            let data_key = DataKey::filled_by(|copy| copy.copy_from_slice(data_key.expose()));
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

    /// The same key's, both ways: which one that is, the slot has no say in.
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

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
