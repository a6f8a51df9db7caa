//! What keys are for: data keys, and small secrets wrapped and unwrapped.
//!
//! ```text
//! wrap     KeyId ------> key: caller? state? -> current material -> blob
//! unwrap   blob's id --> key: is it KeyId's? caller? state? -> the blob's material -> secret
//! ```

mod members;

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use self::members::{
    DataKey, Decrypt, Decrypted, Encrypt, Encrypted, Exposed, GenerateDataKey, GenerateRandom, Random, ReEncrypt,
    ReEncrypted, SYMMETRIC,
};
use super::input::{Bytes, Context};
use super::{Exchange, Service};
use crate::blob::{self, Blob, Secret};
use crate::error::KmsError;
use crate::store::{Key, Material};

/// What an unwrap found.
struct Unwrapped {
    key: Arc<Key>,
    material_id: String,
    secret: Secret,
}

impl Service {
    pub(super) fn generate_data_key(&self, exchange: &mut Exchange<'_>) -> Result<DataKey, KmsError> {
        self.data_key(exchange, "GenerateDataKey")
    }

    pub(super) fn generate_data_key_without_plaintext(&self, exchange: &mut Exchange<'_>) -> Result<DataKey, KmsError> {
        let mut made = self.data_key(exchange, "GenerateDataKeyWithoutPlaintext")?;
        made.plaintext = Zeroizing::default();
        Ok(made)
    }

    fn data_key(&self, exchange: &mut Exchange<'_>, permission: &str) -> Result<DataKey, KmsError> {
        let input: GenerateDataKey = exchange.input()?;
        refuse_recipient(input.recipient.is_some())?;
        let len = input.key_len()?;
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        let context = &input.encryption_context;
        self.require_usable(exchange, &key, permission, context, &input.grant_tokens)?;
        stop_if_dry(input.dry_run)?;
        let plaintext = random(len)?;
        let ciphertext_blob = wrap(&key, context, &plaintext)?;
        let key_material_id = key.current().id.to_string();
        exchange.findings.additional.key_material_id = Some(key_material_id.clone());
        Ok(DataKey {
            ciphertext_blob,
            plaintext,
            key_id: key.arn.clone(),
            key_material_id,
        })
    }

    pub(super) fn generate_random(&self, exchange: &mut Exchange<'_>) -> Result<Random, KmsError> {
        let input: GenerateRandom = exchange.input()?;
        refuse_recipient(input.recipient.is_some())?;
        if input.custom_key_store_id.is_some() {
            return Err(KmsError::unsupported("This mock of AWS KMS has no custom key stores."));
        }
        Ok(Random {
            plaintext: random(input.len()?)?,
        })
    }

    pub(super) fn encrypt(&self, exchange: &mut Exchange<'_>) -> Result<Encrypted, KmsError> {
        let input: Encrypt = exchange.input()?;
        require_symmetric(input.encryption_algorithm.as_deref())?;
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        let context = &input.encryption_context;
        self.require_usable(exchange, &key, "Encrypt", context, &input.grant_tokens)?;
        stop_if_dry(input.dry_run)?;
        let plaintext = input.plaintext.as_ref().map(|plaintext| plaintext.0.as_slice());
        exchange.findings.additional.key_material_id = Some(key.current().id.to_string());
        Ok(Encrypted {
            ciphertext_blob: wrap(&key, context, plaintext.unwrap_or_default())?,
            key_id: key.arn.clone(),
            encryption_algorithm: SYMMETRIC,
        })
    }

    pub(super) fn decrypt(&self, exchange: &mut Exchange<'_>) -> Result<Decrypted, KmsError> {
        let input: Decrypt = exchange.input()?;
        refuse_recipient(input.recipient.is_some())?;
        refuse_modifiers(&input.dry_run_modifiers)?;
        require_symmetric(input.encryption_algorithm.as_deref())?;
        let unwrapped = self.unwrap(
            exchange,
            input.ciphertext_blob.as_ref(),
            input.key_id.as_deref(),
            "Decrypt",
            &input.encryption_context,
            &input.grant_tokens,
        )?;
        exchange.findings.additional.key_material_id = Some(unwrapped.material_id.clone());
        stop_if_dry(input.dry_run)?;
        Ok(Decrypted {
            key_id: unwrapped.key.arn.clone(),
            plaintext: Exposed(unwrapped.secret),
            encryption_algorithm: SYMMETRIC,
            key_material_id: unwrapped.material_id,
        })
    }

    pub(super) fn re_encrypt(&self, exchange: &mut Exchange<'_>) -> Result<ReEncrypted, KmsError> {
        let input: ReEncrypt = exchange.input()?;
        refuse_modifiers(&input.dry_run_modifiers)?;
        require_symmetric(input.source_encryption_algorithm.as_deref())?;
        require_symmetric(input.destination_encryption_algorithm.as_deref())?;
        // Before anything is unwrapped: whoever may not wrap has no use for it.
        let destination = self.find(exchange, &input.destination_key_id.unwrap_or_default())?;
        let context = &input.destination_encryption_context;
        self.require_usable(exchange, &destination, "ReEncryptTo", context, &input.grant_tokens)?;
        let source = self.unwrap(
            exchange,
            input.ciphertext_blob.as_ref(),
            input.source_key_id.as_deref(),
            "ReEncryptFrom",
            &input.source_encryption_context,
            &input.grant_tokens,
        )?;
        stop_if_dry(input.dry_run)?;
        let destination_key_material_id = destination.current().id.to_string();
        exchange.findings.additional.source_key_material_id = Some(source.material_id.clone());
        exchange.findings.additional.destination_key_material_id = Some(destination_key_material_id.clone());
        Ok(ReEncrypted {
            ciphertext_blob: wrap(&destination, context, source.secret.expose())?,
            source_key_id: source.key.arn.clone(),
            key_id: destination.arn.clone(),
            source_encryption_algorithm: SYMMETRIC,
            destination_encryption_algorithm: SYMMETRIC,
            source_key_material_id: source.material_id,
            destination_key_material_id,
        })
    }

    /// Unwraps a blob under the key that it names, which must be that of `key_id` if one is given.
    fn unwrap(
        &self,
        exchange: &mut Exchange<'_>,
        blob: Option<&Bytes>,
        key_id: Option<&str>,
        permission: &str,
        context: &Context,
        tokens: &[String],
    ) -> Result<Unwrapped, KmsError> {
        let named = key_id.map(|key_id| self.find(exchange, key_id)).transpose()?;
        let blob = blob
            .and_then(|blob| Blob::parse(&blob.0))
            .ok_or_else(KmsError::invalid_ciphertext)?;
        let key = match named {
            Some(key) if key.place.id != blob.key_id() => return Err(incorrect_key()),
            Some(key) => key,
            None => {
                let state = self.store.view(exchange.now)?;
                let key = state.key(&exchange.place(blob.key_id()));
                let key = key.map(Arc::clone).ok_or_else(unknown_key)?;
                exchange.findings.resources.push(key.arn.clone());
                key
            }
        };
        self.require_usable(exchange, &key, permission, context, tokens)?;
        let material = key
            .materials()
            .iter()
            .rev()
            .find(|material| blob.is_under(&material.id));
        let opened = material.and_then(|material| {
            let secret = blob.unwrap(&key, material, &context.to_engine())?;
            Some((material.id.to_string(), secret))
        });
        let (material_id, secret) = opened.ok_or_else(KmsError::invalid_ciphertext)?;
        Ok(Unwrapped {
            key,
            material_id,
            secret,
        })
    }

    /// # Errors
    /// Unless the caller may use the key for this, and its state allows it.
    fn require_usable(
        &self,
        exchange: &Exchange<'_>,
        key: &Key,
        permission: &str,
        context: &Context,
        tokens: &[String],
    ) -> Result<(), KmsError> {
        // Others need no grant, so that nobody asks whether a context fits one.
        let pairs: Option<BTreeMap<_, _>> = exchange.is_grantee().then(|| context.to_map());
        self.authorize(exchange, key, permission, pairs.as_ref(), tokens)?;
        key.require_enabled(key.seen_status(exchange.now))
    }
}

fn wrap(key: &Key, context: &Context, secret: &[u8]) -> Result<Vec<u8>, KmsError> {
    let material: &Material = key.current();
    blob::wrap(key, material, &context.to_engine(), secret).ok_or_else(random_failed)
}

fn random(len: usize) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut bytes = Zeroizing::new(vec![0; len]);
    getrandom::fill(&mut bytes).map_err(|_| random_failed())?;
    Ok(bytes)
}

fn random_failed() -> KmsError {
    KmsError::internal("The random generator failed.")
}

fn require_symmetric(algorithm: Option<&str>) -> Result<(), KmsError> {
    match algorithm {
        None | Some(SYMMETRIC) => Ok(()),
        Some(other) => Err(KmsError::new(
            "InvalidKeyUsageException",
            format!("Algorithm {other} is incompatible with key spec {SYMMETRIC}."),
        )),
    }
}

/// An enclave's answer would be for it alone; in plaintext it would be worse than none.
fn refuse_recipient(is_there: bool) -> Result<(), KmsError> {
    if is_there {
        return Err(KmsError::unsupported(
            "This mock of AWS KMS encrypts no answers for a Recipient.",
        ));
    }
    Ok(())
}

fn refuse_modifiers(modifiers: &[String]) -> Result<(), KmsError> {
    if modifiers.is_empty() {
        return Ok(());
    }
    Err(KmsError::unsupported("This mock of AWS KMS has no DryRunModifiers."))
}

fn stop_if_dry(dry_run: Option<bool>) -> Result<(), KmsError> {
    match dry_run {
        Some(true) => Err(KmsError::dry_run()),
        _ => Ok(()),
    }
}

fn incorrect_key() -> KmsError {
    KmsError::new(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
}

fn unknown_key() -> KmsError {
    KmsError::new(
        "AccessDeniedException",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are \
         not allowed to access.",
    )
}
