//! Plans the slots of a new header. Nothing is written here.
//!
//! ```text
//! open a slot -> replace, add, remove, in the requested order -> bind the rest to the new context (`bind`) -> Header
//! ```

use std::sync::Arc;

use super::candidates::{contexts, keys};
use super::choice::is_meant;
use super::trials::{Trials, Verdict};
use super::{Change, Rewrap, SlotChoice};
use crate::context::{EncryptionContext, ExpectedContext};
use crate::data_key::DataKey;
use crate::error::{Error, ProviderError, Result};
use crate::header::{Header, WrappedKey, check_slots};
use crate::keys::{KeyMatch, KeyProvider};
use crate::unlock::{Offer, OpenedSlot, no_usable_key, unlock_slot};

/// The result of planning.
pub(super) struct Planned {
    /// The new header; `None` if nothing changes.
    pub(super) header: Option<Header>,
    /// The slots that were dropped because they could not be bound to the new context, as `provider:key id`.
    pub(super) dropped: Vec<String>,
}

/// Plans the header that `rewrap` makes of this one. If a copy will be repaired (`repairs`), the object is always
/// opened, to prove that the header written over that copy is the right one. Adding a key takes the data key, so the
/// object is opened for that too, before anything is derived from its slots.
///
/// `is_payloads` compares the payload with the data key where a header alone cannot.
pub(super) async fn plan(
    rewrap: &Rewrap,
    header: &Header,
    repairs: bool,
    is_payloads: Option<PayloadCheck<'_>>,
) -> Result<Planned> {
    let adds = rewrap.changes.iter().any(|change| matches!(change, Change::Add(_)));
    let mut plan = Plan::begin(rewrap, header, rewrap.opens || repairs || adds, is_payloads).await?;
    for change in &rewrap.changes {
        match change {
            Change::Add(key) => plan.add(key).await?,
            Change::Replace(old, new) => plan.replace(old, new).await?,
            Change::Remove(old) => {
                for index in plan.chosen(old).await? {
                    plan.slots[index].state = State::Gone;
                }
            }
        }
    }
    plan.bind_rest().await?;
    plan.check_rest().await?;
    plan.finish()
}

/// Fails unless the payload is the one that was sealed under this data key.
pub(super) type PayloadCheck<'c> = &'c (dyn Fn(&DataKey) -> Result<()> + Sync);

/// A slot of the planned header.
pub(super) struct Slot {
    pub(super) wrapped: WrappedKey,
    pub(super) state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As found, under the old context.
    Found,
    /// As found, and requested: not to be removed.
    Kept,
    /// Newly wrapped, under the new context; known to hold this object's data key.
    Made,
    /// Newly wrapped by the key service, from a slot that was not opened: it may be another object's.
    Handed,
    /// Not in the new header.
    Gone,
}

impl State {
    /// The context that a slot is bound to.
    const fn context<'c>(self, from: &'c EncryptionContext, to: &'c EncryptionContext) -> &'c EncryptionContext {
        match self {
            Self::Made | Self::Handed => to,
            Self::Found | Self::Kept | Self::Gone => from,
        }
    }
}

/// How a slot for another key was wrapped.
enum Rewrapping {
    /// By the key service.
    ByService(WrappedKey),
    /// Not yet: we have to wrap the data key. Holds the service's refusal if it was called.
    ByUs(Option<ProviderError>),
}

pub(super) struct Plan<'a> {
    pub(super) rewrap: &'a Rewrap,
    header: &'a Header,
    /// All keys, including those to be added: the object may have been rewrapped before.
    pub(super) keys: Vec<Arc<dyn KeyProvider>>,
    /// The contexts that the object may have: the expected one, and the new one if the object may have been rewrapped.
    contexts: Vec<EncryptionContext>,
    pub(super) from: EncryptionContext,
    pub(super) to: EncryptionContext,
    opened: Option<OpenedSlot>,
    is_payloads: Option<PayloadCheck<'a>>,
    pub(super) slots: Vec<Slot>,
    pub(super) trials: Trials<'a>,
    pub(super) dropped: Vec<String>,
}

impl<'a> Plan<'a> {
    async fn begin(
        rewrap: &'a Rewrap,
        header: &'a Header,
        opens: bool,
        is_payloads: Option<PayloadCheck<'a>>,
    ) -> Result<Self> {
        let contexts = contexts(rewrap, header)?;
        let from = contexts[0].clone();
        let to = rewrap.context.clone().unwrap_or_else(|| from.clone());
        let slots = header.slots.iter().cloned().map(|wrapped| Slot {
            wrapped,
            state: State::Found,
        });
        let mut plan = Self {
            rewrap,
            header,
            keys: keys(rewrap),
            contexts,
            from,
            to,
            opened: None,
            is_payloads,
            slots: slots.collect(),
            trials: Trials::new(header, rewrap.decryptor.max_provider_calls),
            dropped: Vec::new(),
        };
        if opens {
            plan.open().await?;
        }
        Ok(plan)
    }

    /// Finds the data key, and which context the object has.
    pub(super) async fn open(&mut self) -> Result<()> {
        let mut first_error = None;
        for (number, context) in self.contexts.iter().enumerate() {
            let offer = Offer {
                providers: &self.keys,
                context: &ExpectedContext::Exact(context.clone()),
                max_provider_calls: self.rewrap.decryptor.max_provider_calls,
                // Each run of Argon2id is expensive, and one slot could be crafted for both contexts.
                guessable: number == 0,
            };
            match unlock_slot(self.header, &offer).await {
                Ok(opened) => {
                    if let Some(check) = self.is_payloads {
                        check(&opened.data_key)?;
                    }
                    let slot = &self.header.slots[opened.slot];
                    self.trials.opened(&self.keys[opened.provider], slot, context);
                    self.opened = Some(opened);
                    self.from = context.clone();
                    if self.rewrap.context.is_none() {
                        self.to = context.clone();
                    }
                    return Ok(());
                }
                // The service would be called, and waited for, again.
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| no_usable_key(self.header, Vec::new())))
    }

    async fn data_key(&mut self) -> Result<&DataKey> {
        if self.opened.is_none() {
            self.open().await?;
        }
        match &self.opened {
            Some(opened) => Ok(&opened.data_key),
            None => Err(no_usable_key(self.header, Vec::new())),
        }
    }

    async fn wrap(&mut self, key: &dyn KeyProvider) -> Result<WrappedKey> {
        let to = self.to.clone();
        Ok(key.wrap_key(self.data_key().await?, &to).await?)
    }

    async fn add(&mut self, key: &Arc<dyn KeyProvider>) -> Result<()> {
        let made = self.wrap(key.as_ref()).await?;
        let present = self.present(key, &made).await?;
        self.put(made, present, None);
        Ok(())
    }

    async fn replace(&mut self, old: &SlotChoice, new: &Arc<dyn KeyProvider>) -> Result<()> {
        let chosen = self.chosen(old).await?;
        if chosen.is_empty() && !self.rewrap.opens && self.keeps_own(new.as_ref()) {
            return Ok(());
        }
        let made = match self.rewrap_chosen(&chosen, new.as_ref()).await? {
            Rewrapping::ByService(made) if !self.is_open() => {
                self.hand_on(&chosen, &made);
                return Ok(());
            }
            Rewrapping::ByService(made) => made,
            Rewrapping::ByUs(refusal) => match (self.wrap(new.as_ref()).await, refusal) {
                (Ok(made), _) => made,
                // The refusal is the error to fix: wrapping the data key was only the fallback.
                (Err(error), Some(refusal)) if !error.is_retryable() => return Err(refusal.into()),
                (Err(error), _) => return Err(error),
            },
        };
        let present = self.present(new, &made).await?;
        if chosen.is_empty() && present.is_none() {
            let reason = "it has none of the slots that were to be replaced".to_owned();
            return Err(no_usable_key(self.header, vec![reason]));
        }
        for &index in &chosen {
            self.slots[index].state = State::Gone;
        }
        self.put(made, present, chosen.first().copied());
        Ok(())
    }

    /// Replaces the chosen slot by the one that the service made of it. Nothing shows which slots hold this object's
    /// data key, so no other slot is replaced, whatever its name.
    fn hand_on(&mut self, chosen: &[usize], wrapped: &WrappedKey) {
        for &index in chosen {
            let slot = &mut self.slots[index];
            if slot.wrapped.name() == wrapped.name() && self.from == self.to {
                // It was already present.
                slot.state = State::Kept;
            } else {
                let (wrapped, state) = (wrapped.clone(), State::Handed);
                *slot = Slot { wrapped, state };
            }
        }
    }

    /// Whether a slot certainly belongs to this key: without opening it, it is taken for the result of an earlier run.
    fn keeps_own(&mut self, key: &dyn KeyProvider) -> bool {
        if self.changes_context() {
            return false;
        }
        let is_own = |slot: &&mut Slot| {
            let wrapped = &slot.wrapped;
            slot.state == State::Found && wrapped.provider == key.id() && key.matches(wrapped) == KeyMatch::Yes
        };
        let own = self.slots.iter_mut().find(is_own);
        own.map(|slot| slot.state = State::Kept).is_some()
    }

    /// Asks the provider to rewrap one of the chosen slots without revealing the data key. That slot must be known to
    /// open: otherwise the result might not open, and the other slots are removed.
    async fn rewrap_chosen(&self, chosen: &[usize], new: &dyn KeyProvider) -> Result<Rewrapping> {
        let source = match (&self.opened, chosen) {
            (Some(opened), _) => chosen.iter().copied().find(|&index| index == opened.slot),
            // One would be kept and the others lost, and none is known to be this object's.
            (None, [_, _, ..]) => return Err(self.ambiguous(chosen)),
            (None, _) => chosen.first().copied(),
        };
        let Some(source) = source.map(|index| &self.slots[index].wrapped) else {
            return Ok(Rewrapping::ByUs(None));
        };
        if source.provider != new.id() || !new.can_rewrap(source) {
            return Ok(Rewrapping::ByUs(None));
        }
        match new.rewrap_key(source, &self.from, &self.to).await {
            Ok(made) => Ok(Rewrapping::ByService(made)),
            // The data key is available, so that it can be wrapped instead.
            Err(error) if self.opened.is_some() && !error.is_retryable() => Ok(Rewrapping::ByUs(Some(error))),
            Err(error) => Err(error.into()),
        }
    }

    fn ambiguous(&self, chosen: &[usize]) -> Error {
        let names = chosen.iter().map(|&index| self.slots[index].wrapped.name());
        Error::AmbiguousSlots { slots: names.collect() }
    }

    /// The slot of `key` that already exists and opens. `made` is what a new one looks like.
    async fn present(&mut self, key: &Arc<dyn KeyProvider>, made: &WrappedKey) -> Result<Option<usize>> {
        for (index, slot) in self.slots.iter().enumerate() {
            let wrapped = &slot.wrapped;
            if slot.state == State::Gone || wrapped.provider != made.provider {
                continue;
            }
            // Every wrap by a passphrase has another key id.
            let is_guessable = || matches!(key.matches(wrapped), KeyMatch::Guessable(_));
            if wrapped.key_id != made.key_id && !is_guessable() {
                continue;
            }
            let context = slot.state.context(&self.from, &self.to);
            if let Verdict::Opens = self.trials.ask(key, wrapped, context).await? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Keeps the slot that is present, or inserts the new one: at `place`, or after the others.
    fn put(&mut self, made: WrappedKey, present: Option<usize>, place: Option<usize>) {
        let is_new = |state| matches!(state, State::Made | State::Handed);
        let keeps = present.filter(|&index| is_new(self.slots[index].state) || !self.changes_context());
        if let Some(index) = keeps {
            // It is known to open.
            let state = &mut self.slots[index].state;
            *state = if is_new(*state) { State::Made } else { State::Kept };
            return;
        }
        // A slot of the same name does not open, or is bound to the old context.
        for slot in &mut self.slots {
            if slot.wrapped.provider == made.provider && slot.wrapped.key_id == made.key_id {
                slot.state = State::Gone;
            }
        }
        let made = Slot {
            wrapped: made,
            state: State::Made,
        };
        match present.or(place) {
            Some(index) => self.slots[index] = made,
            None => self.slots.push(made),
        }
    }

    /// The slots that `choice` selects, among those that no earlier change has affected.
    async fn chosen(&mut self, choice: &SlotChoice) -> Result<Vec<usize>> {
        let mut chosen = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.state != State::Found {
                continue;
            }
            for part in choice.parts() {
                if is_meant(part, &slot.wrapped, &self.from, &mut self.trials).await? {
                    chosen.push(index);
                    break;
                }
            }
        }
        Ok(chosen)
    }

    /// Whether the data key is available, so that slots can be proven to be this object's.
    pub(super) const fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    pub(super) fn changes_context(&self) -> bool {
        self.from != self.to
    }

    /// Checks that one of the remaining slots is known to open, unless the caller opted out: anyone who can write the
    /// header may have added the others.
    async fn check_rest(&mut self) -> Result<()> {
        let Some(opened) = self.opened.as_ref().filter(|_| self.rewrap.opens) else {
            return Ok(());
        };
        let opened = opened.slot;
        let left: Vec<_> = (0..self.slots.len())
            .filter(|&index| self.slots[index].state != State::Gone)
            .collect();
        let is_known = |&index: &usize| index == opened || self.slots[index].state == State::Made;
        if left.is_empty() || left.iter().any(is_known) {
            return Ok(());
        }
        for &index in &left {
            let Slot { wrapped, state } = &self.slots[index];
            let context = state.context(&self.from, &self.to);
            for key in self.keys.iter().filter(|key| key.id() == wrapped.provider) {
                let may_open = !matches!(key.matches(wrapped), KeyMatch::No(_));
                if may_open && matches!(self.trials.ask(key, wrapped, context).await?, Verdict::Opens) {
                    return Ok(());
                }
            }
        }
        let names = left.iter().map(|&index| self.slots[index].wrapped.name());
        Err(Error::UnprovedSlots { slots: names.collect() })
    }

    fn finish(self) -> Result<Planned> {
        // Rebinding turns versions of one key into the newest one. One slot is then enough, because both are known to
        // hold this object's key. If that is not known, all are kept.
        let (mut slots, mut made) = (Vec::new(), Vec::new());
        for Slot { wrapped, state } in self.slots.into_iter().filter(|slot| slot.state != State::Gone) {
            if state == State::Made {
                let name = wrapped.name();
                if made.contains(&name) {
                    continue;
                }
                made.push(name);
            }
            slots.push(wrapped);
        }
        if slots.is_empty() {
            return Err(Error::LastSlot);
        }
        let (context, dropped) = (self.to.to_stored(), self.dropped);
        if slots == self.header.slots && context == self.header.context {
            return Ok(Planned { header: None, dropped });
        }
        check_slots(&slots)?;
        let header = Header {
            generation: self.header.generation.checked_add(1).ok_or(Error::GenerationLimit)?,
            context,
            slots,
            ..self.header.clone()
        };
        // Too large a header is reported here, not when it is stored.
        header.to_detached()?;
        Ok(Planned {
            header: Some(header),
            dropped,
        })
    }
}
