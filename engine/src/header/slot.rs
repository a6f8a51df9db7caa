//! The slot table: up to 16 wrapped copies of the data key.
//!
//! ```text
//! count[1] | provider len[2] provider | key id len[2] key id | wrapped len[2] wrapped | ...
//! ```

use std::fmt;

use crate::error::{Error, ProviderError, ProviderErrorClass, Result};
use crate::registry::{SlotLimit, slot_limit};
use crate::wire::{MAX_FIELD_LEN, WireReader, put_prefixed};

/// The largest number of slots.
pub const MAX_SLOTS: usize = 16;

/// A data key as a provider wrapped it: the content of one slot.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrappedKey {
    /// The id of the provider that wrapped it: lower-case letters, digits and `-`, at most 32.
    pub provider: String,
    /// The provider's id of the key that wrapped it.
    pub key_id: String,
    /// The wrapped data key.
    pub ciphertext: Vec<u8>,
}

impl WrappedKey {
    /// Creates a wrapped key.
    pub fn new(provider: impl Into<String>, key_id: impl Into<String>, ciphertext: impl Into<Vec<u8>>) -> Self {
        Self {
            provider: provider.into(),
            key_id: key_id.into(),
            ciphertext: ciphertext.into(),
        }
    }

    /// `provider:key id`, for display.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.provider, self.key_id)
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({}, {} bytes)", self.name(), self.ciphertext.len())
    }
}

/// Checks that a header may hold these slots. Sealing must not accept what parsing refuses.
///
/// # Errors
/// [`Error::TooManySlots`]; [`Error::HeaderTooLarge`] for a field of 64 KiB or more; [`Error::Provider`] for names that
/// a header cannot carry.
pub(crate) fn check_slots(slots: &[WrappedKey]) -> Result<()> {
    let too_many = |kind, limit| Error::TooManySlots { kind, limit };
    if slots.len() > MAX_SLOTS {
        return Err(too_many("slots", MAX_SLOTS));
    }
    if let Some(limit) = exceeded_limit(slots) {
        return Err(too_many(limit.kind, limit.count));
    }
    for slot in slots {
        let need = slot.provider.len().max(slot.key_id.len()).max(slot.ciphertext.len());
        if need > MAX_FIELD_LEN {
            let limit = MAX_FIELD_LEN;
            return Err(Error::HeaderTooLarge { need, limit });
        }
        if !is_provider_id(&slot.provider) || !is_key_id(&slot.key_id) {
            let message = "a header cannot hold this provider id or key id";
            let class = ProviderErrorClass::Configuration;
            return Err(ProviderError::new(class, &slot.provider, message)
                .with_key_id(&slot.key_id)
                .into());
        }
    }
    Ok(())
}

/// Appends the slot table.
///
/// # Errors
/// [`Error::TooManySlots`], [`Error::HeaderTooLarge`] for what [`check_slots`] refuses.
pub(super) fn encode_slots(slots: &[WrappedKey], out: &mut Vec<u8>) -> Result<()> {
    let count = u8::try_from(slots.len()).map_err(|_| Error::TooManySlots {
        kind: "slots",
        limit: MAX_SLOTS,
    })?;
    out.push(count);
    for slot in slots {
        put_prefixed(out, slot.provider.as_bytes())?;
        put_prefixed(out, slot.key_id.as_bytes())?;
        put_prefixed(out, &slot.ciphertext)?;
    }
    Ok(())
}

pub(super) fn parse_slots(reader: &mut WireReader<'_>) -> Result<Vec<WrappedKey>> {
    let count = usize::from(reader.u8()?);
    if count == 0 {
        return Err(reader.damaged("no slot"));
    }
    if count > MAX_SLOTS {
        return Err(reader.damaged("more than 16 slots"));
    }
    let mut slots = Vec::with_capacity(count);
    for _ in 0..count {
        let provider = reader.prefixed_str()?;
        if !is_provider_id(provider) {
            return Err(reader.damaged("a provider id of other characters than a-z, 0-9 and -"));
        }
        let key_id = reader.prefixed_str()?;
        if !is_key_id(key_id) {
            return Err(reader.damaged("a key id with control characters"));
        }
        slots.push(WrappedKey::new(provider, key_id, reader.prefixed()?));
    }
    if let Some(limit) = exceeded_limit(&slots) {
        return Err(reader.damaged(limit.exceeded));
    }
    Ok(slots)
}

fn is_provider_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&id.len()) && id.bytes().all(allowed)
}

/// Key ids are displayed, so they contain no control characters.
fn is_key_id(id: &str) -> bool {
    !id.chars().any(char::is_control)
}

/// The limit that the slots of one of the providers exceed, if any.
fn exceeded_limit(slots: &[WrappedKey]) -> Option<&'static SlotLimit> {
    let count = |provider: &str| slots.iter().filter(|slot| slot.provider == provider).count();
    let mut limits = slots
        .iter()
        .filter_map(|slot| Some((&slot.provider, slot_limit(&slot.provider)?)));
    let exceeded = limits.find(|(provider, limit)| count(provider) > limit.count);
    exceeded.map(|(_, limit)| limit)
}
