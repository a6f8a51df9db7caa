//! What KMS is asked, and what is checked of its answers.
//!
//! ```text
//! generate  GenerateDataKey   own key                     answered: the own key, 32 bytes, a wrapped key
//! wrap      Encrypt           own key                     answered: the own key, a wrapped key
//! unwrap    Decrypt           own key                     answered: the slot's key, 32 bytes
//! rewrap    ReEncrypt         a named key -> own key      answered: the slot's key, the own key, a wrapped key
//! rebind    ReEncrypt         own key -> own key
//! ```

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use sealstone::{DataKey, EncryptionContext, GeneratedKey, KeyMatch, ProviderError, ProviderErrorClass, WrappedKey};
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroizing;

use crate::errors::{Operation, failed, failure};
use crate::key::{is_key_arn, is_same_key};
use crate::limit::Limit;
use crate::settings::Settings;
use crate::{ID, KmsKey};

/// What KMS takes for a wrapped key.
const MAX_CIPHERTEXT_LEN: usize = 6144;

/// What calls share.
pub(crate) struct Calls {
    pub(crate) settings: Settings,
    pub(crate) limit: Limit,
    client: OnceCell<Client>,
}

pub(crate) type Context = Option<HashMap<String, String>>;

/// The context as KMS takes it.
pub(crate) fn pairs(context: &EncryptionContext) -> Context {
    let pairs = context.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    (!context.is_empty()).then(|| pairs.collect())
}

impl Calls {
    pub(crate) fn new(settings: Settings, limit: Limit) -> Self {
        Self {
            settings,
            limit,
            client: OnceCell::new(),
        }
    }

    pub(crate) async fn generate(&self, context: Context, deadline: Instant) -> Result<GeneratedKey, ProviderError> {
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

    pub(crate) async fn wrap(
        &self,
        data_key: &DataKey,
        context: Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
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

    pub(crate) async fn unwrap(
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

    pub(crate) async fn rewrap(
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

    pub(crate) async fn rebind(
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
            .map_err(|error| {
                let mut error = failed(Operation::ReEncrypt, source, error);
                // It may be either of the two that the error is about.
                error.message = format!("to {}: {}", self.key(), error.message);
                error
            })?;
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

    pub(crate) const fn key(&self) -> &KmsKey {
        &self.settings.key
    }

    pub(crate) fn is_allowed(&self, arn: &str) -> bool {
        let allowed = self.settings.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|key| is_same_key(key.id(), arn)))
    }

    /// The caller's keys that the slot may be under, those first that it surely is under. It is one that the client
    /// reaches: ReEncrypt is within a region.
    pub(crate) fn sources(&self, slot: &WrappedKey) -> Vec<&KmsKey> {
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
                let message = format!(
                    "the data key was wrapped under {}; if that key is yours, offer it",
                    wrapped.key_id
                );
                Err(failure(ProviderErrorClass::OtherKey, self.key(), message))
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
