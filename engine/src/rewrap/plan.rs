//! From the slots that a header has to those that were asked for. Nothing is written here.
//!
//! ```text
//! open a slot -> replace, add, remove, in the order asked for -> bind the rest to the new context -> Header
//! ```

use std::sync::Arc;

use super::candidates::{contexts, keys};
use super::choice::{is_meant, is_not_its_key};
use super::{Change, Rewrap, SlotChoice};
use crate::context::{EncryptionContext, ExpectedContext};
use crate::error::{Error, ProviderError, Result};
use crate::header::{Header, PASSPHRASE, WrappedKey, check_slots};
use crate::keys::DataKey;
use crate::provider::{KeyMatch, KeyProvider};
use crate::unlock::{Offer, Unlocked, no_usable_key, try_slot, unlock_slot};

/// The header that `rewrap` makes of this one; `None` if it would say the same.
pub(super) async fn plan(rewrap: &Rewrap, header: &Header) -> Result<Option<Header>> {
    let mut plan = Plan::begin(rewrap, header).await?;
    for change in &rewrap.changes {
        match change {
            Change::Add(key) => plan.add(key.as_ref()).await?,
            Change::Replace(old, new) => plan.replace(old, new.as_ref()).await?,
            Change::Remove(old) => {
                for index in plan.chosen(old).await? {
                    plan.slots[index].state = State::Gone;
                }
            }
        }
    }
    plan.bind_rest().await?;
    plan.finish()
}

/// A slot of the new header to be.
struct Slot {
    wrapped: WrappedKey,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it was found, under the old context.
    Found,
    /// The same, and asked for: not to be removed.
    Kept,
    /// Wrapped just now, under the new context.
    Made,
    /// Not in the new header.
    Gone,
}

/// How a slot came to be wrapped for another key.
enum Anew {
    /// By the key service.
    Made(WrappedKey),
    /// Not yet: the data key has to be wrapped by us. If the service was asked, it refused.
    ByUs(Option<ProviderError>),
}

struct Plan<'a> {
    rewrap: &'a Rewrap,
    header: &'a Header,
    /// Every key there is, those that are to be added too: the object may have been rewrapped before.
    keys: Vec<Arc<dyn KeyProvider>>,
    /// The contexts that the object may have: the expected one, and the new one if this was done before.
    contexts: Vec<EncryptionContext>,
    from: EncryptionContext,
    to: EncryptionContext,
    opened: Option<Unlocked>,
    slots: Vec<Slot>,
}

impl<'a> Plan<'a> {
    async fn begin(rewrap: &'a Rewrap, header: &'a Header) -> Result<Self> {
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
            slots: slots.collect(),
        };
        if rewrap.opens {
            plan.open().await?;
        }
        Ok(plan)
    }

    /// Finds the data key, and with it which context the object has.
    async fn open(&mut self) -> Result<()> {
        let mut first_error = None;
        for context in &self.contexts {
            let offer = Offer {
                providers: &self.keys,
                context: &ExpectedContext::Exact(context.clone()),
                max_provider_calls: self.rewrap.decryptor.max_provider_calls,
                backend: self.rewrap.decryptor.backend,
            };
            match unlock_slot(self.header, &offer).await {
                Ok(opened) => {
                    self.opened = Some(opened);
                    self.from = context.clone();
                    if self.rewrap.context.is_none() {
                        self.to = context.clone();
                    }
                    return Ok(());
                }
                // It would be asked again, and waited for again.
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
        Ok(key.wrap(self.data_key().await?, &to).await?)
    }

    async fn add(&mut self, key: &dyn KeyProvider) -> Result<()> {
        let made = self.wrap(key).await?;
        let present = self.present(key, &made).await?;
        self.put(made, present, None);
        Ok(())
    }

    async fn replace(&mut self, old: &SlotChoice, new: &dyn KeyProvider) -> Result<()> {
        let chosen = self.chosen(old).await?;
        if chosen.is_empty() && !self.rewrap.opens && self.keeps_own(new) {
            return Ok(());
        }
        let made = match self.anew(&chosen, new).await? {
            Anew::Made(made) => made,
            Anew::ByUs(refusal) => match (self.wrap(new).await, refusal) {
                (Ok(made), _) => made,
                // The first way is the one to be mended.
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

    /// Whether there is a slot that is surely of this key: without opening it, it is taken for what an earlier run put
    /// there.
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

    /// Has the provider wrap one of the chosen slots anew, without our seeing the key. The slot has to be one that is
    /// known to open, or else what comes of it might not, and the others are gone.
    async fn anew(&self, chosen: &[usize], new: &dyn KeyProvider) -> Result<Anew> {
        let source = match &self.opened {
            Some(opened) => chosen.iter().copied().find(|&index| index == opened.slot),
            None => chosen.first().copied(),
        };
        let Some(source) = source.map(|index| &self.slots[index].wrapped) else {
            return Ok(Anew::ByUs(None));
        };
        if source.provider != new.id() || !new.can_rewrap(source) {
            return Ok(Anew::ByUs(None));
        }
        match new.rewrap(source, &self.from, &self.to).await {
            Ok(made) => Ok(Anew::Made(made)),
            // With the data key at hand there is another way.
            Err(error) if self.opened.is_some() && !error.is_retryable() => Ok(Anew::ByUs(Some(error))),
            Err(error) => Err(error.into()),
        }
    }

    /// The slot of `key` that is there already, and opens. `made` is what a new one looks like.
    async fn present(&self, key: &dyn KeyProvider, made: &WrappedKey) -> Result<Option<usize>> {
        for (index, slot) in self.slots.iter().enumerate() {
            let wrapped = &slot.wrapped;
            // No two wraps by a passphrase have the same key id.
            let same_key =
                wrapped.provider == made.provider && (wrapped.key_id == made.key_id || wrapped.provider == PASSPHRASE);
            if slot.state == State::Gone || !same_key {
                continue;
            }
            let context = if slot.state == State::Made {
                &self.to
            } else {
                &self.from
            };
            match try_slot(self.header, key, wrapped, context).await {
                Ok(_) => return Ok(Some(index)),
                Err(error) if error.is_retryable() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Keeps the slot that is present, or has the new one: in that `place`, or behind the others.
    fn put(&mut self, made: WrappedKey, present: Option<usize>, place: Option<usize>) {
        let keeps = present.filter(|&index| self.slots[index].state == State::Made || !self.changes_context());
        if let Some(index) = keeps {
            if self.slots[index].state != State::Made {
                self.slots[index].state = State::Kept;
            }
            return;
        }
        // One of the same name does not open, or is bound to the old context.
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

    /// The slots that are meant, but for those that were asked for.
    async fn chosen(&self, choice: &SlotChoice) -> Result<Vec<usize>> {
        let mut chosen = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.state != State::Found {
                continue;
            }
            for part in choice.parts() {
                if self.was_opened_by(part, index) || is_meant(part, &slot.wrapped, &self.from).await? {
                    chosen.push(index);
                    break;
                }
            }
        }
        Ok(chosen)
    }

    /// Whether it is by this key that the slot was opened: it need not be asked again.
    fn was_opened_by(&self, choice: &SlotChoice, index: usize) -> bool {
        let opened = self.opened.as_ref().filter(|opened| opened.slot == index);
        opened.is_some_and(
            |opened| matches!(choice, SlotChoice::Key(key) if Arc::ptr_eq(key, &self.keys[opened.provider])),
        )
    }

    fn changes_context(&self) -> bool {
        self.from != self.to
    }

    /// Binds every slot that is left to the new context.
    async fn bind_rest(&mut self) -> Result<()> {
        if !self.changes_context() {
            return Ok(());
        }
        let mut unreachable = Vec::new();
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].state, State::Found | State::Kept) {
                continue;
            }
            match self.rebound(&self.slots[index].wrapped).await? {
                Some(wrapped) => {
                    self.slots[index] = Slot {
                        wrapped,
                        state: State::Made,
                    };
                }
                None => {
                    unreachable.push(self.slots[index].wrapped.name());
                    self.slots[index].state = State::Gone;
                }
            }
        }
        if unreachable.is_empty() || self.rewrap.drop_unreachable {
            return Ok(());
        }
        Err(Error::UnreachableSlots { slots: unreachable })
    }

    /// The slot under the new context; `None` if none of the keys is its own. A key that is and fails is an error:
    /// a mistyped passphrase, or a service that is down, is no reason to lose a slot.
    async fn rebound(&self, slot: &WrappedKey) -> Result<Option<WrappedKey>> {
        let mut failed: Option<ProviderError> = None;
        for key in self.keys.iter().filter(|key| key.id() == slot.provider) {
            let fit = key.matches(slot);
            if matches!(fit, KeyMatch::No(_)) {
                continue;
            }
            match key.rebind(slot, &self.from, &self.to).await {
                Ok(wrapped) => return Ok(Some(wrapped)),
                Err(error) if fit == KeyMatch::Yes || !is_not_its_key(&error) => {
                    failed.get_or_insert(error);
                }
                Err(_) => {}
            }
        }
        failed.map_or(Ok(None), |error| Err(error.into()))
    }

    fn finish(self) -> Result<Option<Header>> {
        let mut slots: Vec<WrappedKey> = Vec::new();
        for slot in self.slots.into_iter().filter(|slot| slot.state != State::Gone) {
            let made = slot.state == State::Made;
            // Versions of one key become the newest one when they are wrapped anew.
            let is_double = made && slots.iter().any(|other| other.name() == slot.wrapped.name());
            if !is_double {
                slots.push(slot.wrapped);
            }
        }
        if slots.is_empty() {
            return Err(Error::LastSlot);
        }
        let context = self.to.to_stored();
        if slots == self.header.slots && context == self.header.context {
            return Ok(None);
        }
        check_slots(&slots)?;
        let header = Header {
            generation: self.header.generation.checked_add(1).ok_or(Error::GenerationLimit)?,
            context,
            slots,
            ..self.header.clone()
        };
        // Whoever stores it must not be the first to learn that it is too large.
        header.to_detached()?;
        Ok(Some(header))
    }
}
