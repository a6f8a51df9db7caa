//! Which slots a choice means.

use super::SlotChoice;
use crate::context::EncryptionContext;
use crate::error::{ProviderError, ProviderErrorClass, Result};
use crate::header::{PASSPHRASE, WrappedKey};
use crate::provider::{KeyMatch, KeyProvider};

/// Whether `key` opens the slot. It is asked only where it cannot tell by the slot's name.
pub(super) async fn is_meant(choice: &SlotChoice, slot: &WrappedKey, context: &EncryptionContext) -> Result<bool> {
    match choice {
        SlotChoice::Named(names) => Ok(names.contains(&slot.name())),
        SlotChoice::Key(key) => opens(key.as_ref(), slot, context).await,
        // Its parts are asked one by one.
        SlotChoice::Any(_) => Ok(false),
    }
}

async fn opens(key: &dyn KeyProvider, slot: &WrappedKey, context: &EncryptionContext) -> Result<bool> {
    if slot.provider != key.id() {
        return Ok(false);
    }
    match key.matches(slot) {
        KeyMatch::No(_) => Ok(false),
        KeyMatch::Yes if slot.provider != PASSPHRASE => Ok(true),
        _ => match key.unwrap(slot, context).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_its_key(&error) => Ok(false),
            // A key that cannot be used now says nothing of whose slot it is.
            Err(error) => Err(error.into()),
        },
    }
}

/// Whether the error says that the slot is another key's: all else is no reason to lose it, or to leave it.
pub(super) const fn is_not_its_key(error: &ProviderError) -> bool {
    matches!(
        error.class,
        ProviderErrorClass::OtherKey | ProviderErrorClass::BadCiphertext
    )
}
