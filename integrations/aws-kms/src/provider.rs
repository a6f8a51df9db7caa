//! The provider: each call of the engine is one of KMS, made on a runtime of its own.
//!
//! ```text
//! caller's future --spawn--> own runtime: turn (limit) -> client -> KMS -> answer checked --> caller's future
//!      dropped    --abort-->              all of it within `timeout`
//! ```

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use sealstone::{
    BoxFuture, DataKey, EncryptionContext, GeneratedKey, KeyMatch, KeyProvider, ProviderError, ProviderErrorClass,
    WrappedKey,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroizing;

use crate::builder::{AwsKmsBuilder, Settings};
use crate::errors::{Operation, failed, failure};
use crate::key::{is_key_arn, is_same_key};
use crate::limit::Limit;
use crate::{ID, KmsKey};

/// What KMS takes for a wrapped key.
const MAX_CIPHERTEXT_LEN: usize = 6144;

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
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl AwsKms {
    /// For this key, with the configuration of every AWS tool: credentials, profile, region, endpoint.
    pub const fn builder(key: KmsKey) -> AwsKmsBuilder {
        AwsKmsBuilder::new(key)
    }

    /// The key as the caller named it.
    #[must_use]
    pub fn key(&self) -> &KmsKey {
        &self.shared.settings.key
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
        let client = OnceCell::new();
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                limit,
                client,
            }),
            runtime: Some(runtime),
        })
    }

    /// Does the work on the own runtime, until it has ended or this future is dropped.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Shared>, Instant) -> F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let now = Instant::now();
        let deadline = now.checked_add(self.shared.settings.timeout).unwrap_or(now + LONGEST);
        let work = work(Arc::clone(&self.shared), deadline);
        let unavailable = |message: String| failure(ProviderErrorClass::Unavailable, self.key(), message);
        let Some(runtime) = &self.runtime else {
            return Err(unavailable("it is being dropped".to_owned()));
        };
        // The timer is one of the own runtime too, and so made there.
        let mut task = AbortOnDrop(runtime.spawn(async move { timeout_at(deadline, work).await }));
        match (&mut task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let timeout = self.shared.settings.timeout;
                Err(unavailable(format!(
                    "no answer of KMS within {timeout:?}, all waiting included; check the network"
                )))
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
        let Shared { settings, limit, .. } = &*self.shared;
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
        if !self.shared.is_allowed(&slot.key_id) {
            return KeyMatch::No(Some(format!("{} is not one of the allowed KMS keys", slot.key_id)));
        }
        self.key().matches(&slot.key_id)
    }

    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        !self.shared.sources(slot).is_empty()
    }

    fn generate<'a>(&'a self, context: &'a EncryptionContext) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(self.run(|shared, deadline| {
            let context = pairs(context);
            async move { shared.generate(context, deadline).await }
        }))
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|shared, deadline| {
            let context = pairs(context);
            let data_key = DataKey::filled_by(|copy| copy.copy_from_slice(data_key.expose()));
            async move { shared.wrap(&data_key, context, deadline).await }
        }))
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(self.run(|shared, deadline| {
            let (wrapped, context) = (wrapped.clone(), pairs(context));
            async move { shared.unwrap(&wrapped, context, deadline).await }
        }))
    }

    fn rewrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|shared, deadline| {
            let (wrapped, from, to) = (wrapped.clone(), pairs(from), pairs(to));
            async move { shared.rewrap(&wrapped, &from, &to, deadline).await }
        }))
    }

    /// The same key's, both ways: which one that is, the slot has no say in.
    fn rebind<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.run(|shared, deadline| {
            let (wrapped, from, to) = (wrapped.clone(), pairs(from), pairs(to));
            async move { shared.rebind(&wrapped, &from, &to, deadline).await }
        }))
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What calls share.
struct Shared {
    settings: Settings,
    limit: Limit,
    client: OnceCell<Client>,
}

type Context = Option<HashMap<String, String>>;

/// The context as KMS takes it.
fn pairs(context: &EncryptionContext) -> Context {
    let pairs = context.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    (!context.is_empty()).then(|| pairs.collect())
}

impl Shared {
    async fn generate(&self, context: Context, deadline: Instant) -> Result<GeneratedKey, ProviderError> {
        let operation = Operation::GenerateDataKey;
        let (_turn, client) = self.begin(deadline).await?;
        let mut answer = client
            .generate_data_key()
            .key_id(self.key().id())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(context)
            .send()
            .await
            .map_err(|error| failed(operation, self.key(), error))?;
        let data_key = self.data_key(answer.plaintext.take())?;
        let wrapped = self.wrapped(answer.key_id, answer.ciphertext_blob)?;
        Ok(GeneratedKey { data_key, wrapped })
    }

    async fn wrap(&self, data_key: &DataKey, context: Context, deadline: Instant) -> Result<WrappedKey, ProviderError> {
        let (_turn, client) = self.begin(deadline).await?;
        // At the level of traces the client logs requests whole, and this one holds the key.
        let answer = client
            .encrypt()
            .key_id(self.key().id())
            .plaintext(Blob::new(data_key.expose().as_slice()))
            .set_encryption_context(context)
            .send()
            .with_subscriber(NoSubscriber::new())
            .await
            .map_err(|error| failed(Operation::Encrypt, self.key(), error))?;
        self.wrapped(answer.key_id, answer.ciphertext_blob)
    }

    async fn unwrap(
        &self,
        wrapped: &WrappedKey,
        context: Context,
        deadline: Instant,
    ) -> Result<DataKey, ProviderError> {
        self.check_own(wrapped)?;
        let (_turn, client) = self.begin(deadline).await?;
        let mut answer = client
            .decrypt()
            .key_id(self.key().id())
            .ciphertext_blob(Blob::new(wrapped.ciphertext.as_slice()))
            .set_encryption_context(context)
            .send()
            .await
            .map_err(|error| failed(Operation::Decrypt, self.key(), error))?;
        let data_key = self.data_key(answer.plaintext.take())?;
        let key_id = self.answered(answer.key_id)?;
        self.check_name(wrapped, Some(&key_id))?;
        Ok(data_key)
    }

    async fn rewrap(
        &self,
        wrapped: &WrappedKey,
        from: &Context,
        to: &Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
        if wrapped.provider != ID {
            return Err(self.foreign(wrapped));
        }
        let mut denied = None;
        for source in self.sources(wrapped) {
            match self.re_encrypt(wrapped, source, from, to, deadline).await {
                // Under another key, perhaps the next one.
                Err(error) if matches!(error.class, ProviderErrorClass::Denied | ProviderErrorClass::OtherKey) => {
                    denied.get_or_insert(error);
                }
                done => return done,
            }
        }
        Err(denied.unwrap_or_else(|| {
            let message = format!("{} is not one of the keys that may be rewrapped from", wrapped.key_id);
            failure(ProviderErrorClass::Denied, self.key(), message)
        }))
    }

    async fn rebind(
        &self,
        wrapped: &WrappedKey,
        from: &Context,
        to: &Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
        self.check_own(wrapped)?;
        self.re_encrypt(wrapped, self.key(), from, to, deadline).await
    }

    /// One ReEncrypt from `source`, a key that the caller named, to the own key.
    async fn re_encrypt(
        &self,
        wrapped: &WrappedKey,
        source: &KmsKey,
        from: &Context,
        to: &Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
        let (_turn, client) = self.begin(deadline).await?;
        let answer = client
            .re_encrypt()
            .source_key_id(source.id())
            .set_source_encryption_context(from.clone())
            .ciphertext_blob(Blob::new(wrapped.ciphertext.as_slice()))
            .destination_key_id(self.key().id())
            .set_destination_encryption_context(to.clone())
            .send()
            .await
            .map_err(|error| failed(Operation::ReEncrypt, source, error))?;
        self.check_name(wrapped, answer.source_key_id.as_deref())?;
        self.wrapped(answer.key_id, answer.ciphertext_blob)
    }

    /// The call's turn, to be kept until it has ended, and the client, made by the first call.
    async fn begin(&self, deadline: Instant) -> Result<(Option<SemaphorePermit<'_>>, &Client), ProviderError> {
        let turn = self.limit.turn(deadline).await.map_err(|_| {
            let message = "more calls are waiting than the limit lets through in time";
            failure(ProviderErrorClass::Throttled, self.key(), message)
        })?;
        let client = self.client.get_or_try_init(|| self.settings.connect()).await?;
        Ok((turn, client))
    }

    const fn key(&self) -> &KmsKey {
        &self.settings.key
    }

    fn is_allowed(&self, arn: &str) -> bool {
        let allowed = self.settings.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|key| is_same_key(key.id(), arn)))
    }

    /// The caller's keys that the slot may be under, those first that it surely is under. It is one that the client
    /// reaches: ReEncrypt is within a region.
    fn sources(&self, slot: &WrappedKey) -> Vec<&KmsKey> {
        if slot.provider != ID || !self.is_allowed(&slot.key_id) {
            return Vec::new();
        }
        let here = self.settings.region.as_deref();
        let is_near = |key: &KmsKey| here.is_none() || key.region().is_none_or(|region| Some(region) == here);
        let (mut sure, mut possible) = (Vec::new(), Vec::new());
        for key in self
            .settings
            .sources
            .iter()
            .chain([self.key()])
            .filter(|key| is_near(key))
        {
            match key.matches(&slot.key_id) {
                KeyMatch::Yes => sure.push(key),
                KeyMatch::Maybe => possible.push(key),
                _ => {}
            }
        }
        if sure.is_empty() { possible } else { sure }
    }

    /// Refuses a slot that is surely not the own key's, before KMS is asked.
    fn check_own(&self, wrapped: &WrappedKey) -> Result<(), ProviderError> {
        if wrapped.provider != ID {
            return Err(self.foreign(wrapped));
        }
        if !self.is_allowed(&wrapped.key_id) {
            let message = format!("{} is not one of the allowed keys", wrapped.key_id);
            return Err(failure(ProviderErrorClass::Denied, self.key(), message));
        }
        match self.key().matches(&wrapped.key_id) {
            KeyMatch::No(_) => {
                let message = format!("the data key was wrapped under {}; offer that one", wrapped.key_id);
                Err(failure(ProviderErrorClass::Denied, self.key(), message))
            }
            _ => Ok(()),
        }
    }

    fn foreign(&self, wrapped: &WrappedKey) -> ProviderError {
        let message = format!("{} is not a slot of AWS KMS", wrapped.name());
        failure(ProviderErrorClass::BadCiphertext, self.key(), message)
    }

    /// The slot's name has to be that of the key that opened it: it is what people are shown.
    fn check_name(&self, wrapped: &WrappedKey, opened_by: Option<&str>) -> Result<(), ProviderError> {
        match opened_by {
            Some(arn) if is_same_key(arn, &wrapped.key_id) => Ok(()),
            _ => {
                let message = format!(
                    "the slot names {}, but that is not the key that opens it",
                    wrapped.key_id
                );
                Err(failure(ProviderErrorClass::BadCiphertext, self.key(), message))
            }
        }
    }

    /// The key that KMS says it used.
    fn answered(&self, arn: Option<String>) -> Result<String, ProviderError> {
        let Some(arn) = arn.filter(|arn| is_key_arn(arn)) else {
            return Err(self.senseless("no key ARN"));
        };
        if !self.is_allowed(&arn) || matches!(self.key().matches(&arn), KeyMatch::No(_)) {
            let message = format!("KMS used {arn}, which is not the key asked for, or not an allowed one");
            return Err(failure(ProviderErrorClass::Denied, self.key(), message));
        }
        Ok(arn)
    }

    fn wrapped(&self, arn: Option<String>, blob: Option<Blob>) -> Result<WrappedKey, ProviderError> {
        let arn = self.answered(arn)?;
        let ciphertext = blob.map(Blob::into_inner).unwrap_or_default();
        if !(1..=MAX_CIPHERTEXT_LEN).contains(&ciphertext.len()) {
            return Err(self.senseless("no wrapped key"));
        }
        Ok(WrappedKey::new(ID, arn, ciphertext))
    }

    /// Moves the key out of the answer, and wipes that.
    fn data_key(&self, plaintext: Option<Blob>) -> Result<DataKey, ProviderError> {
        let bytes = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
        DataKey::from_slice(&bytes).ok_or_else(|| self.senseless("no data key of 32 bytes"))
    }

    fn senseless(&self, what: &str) -> ProviderError {
        let message = format!("there is {what} in the answer; is the endpoint that of KMS?");
        failure(ProviderErrorClass::BadCiphertext, self.key(), message)
    }
}
