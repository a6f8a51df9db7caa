//! Which keys open which slots. A slot is this object's only if it unwraps to the data key that the header commits to,
//! so each slot is tried before it is used. A key is tried on a slot only once, and the number of calls that a header
//! can cause is limited.

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::error::{Error, ProviderError, ProviderErrorClass, Result};
use crate::header::{Header, MAX_SLOTS, WrappedKey};
use crate::keys::KeyProvider;
use crate::unlock::try_slot;

/// The result of trying a key on a slot.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It unwraps to this object's data key.
    Opens,
    /// It unwraps to another data key: the slot is another object's.
    Foreign,
    /// The key does not unwrap it.
    Refused(ProviderError),
}

impl Verdict {
    /// Whether the slot belongs to another key, as opposed to the key being unusable at present: any other failure is
    /// no reason to remove the slot, or to leave it.
    pub(super) const fn is_not_its_key(error: &ProviderError) -> bool {
        matches!(
            error.class,
            ProviderErrorClass::OtherKey | ProviderErrorClass::BadCiphertext
        )
    }
}

/// The results so far.
pub(super) struct Trials<'a> {
    header: &'a Header,
    asked: Vec<Asked>,
    calls: usize,
    limit: usize,
}

struct Asked {
    key: Arc<dyn KeyProvider>,
    slot: WrappedKey,
    context: EncryptionContext,
    verdict: Verdict,
}

impl<'a> Trials<'a> {
    /// Allows `per_slot` calls for each slot that a header can have.
    pub(super) const fn new(header: &'a Header, per_slot: usize) -> Self {
        Self {
            header,
            asked: Vec::new(),
            calls: 0,
            limit: MAX_SLOTS.saturating_mul(per_slot),
        }
    }

    /// Records what is known without a call: the slot that opened the object.
    pub(super) fn opened(&mut self, key: &Arc<dyn KeyProvider>, slot: &WrappedKey, context: &EncryptionContext) {
        self.note(key, slot, context, Verdict::Opens);
    }

    /// Whether `key` opens `slot` under `context`.
    ///
    /// # Errors
    /// [`Error::Provider`] if the same call may succeed later; [`Error::TooManyProviderCalls`].
    pub(super) async fn ask(
        &mut self,
        key: &Arc<dyn KeyProvider>,
        slot: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<Verdict> {
        let known = |asked: &&Asked| Arc::ptr_eq(&asked.key, key) && asked.slot == *slot && asked.context == *context;
        if let Some(known) = self.asked.iter().find(known) {
            return Ok(known.verdict.clone());
        }
        self.count()?;
        let verdict = match try_slot(self.header, key.as_ref(), slot, context).await {
            Ok(_) => Verdict::Opens,
            Err(Error::CommitmentMismatch { .. }) => Verdict::Foreign,
            Err(Error::Provider(error)) if !error.is_retryable() => Verdict::Refused(error),
            // An unavailable service would be called, and waited for, again.
            Err(error) => return Err(error),
        };
        self.note(key, slot, context, verdict.clone());
        Ok(verdict)
    }

    /// Counts a call that is about to be made for a slot.
    ///
    /// # Errors
    /// [`Error::TooManyProviderCalls`].
    pub(super) const fn count(&mut self) -> Result<()> {
        if self.calls >= self.limit {
            return Err(Error::TooManyProviderCalls { limit: self.limit });
        }
        self.calls += 1;
        Ok(())
    }

    fn note(&mut self, key: &Arc<dyn KeyProvider>, slot: &WrappedKey, context: &EncryptionContext, verdict: Verdict) {
        self.asked.push(Asked {
            key: key.clone(),
            slot: slot.clone(),
            context: context.clone(),
            verdict,
        });
    }
}
