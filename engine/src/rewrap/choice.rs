//! Which slots a choice selects.

use std::sync::Arc;

use super::SlotChoice;
use super::trials::{Trials, Verdict};
use crate::context::EncryptionContext;
use crate::error::Result;
use crate::header::WrappedKey;
use crate::keys::{KeyMatch, KeyProvider};

/// Whether the choice, which is not [`SlotChoice::Any`], selects the slot.
pub(super) async fn is_meant(
    choice: &SlotChoice,
    slot: &WrappedKey,
    context: &EncryptionContext,
    trials: &mut Trials<'_>,
) -> Result<bool> {
    match choice {
        SlotChoice::Named(names) => Ok(names.contains(&slot.name())),
        SlotChoice::Key(key) => is_of(key, slot, context, trials).await,
        // Its parts are checked one by one.
        SlotChoice::Any(_) => Ok(false),
    }
}

/// Whether the slot belongs to the key. The key is called only if the slot's name does not show it.
async fn is_of(
    key: &Arc<dyn KeyProvider>,
    slot: &WrappedKey,
    context: &EncryptionContext,
    trials: &mut Trials<'_>,
) -> Result<bool> {
    if slot.provider != key.id() {
        return Ok(false);
    }
    match key.matches(slot) {
        KeyMatch::No(_) => Ok(false),
        KeyMatch::Yes => Ok(true),
        _ => match trials.ask(key, slot, context).await? {
            Verdict::Opens => Ok(true),
            Verdict::Foreign => Ok(false),
            Verdict::Refused(error) if Verdict::is_not_its_key(&error) => Ok(false),
            // A key that is unusable at present does not show whose slot it is.
            Verdict::Refused(error) => Err(error.into()),
        },
    }
}
