//! The members of requests that use keys, and of their answers.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::blob::Secret;
use crate::error::KmsError;
use crate::service::input::{Bytes, Checks, Context, Input, list};
use crate::service::output::base64;

pub(super) const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// The only modifier so far. It is refused here.
const DRY_RUN_MODIFIERS: &[&str] = &["IGNORE_CIPHERTEXT"];
const ALGORITHMS: &[&str] = &[SYMMETRIC, "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"];
const MAX_PLAINTEXT_LEN: usize = 4096;
const MAX_BLOB_LEN: usize = 6144;

#[derive(Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct GenerateDataKey {
    pub(in crate::service) key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub(in crate::service) encryption_context: Context,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) number_of_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) key_spec: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) grant_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) dry_run: Option<bool>,
    #[serde(skip_serializing)]
    pub(in crate::service) recipient: Option<serde::de::IgnoredAny>,
}

impl Input for GenerateDataKey {
    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.context("encryptionContext", &self.encryption_context);
        checks.range("numberOfBytes", self.number_of_bytes, 1, 1024);
        checks.one_of("keySpec", self.key_spec.as_deref(), &["AES_256", "AES_128"]);
        checks.grant_tokens(&self.grant_tokens);
    }
}

impl GenerateDataKey {
    /// # Errors
    /// `ValidationException` unless exactly one member states the length.
    pub(in crate::service) fn key_len(&self) -> Result<usize, KmsError> {
        match (self.number_of_bytes, self.key_spec.as_deref()) {
            (Some(len), None) => Ok(usize::try_from(len).unwrap_or_default()),
            (None, Some("AES_128")) => Ok(16),
            (None, Some(_)) => Ok(32),
            _ => Err(KmsError::validation(
                "Please specify either number of bytes or key spec.",
            )),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct Encrypt {
    pub(in crate::service) key_id: Option<String>,
    #[serde(skip_serializing)]
    pub(in crate::service) plaintext: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub(in crate::service) encryption_context: Context,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) grant_tokens: Vec<String>,
    pub(in crate::service) encryption_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) dry_run: Option<bool>,
}

impl Input for Encrypt {
    fn complete(&mut self) {
        symmetric_if_none(&mut self.encryption_algorithm);
    }

    fn check(&self, checks: &mut Checks) {
        checks.key_id("keyId", self.key_id.as_deref());
        checks.required("plaintext", self.plaintext.as_ref());
        checks.bytes("plaintext", self.plaintext.as_ref(), MAX_PLAINTEXT_LEN);
        checks.context("encryptionContext", &self.encryption_context);
        checks.grant_tokens(&self.grant_tokens);
        checks.one_of("encryptionAlgorithm", self.encryption_algorithm.as_deref(), ALGORITHMS);
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct Decrypt {
    #[serde(skip_serializing)]
    pub(in crate::service) ciphertext_blob: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub(in crate::service) encryption_context: Context,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) grant_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) key_id: Option<String>,
    pub(in crate::service) encryption_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) dry_run: Option<bool>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) dry_run_modifiers: Vec<String>,
    #[serde(skip_serializing)]
    pub(in crate::service) recipient: Option<serde::de::IgnoredAny>,
}

impl Input for Decrypt {
    fn complete(&mut self) {
        symmetric_if_none(&mut self.encryption_algorithm);
    }

    fn check(&self, checks: &mut Checks) {
        checks.required("ciphertextBlob", self.ciphertext_blob.as_ref());
        checks.bytes("ciphertextBlob", self.ciphertext_blob.as_ref(), MAX_BLOB_LEN);
        checks.text("keyId", self.key_id.as_deref(), 2048);
        checks.context("encryptionContext", &self.encryption_context);
        checks.grant_tokens(&self.grant_tokens);
        checks.one_of("encryptionAlgorithm", self.encryption_algorithm.as_deref(), ALGORITHMS);
        checks.each_one_of("dryRunModifiers", &self.dry_run_modifiers, DRY_RUN_MODIFIERS);
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct ReEncrypt {
    #[serde(skip_serializing)]
    pub(in crate::service) ciphertext_blob: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub(in crate::service) source_encryption_context: Context,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) source_key_id: Option<String>,
    pub(in crate::service) destination_key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub(in crate::service) destination_encryption_context: Context,
    pub(in crate::service) source_encryption_algorithm: Option<String>,
    pub(in crate::service) destination_encryption_algorithm: Option<String>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) grant_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::service) dry_run: Option<bool>,
    #[serde(default, deserialize_with = "list", skip_serializing)]
    pub(in crate::service) dry_run_modifiers: Vec<String>,
}

impl Input for ReEncrypt {
    fn complete(&mut self) {
        symmetric_if_none(&mut self.source_encryption_algorithm);
        symmetric_if_none(&mut self.destination_encryption_algorithm);
    }

    fn check(&self, checks: &mut Checks) {
        checks.required("ciphertextBlob", self.ciphertext_blob.as_ref());
        checks.bytes("ciphertextBlob", self.ciphertext_blob.as_ref(), MAX_BLOB_LEN);
        checks.text("sourceKeyId", self.source_key_id.as_deref(), 2048);
        checks.key_id("destinationKeyId", self.destination_key_id.as_deref());
        checks.context("sourceEncryptionContext", &self.source_encryption_context);
        checks.context("destinationEncryptionContext", &self.destination_encryption_context);
        checks.grant_tokens(&self.grant_tokens);
        for (member, algorithm) in [
            ("sourceEncryptionAlgorithm", &self.source_encryption_algorithm),
            ("destinationEncryptionAlgorithm", &self.destination_encryption_algorithm),
        ] {
            checks.one_of(member, algorithm.as_deref(), ALGORITHMS);
        }
        checks.each_one_of("dryRunModifiers", &self.dry_run_modifiers, DRY_RUN_MODIFIERS);
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(in crate::service) struct GenerateRandom {
    pub(in crate::service) number_of_bytes: Option<i64>,
    #[serde(skip_serializing)]
    pub(in crate::service) custom_key_store_id: Option<String>,
    #[serde(skip_serializing)]
    pub(in crate::service) recipient: Option<serde::de::IgnoredAny>,
}

impl Input for GenerateRandom {
    fn check(&self, checks: &mut Checks) {
        checks.range("numberOfBytes", self.number_of_bytes, 1, 1024);
    }
}

impl GenerateRandom {
    /// # Errors
    /// `ValidationException` if it is absent: the API model does not require it, the service does.
    pub(in crate::service) fn len(&self) -> Result<usize, KmsError> {
        let len = self.number_of_bytes.and_then(|len| usize::try_from(len).ok());
        len.ok_or_else(|| KmsError::validation("NumberOfBytes is required."))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct DataKey {
    #[serde(serialize_with = "base64")]
    pub(in crate::service) ciphertext_blob: Vec<u8>,
    #[serde(serialize_with = "base64", skip_serializing_if = "no_plaintext")]
    pub(in crate::service) plaintext: Zeroizing<Vec<u8>>,
    pub(in crate::service) key_id: String,
    pub(in crate::service) key_material_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct Encrypted {
    #[serde(serialize_with = "base64")]
    pub(in crate::service) ciphertext_blob: Vec<u8>,
    pub(in crate::service) key_id: String,
    pub(in crate::service) encryption_algorithm: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct Decrypted {
    pub(in crate::service) key_id: String,
    #[serde(serialize_with = "base64")]
    pub(in crate::service) plaintext: Exposed,
    pub(in crate::service) encryption_algorithm: &'static str,
    pub(in crate::service) key_material_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct ReEncrypted {
    #[serde(serialize_with = "base64")]
    pub(in crate::service) ciphertext_blob: Vec<u8>,
    pub(in crate::service) source_key_id: String,
    pub(in crate::service) key_id: String,
    pub(in crate::service) source_encryption_algorithm: &'static str,
    pub(in crate::service) destination_encryption_algorithm: &'static str,
    pub(in crate::service) source_key_material_id: String,
    pub(in crate::service) destination_key_material_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::service) struct Random {
    #[serde(serialize_with = "base64")]
    pub(in crate::service) plaintext: Zeroizing<Vec<u8>>,
}

pub(in crate::service) struct Exposed(pub(in crate::service) Secret);

impl AsRef<[u8]> for Exposed {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

fn symmetric_if_none(algorithm: &mut Option<String>) {
    algorithm.get_or_insert_with(|| SYMMETRIC.to_owned());
}

fn no_plaintext(plaintext: &Zeroizing<Vec<u8>>) -> bool {
    plaintext.is_empty()
}
