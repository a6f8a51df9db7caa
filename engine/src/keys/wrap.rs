//! How every local provider wraps data keys: XAES-256-GCM, bound to the slot's provider id and key id and to the
//! encryption context.
//!
//! ```text
//! AAD     = "sealstone/wrap@v1" | provider len[2] provider | key id len[2] key id | canonical context
//! wrapped = nonce[24] | ciphertext[32] | tag[16]
//! ```

use crate::cipher::xaes;
use crate::context::EncryptionContext;
use crate::data_key::DataKey;
use crate::error::{Error, ProviderError, ProviderErrorClass, Result};
use crate::header::WrappedKey;
use crate::secret::Secret;
use crate::suite::KEY_LEN;
use crate::wire::put_prefixed;

/// The message for a wrap that does not open under the right key.
pub(super) const ALTERED_OR_OTHER_CONTEXT: &str =
    "the wrapped key was altered, or a supplied context value differs from the one it was wrapped under";

/// Wraps `data_key` under `key`, which `provider` calls `key_id`.
pub(super) fn wrap_data_key(
    key: &Secret<KEY_LEN>,
    provider: &str,
    key_id: &str,
    context: &EncryptionContext,
    data_key: &DataKey,
) -> Result<WrappedKey, ProviderError> {
    let aad = aad(provider, key_id, context).map_err(|error| unbindable(provider, error))?;
    let sealed = seal_data_key(key, provider, &aad, data_key)?;
    Ok(WrappedKey::new(provider, key_id, sealed))
}

/// Seals `data_key` under `key`, bound to `aad`.
pub(super) fn seal_data_key(
    key: &Secret<KEY_LEN>,
    provider: &str,
    aad: &[u8],
    data_key: &DataKey,
) -> Result<Vec<u8>, ProviderError> {
    xaes::seal(key, aad, data_key.expose()).map_err(|error| random_failed(provider, error))
}

/// Unwraps a data key; `failed` is the message if the wrap does not open.
pub(super) fn unwrap_data_key(
    key: &Secret<KEY_LEN>,
    wrapped: &WrappedKey,
    context: &EncryptionContext,
    failed: &str,
) -> Result<DataKey, ProviderError> {
    let aad = aad(&wrapped.provider, &wrapped.key_id, context).map_err(|error| unbindable(&wrapped.provider, error))?;
    open_data_key(key, &aad, &wrapped.ciphertext).ok_or_else(|| refused(wrapped, failed))
}

/// Opens what [`seal_data_key`] sealed; `None` if it does not verify.
pub(super) fn open_data_key(key: &Secret<KEY_LEN>, aad: &[u8], sealed: &[u8]) -> Option<DataKey> {
    let mut opened = Ok(());
    let data_key = DataKey::init_with(|out| opened = xaes::open(key, aad, sealed, out));
    opened.ok().map(|()| data_key)
}

/// The error for a slot that does not open.
pub(crate) fn refused(slot: &WrappedKey, message: &str) -> ProviderError {
    ProviderError::new(ProviderErrorClass::BadCiphertext, &slot.provider, message).with_key_id(&slot.key_id)
}

/// The error for a key id or context that cannot be encoded as associated data.
pub(super) fn unbindable(provider: &str, error: Error) -> ProviderError {
    let message = format!("cannot bind a wrapped key to this key id and encryption context: {error}");
    ProviderError::new(ProviderErrorClass::Configuration, provider, message).with_source(error)
}

pub(super) fn random_failed(provider: &str, error: Error) -> ProviderError {
    ProviderError::new(
        ProviderErrorClass::Unavailable,
        provider,
        "the operating system's random generator failed",
    )
    .with_source(error)
}

fn aad(provider: &str, key_id: &str, context: &EncryptionContext) -> Result<Vec<u8>> {
    let mut aad = b"sealstone/wrap@v1".to_vec();
    put_prefixed(&mut aad, provider.as_bytes())?;
    put_prefixed(&mut aad, key_id.as_bytes())?;
    aad.extend_from_slice(&context.canonical_bytes()?);
    Ok(aad)
}
