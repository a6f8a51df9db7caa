//! Binding slots to another context.
//!
//! ```text
//! slot -> does it unwrap to this object's data key? -> yes: bound by the key that unwrapped it
//!                                                   -> no:  reported, and dropped only on request
//! ```
//!
//! Storage can insert slots of other objects into a header. Binding one unchecked would let it take the name, and so
//! the place, of this object's own slot, or would bind another object's data key to the new context.

use super::plan::{Plan, Slot, State};
use super::trials::Verdict;
use crate::error::{Error, ProviderError, Result};
use crate::header::WrappedKey;
use crate::keys::KeyMatch;

/// The result of trying to bind a slot.
enum Found {
    /// It is this object's, and is now bound to the new context.
    Bound(WrappedKey),
    /// It is not this object's: its key unwraps another data key.
    Foreign,
    /// Its own key does not unwrap it: either the key is wrong, such as a mistyped passphrase, or the slot is.
    Refused(ProviderError),
    /// None of the offered keys is its own.
    Unreachable,
}

/// The slots to bind, by result.
#[derive(Default)]
struct Rest {
    bound: Vec<(usize, WrappedKey)>,
    foreign: Vec<usize>,
    unreachable: Vec<usize>,
}

impl Plan<'_> {
    /// Binds every remaining slot to the new context.
    ///
    /// # Errors
    /// [`Error::ForeignSlots`], [`Error::UnreachableSlots`], unless such slots are to be dropped; a key's own error,
    /// because a mistyped passphrase or an unavailable service is no reason to lose a slot.
    pub(super) async fn bind_rest(&mut self) -> Result<()> {
        if !self.changes_context() {
            return Ok(());
        }
        let mut rest = self.try_to_bind().await?;
        let drops = !rest.foreign.is_empty() || !rest.unreachable.is_empty();
        if drops && self.rewrap.drop_unreachable && !self.is_open() {
            // The slots that can be bound may be another object's, and the others may be all that open this one.
            self.open().await?;
            if !self.changes_context() {
                return Ok(());
            }
            rest = self.try_to_bind().await?;
        }
        self.drop_slots(&rest.foreign, |slots| Error::ForeignSlots { slots })?;
        self.drop_slots(&rest.unreachable, |slots| Error::UnreachableSlots { slots })?;
        for (index, wrapped) in rest.bound {
            let state = if self.is_open() { State::Made } else { State::Handed };
            self.slots[index] = Slot { wrapped, state };
        }
        Ok(())
    }

    /// Tries to bind the remaining slots. None is changed.
    async fn try_to_bind(&mut self) -> Result<Rest> {
        let mut refused = Vec::new();
        let Rest {
            mut bound,
            mut foreign,
            mut unreachable,
        } = Rest::default();
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].state, State::Found | State::Kept) {
                continue;
            }
            match self.bind(index).await? {
                Found::Bound(wrapped) => bound.push((index, wrapped)),
                Found::Foreign => foreign.push(index),
                Found::Refused(error) => refused.push((index, error)),
                Found::Unreachable => unreachable.push(index),
            }
        }
        // If the same key opens another slot of the same name, the slot is wrong and not the key.
        for (index, error) in refused {
            let same_name = |&(other, _): &(usize, WrappedKey)| self.name(other) == self.name(index);
            if !self.is_open() || !bound.iter().any(same_name) || !Verdict::is_not_its_key(&error) {
                return Err(error.into());
            }
            foreign.push(index);
        }
        Ok(Rest {
            bound,
            foreign,
            unreachable,
        })
    }

    /// Removes slots that cannot be bound, if that was requested.
    fn drop_slots(&mut self, indices: &[usize], error: impl FnOnce(Vec<String>) -> Error) -> Result<()> {
        let names: Vec<_> = indices.iter().map(|&index| self.name(index)).collect();
        if !names.is_empty() && !self.rewrap.drop_unreachable {
            return Err(error(names));
        }
        self.dropped.extend(names);
        for &index in indices {
            self.slots[index].state = State::Gone;
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.slots[index].wrapped.name()
    }

    async fn bind(&mut self, index: usize) -> Result<Found> {
        let slot = self.slots[index].wrapped.clone();
        let (mut is_foreign, mut refused) = (false, None);
        for key in self.keys.clone().iter().filter(|key| key.id() == slot.provider) {
            let fit = key.matches(&slot);
            if matches!(fit, KeyMatch::No(_)) {
                continue;
            }
            // A slot that the key service can rebind cannot be compared without the data key: the caller has chosen to
            // trust the header. Any other slot is unwrapped to be bound, and so is compared.
            let verdict = if self.is_open() || !key.can_rewrap(&slot) {
                self.trials.ask(key, &slot, &self.from).await?
            } else {
                self.trials.count()?;
                Verdict::Opens
            };
            let error = match verdict {
                Verdict::Opens => match key.rebind_key(&slot, &self.from, &self.to).await {
                    Ok(wrapped) => return Ok(Found::Bound(wrapped)),
                    Err(error) if self.is_open() || error.is_retryable() => return Err(error.into()),
                    Err(error) => error,
                },
                Verdict::Refused(error) => error,
                Verdict::Foreign => {
                    is_foreign = true;
                    continue;
                }
            };
            if matches!(fit, KeyMatch::Yes | KeyMatch::Guessable(_)) || !Verdict::is_not_its_key(&error) {
                refused.get_or_insert(error);
            }
        }
        Ok(match refused {
            Some(error) => Found::Refused(error),
            None if is_foreign => Found::Foreign,
            None => Found::Unreachable,
        })
    }
}
