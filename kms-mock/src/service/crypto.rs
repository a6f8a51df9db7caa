//! Using keys: generating data keys, encrypting and decrypting small secrets.
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
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::audit::AdditionalData;
use crate::blob::{self, Blob, Secret};
use crate::error::KmsError;
use crate::store::{Key, Material};

/// The parts of a request that say what to unwrap.
struct Wrapped<'a> {
    blob: Option<&'a Bytes>,
    /// The key that it must be wrapped under.
    key_id: Option<&'a str>,
    context: &'a Context,
}

/// The result of an unwrap.
struct Unwrapped {
    key: Arc<Key>,
    material_id: String,
    secret: Secret,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "all handlers have the signature that `serve` takes"
)]
impl Service {
    pub(super) fn generate_data_key(&self, exchange: &Exchange<'_>, input: GenerateDataKey) -> Reply<DataKey> {
        self.data_key(exchange, input, "GenerateDataKey")
    }

    pub(super) fn generate_data_key_without_plaintext(
        &self,
        exchange: &Exchange<'_>,
        input: GenerateDataKey,
    ) -> Reply<DataKey> {
        let made = self.data_key(exchange, input, "GenerateDataKeyWithoutPlaintext")?;
        Ok(made.map(|made| DataKey {
            plaintext: Zeroizing::default(),
            ..made
        }))
    }

    fn data_key(&self, exchange: &Exchange<'_>, input: GenerateDataKey, permission: &str) -> Reply<DataKey> {
        refuse_recipient(input.recipient.is_some())?;
        let len = input.key_len()?;
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            let context = &input.encryption_context;
            self.require_usable(exchange, &key, permission, context, &input.grant_tokens)?;
            stop_if_dry(input.dry_run)?;
            let plaintext = random(len)?;
            let key_material_id = key.current().id.to_string();
            let made = Done::new(DataKey {
                ciphertext_blob: wrap(&key, context, &plaintext)?,
                plaintext,
                key_id: key.arn.clone(),
                key_material_id: key_material_id.clone(),
            });
            Ok(made.with_materials(AdditionalData::one(key_material_id)))
        })
    }

    pub(super) fn generate_random(&self, _: &Exchange<'_>, input: GenerateRandom) -> Reply<Random> {
        refuse_recipient(input.recipient.is_some())?;
        if input.custom_key_store_id.is_some() {
            return Err(KmsError::unsupported("This mock of AWS KMS has no custom key stores.").into());
        }
        let plaintext = random(input.len()?)?;
        Ok(Done::new(Random { plaintext }))
    }

    pub(super) fn encrypt(&self, exchange: &Exchange<'_>, input: Encrypt) -> Reply<Encrypted> {
        require_symmetric(input.encryption_algorithm.as_deref())?;
        let key = self.find(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            let context = &input.encryption_context;
            self.require_usable(exchange, &key, "Encrypt", context, &input.grant_tokens)?;
            stop_if_dry(input.dry_run)?;
            let plaintext = input.plaintext.as_ref().map(|plaintext| plaintext.0.as_slice());
            let encrypted = Done::new(Encrypted {
                ciphertext_blob: wrap(&key, context, plaintext.unwrap_or_default())?,
                key_id: key.arn.clone(),
                encryption_algorithm: SYMMETRIC,
            });
            Ok(encrypted.with_materials(AdditionalData::one(key.current().id.to_string())))
        })
    }

    pub(super) fn decrypt(&self, exchange: &Exchange<'_>, input: Decrypt) -> Reply<Decrypted> {
        refuse_recipient(input.recipient.is_some())?;
        refuse_modifiers(&input.dry_run_modifiers)?;
        require_symmetric(input.encryption_algorithm.as_deref())?;
        let wrapped = Wrapped {
            blob: input.ciphertext_blob.as_ref(),
            key_id: input.key_id.as_deref(),
            context: &input.encryption_context,
        };
        let unwrapped = self.unwrap(exchange, &wrapped, "Decrypt", &input.grant_tokens, input.dry_run)?;
        let material_id = unwrapped.answer.material_id.clone();
        let decrypted = unwrapped.map(|unwrapped| Decrypted {
            key_id: unwrapped.key.arn.clone(),
            plaintext: Exposed(unwrapped.secret),
            encryption_algorithm: SYMMETRIC,
            key_material_id: unwrapped.material_id,
        });
        Ok(decrypted.with_materials(AdditionalData::one(material_id)))
    }

    pub(super) fn re_encrypt(&self, exchange: &Exchange<'_>, input: ReEncrypt) -> Reply<ReEncrypted> {
        refuse_modifiers(&input.dry_run_modifiers)?;
        require_symmetric(input.source_encryption_algorithm.as_deref())?;
        require_symmetric(input.destination_encryption_algorithm.as_deref())?;
        let destination = self.find(exchange, input.destination_key_id.as_deref().unwrap_or_default())?;
        about([&destination.arn], || {
            // Before anything is unwrapped: a caller who may not wrap has no use for it.
            let context = &input.destination_encryption_context;
            self.require_usable(exchange, &destination, "ReEncryptTo", context, &input.grant_tokens)?;
            let wrapped = Wrapped {
                blob: input.ciphertext_blob.as_ref(),
                key_id: input.source_key_id.as_deref(),
                context: &input.source_encryption_context,
            };
            let source = self.unwrap(exchange, &wrapped, "ReEncryptFrom", &input.grant_tokens, input.dry_run)?;
            let ciphertext_blob = wrap(&destination, context, source.answer.secret.expose())?;
            let materials = AdditionalData {
                source_key_material_id: Some(source.answer.material_id.clone()),
                destination_key_material_id: Some(destination.current().id.to_string()),
                ..AdditionalData::default()
            };
            let answer = source.map(|source| ReEncrypted {
                ciphertext_blob,
                source_key_id: source.key.arn.clone(),
                key_id: destination.arn.clone(),
                source_encryption_algorithm: SYMMETRIC,
                destination_encryption_algorithm: SYMMETRIC,
                source_key_material_id: source.material_id,
                destination_key_material_id: destination.current().id.to_string(),
            });
            Ok(answer.with_materials(materials))
        })
    }

    /// Unwraps a blob under the key that it names, which must be the request's if it has one.
    fn unwrap(
        &self,
        exchange: &Exchange<'_>,
        wrapped: &Wrapped<'_>,
        permission: &str,
        tokens: &[String],
        dry_run: Option<bool>,
    ) -> Reply<Unwrapped> {
        let blob = wrapped.blob.and_then(|blob| Blob::parse(&blob.0));
        let blob = blob.ok_or_else(KmsError::invalid_ciphertext);
        let key = match wrapped.key_id {
            Some(key_id) => self.find(exchange, key_id)?,
            None => {
                let state = self.store.view(exchange.now)?;
                let key = state.key(&exchange.place(blob.as_ref().map_err(Clone::clone)?.key_id()));
                key.map(Arc::clone).ok_or_else(unknown_key)?
            }
        };
        about([&key.arn], || {
            let blob = blob?;
            if key.place.id != blob.key_id() {
                return Err(incorrect_key().into());
            }
            self.require_usable(exchange, &key, permission, wrapped.context, tokens)?;
            let mut materials = key.materials().iter().rev();
            let material = materials.find(|material| blob.is_under(&material.id));
            let opened = material.and_then(|material| {
                let secret = blob.unwrap(&key, material, &wrapped.context.to_pairs())?;
                Some((material.id.to_string(), secret))
            });
            let (material_id, secret) = opened.ok_or_else(KmsError::invalid_ciphertext)?;
            stop_if_dry(dry_run)?;
            Ok(Done::new(Unwrapped {
                key: Arc::clone(&key),
                material_id,
                secret,
            }))
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
        // Other callers need no grant, so that the pairs are not needed.
        let pairs: Option<BTreeMap<_, _>> = exchange.is_grantee().then(|| context.to_pairs());
        self.authorize(exchange, key, permission, pairs.as_ref(), tokens)?;
        key.require_enabled(key.seen_status(exchange.now))
    }
}

fn wrap(key: &Key, context: &Context, secret: &[u8]) -> Result<Vec<u8>, KmsError> {
    let material: &Material = key.current();
    blob::wrap(key, material, &context.to_pairs(), secret).ok_or_else(random_failed)
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

/// An answer for an enclave must be encrypted for it; a plaintext answer would be worse than an error.
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
