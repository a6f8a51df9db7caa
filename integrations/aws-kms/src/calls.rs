//! Maps the engine's calls to those of KMS.
//!
//! ```text
//! generate_key  GenerateDataKey   own key                   checked: the own key, 32 bytes, a wrapped key
//! wrap_key      Encrypt           own key                   checked: the own key, a wrapped key
//! unwrap_key    Decrypt           own key                   checked: the slot's key, 32 bytes
//! rewrap_key    ReEncrypt         a named key -> own key    checked: the slot's key, the own key, a wrapped key
//! rebind_key    ReEncrypt         own key -> own key        checked: the same
//! ```

use sealstone::DataKey;
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::keys::{GeneratedKey, KeyMatch};
use tokio::time::Instant;

use crate::errors::failure;
use crate::key::is_same_key;
use crate::service::{Context, Sealed, Service, Side};
use crate::{ID, KmsKey};

/// A key of KMS, and the service that holds it.
pub(crate) struct Calls {
    pub(crate) service: Service,
    pub(crate) key: KmsKey,
    /// Other keys whose slots may be rewrapped under `key`.
    pub(crate) sources: Vec<KmsKey>,
}

impl Calls {
    pub(crate) async fn generate(&self, context: Context, deadline: Instant) -> Result<GeneratedKey, ProviderError> {
        let (data_key, sealed) = self.service.generate(&self.key, context, deadline).await?;
        let wrapped = slot(sealed);
        Ok(GeneratedKey::new(data_key, wrapped))
    }

    pub(crate) async fn wrap(
        &self,
        data_key: &DataKey,
        context: Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
        let sealed = self.service.encrypt(&self.key, data_key, context, deadline).await?;
        Ok(slot(sealed))
    }

    pub(crate) async fn unwrap(
        &self,
        wrapped: &WrappedKey,
        context: Context,
        deadline: Instant,
    ) -> Result<DataKey, ProviderError> {
        self.check_own(wrapped)?;
        let ciphertext = &wrapped.ciphertext;
        let opened = self.service.decrypt(Some(&self.key), ciphertext, context, deadline);
        let (data_key, opened_by) = opened.await?;
        self.check_name(wrapped, Some(&opened_by))?;
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
                // Perhaps the slot is under the next key.
                Err(error) if matches!(error.class, ProviderErrorClass::Denied | ProviderErrorClass::OtherKey) => {
                    denied.get_or_insert(error);
                }
                done => return done,
            }
        }
        Err(denied.unwrap_or_else(|| {
            let message = format!("{} is not one of the keys that may be rewrapped from", wrapped.key_id);
            failure(ProviderErrorClass::Denied, &self.key, message)
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
        self.re_encrypt(wrapped, &self.key, from, to, deadline).await
    }

    /// One ReEncrypt from `source`, a key that the caller named, to the provider's own key.
    async fn re_encrypt(
        &self,
        wrapped: &WrappedKey,
        source: &KmsKey,
        from: &Context,
        to: &Context,
        deadline: Instant,
    ) -> Result<WrappedKey, ProviderError> {
        let from = Side {
            key: source,
            context: from,
        };
        let to = Side {
            key: &self.key,
            context: to,
        };
        let moved = self.service.re_encrypt(&wrapped.ciphertext, from, to, deadline);
        let (source_arn, sealed) = moved.await?;
        self.check_name(wrapped, source_arn.as_deref())?;
        Ok(slot(sealed))
    }

    /// The caller's keys that the slot may be under; certain matches only, if there are any. ReEncrypt works within one
    /// region, so keys of other regions are left out.
    pub(crate) fn sources(&self, slot: &WrappedKey) -> Vec<&KmsKey> {
        if slot.provider != ID || !self.service.is_allowed(&slot.key_id) {
            return Vec::new();
        }
        let here = self.service.settings.region.as_deref();
        let is_near = |key: &KmsKey| here.is_none() || key.region().is_none_or(|region| Some(region) == here);
        let (mut sure, mut possible) = (Vec::new(), Vec::new());
        let keys = self.sources.iter().chain([&self.key]);
        for key in keys.filter(|key| is_near(key)) {
            match key.matches(&slot.key_id) {
                KeyMatch::Yes => sure.push(key),
                KeyMatch::Maybe => possible.push(key),
                _ => {}
            }
        }
        if sure.is_empty() { possible } else { sure }
    }

    /// Refuses a slot that certainly belongs to another key, before calling KMS.
    fn check_own(&self, wrapped: &WrappedKey) -> Result<(), ProviderError> {
        if wrapped.provider != ID {
            return Err(self.foreign(wrapped));
        }
        if !self.service.is_allowed(&wrapped.key_id) {
            let message = format!("{} is not one of the allowed keys", wrapped.key_id);
            return Err(failure(ProviderErrorClass::Denied, &self.key, message));
        }
        match self.key.matches(&wrapped.key_id) {
            KeyMatch::No(_) => {
                let message = format!(
                    "the data key was wrapped under {}; if that key is yours, offer it",
                    wrapped.key_id
                );
                Err(failure(ProviderErrorClass::OtherKey, &self.key, message))
            }
            _ => Ok(()),
        }
    }

    fn foreign(&self, wrapped: &WrappedKey) -> ProviderError {
        let message = format!("{} is not a slot of AWS KMS", wrapped.name());
        failure(ProviderErrorClass::BadCiphertext, &self.key, message)
    }

    /// A slot must name the key that opened it, because the name is displayed.
    fn check_name(&self, wrapped: &WrappedKey, opened_by: Option<&str>) -> Result<(), ProviderError> {
        if opened_by.is_some_and(|arn| is_same_key(arn, &wrapped.key_id)) {
            return Ok(());
        }
        let message = format!("the slot names {}, but another key opens it", wrapped.key_id);
        Err(failure(ProviderErrorClass::BadCiphertext, &self.key, message))
    }
}

fn slot(sealed: Sealed) -> WrappedKey {
    WrappedKey::new(ID, sealed.key_arn, sealed.ciphertext)
}
