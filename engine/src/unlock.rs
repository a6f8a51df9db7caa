//! Turns a header and the caller's keys into the object's data key.
//!
//! ```text
//! context compared (no call yet) -> slots that match an offered key -> unwrap, a bounded number of times
//!     -> keys derived -> commitment compared in constant time -> data key
//! ```

use std::sync::Arc;

use crate::context::{EncryptionContext, ExpectedContext};
use crate::data_key::{ContentKeys, DataKey};
use crate::error::{Error, ProviderErrorClass, Result};
use crate::header::{Header, WrappedKey};
use crate::keys::{KeyMatch, KeyProvider, refused};

/// The keys that a caller offers for opening an object, and its limits.
pub(crate) struct Offer<'a> {
    pub(crate) providers: &'a [Arc<dyn KeyProvider>],
    pub(crate) context: &'a ExpectedContext,
    pub(crate) max_provider_calls: usize,
    /// Whether guessable keys are tried; `false` once they were tried under another context.
    pub(crate) guessable: bool,
}

/// An opened slot, with the data key that this payload was sealed under.
pub(crate) struct OpenedSlot {
    pub(crate) data_key: DataKey,
    /// The index of the slot in the header, and of the provider among those offered.
    pub(crate) slot: usize,
    pub(crate) provider: usize,
    /// What the header's commitment is to.
    pub(crate) keys: ContentKeys,
}

/// Finds a slot that opens.
///
/// # Errors
/// [`Error::ContextMismatch`], [`Error::NoUsableKey`], [`Error::Provider`], [`Error::CommitmentMismatch`]. If several
/// slots were tried, a retryable error, or else the first one.
pub(crate) async fn unlock_slot(header: &Header, offer: &Offer<'_>) -> Result<OpenedSlot> {
    let context = offer.context.resolve(header.context())?;
    let candidates = candidates(header, offer)?;
    let mut failed: Option<Error> = None;
    // A service that did not respond is not called again.
    let mut away = Vec::new();
    for (provider, slot) in candidates.into_iter().take(offer.max_provider_calls) {
        if away.contains(&provider) {
            continue;
        }
        match try_slot(
            header,
            offer.providers[provider].as_ref(),
            &header.slots[slot],
            &context,
        )
        .await
        {
            Ok((data_key, keys)) => {
                return Ok(OpenedSlot {
                    data_key,
                    slot,
                    provider,
                    keys,
                });
            }
            Err(error) if error.is_retryable() => {
                away.push(provider);
                failed = Some(error);
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    Err(failed.unwrap_or_else(|| no_usable_key(header, Vec::new())))
}

/// The slots worth a call, each with the provider to call; certain matches come first.
fn candidates(header: &Header, offer: &Offer<'_>) -> Result<Vec<(usize, usize)>> {
    let (mut sure, mut possible, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (number, provider) in offer.providers.iter().enumerate() {
        let slots = header.slots().iter().enumerate();
        for (index, slot) in slots.filter(|(_, slot)| slot.provider == provider.id()) {
            match provider.matches(slot) {
                KeyMatch::Guessable(_) if !offer.guessable => {}
                KeyMatch::Yes | KeyMatch::Guessable(_) => sure.push((number, index)),
                KeyMatch::Maybe => possible.push((number, index)),
                KeyMatch::No(reason) => reasons.extend(reason),
            }
        }
    }
    sure.append(&mut possible);
    if sure.is_empty() {
        return Err(no_usable_key(header, reasons));
    }
    Ok(sure)
}

pub(crate) fn no_usable_key(header: &Header, reasons: Vec<String>) -> Error {
    Error::NoUsableKey {
        slots: header.slots().iter().map(WrappedKey::name).collect(),
        reasons,
    }
}

/// Opens one slot, and checks that its key is the payload's.
///
/// A slot of a guessable key can be crafted to unwrap under many guesses, to a key that the payload was not sealed
/// under. Distinguishing it from a slot that does not unwrap would reveal whether the right guess is one of them. So
/// both take the same work and return the same error.
///
/// # Errors
/// [`Error::Provider`], [`Error::CommitmentMismatch`].
pub(crate) async fn try_slot(
    header: &Header,
    provider: &dyn KeyProvider,
    slot: &WrappedKey,
    context: &EncryptionContext,
) -> Result<(DataKey, ContentKeys)> {
    let guessable = match provider.matches(slot) {
        KeyMatch::Guessable(wrong) => Some(wrong),
        _ => None,
    };
    let (data_key, unwraps) = match provider.unwrap_key(slot, context).await {
        Ok(data_key) => (data_key, true),
        // Any key will do for the remaining work.
        Err(error) if guessable.is_some() && error.class == ProviderErrorClass::BadCiphertext => {
            (DataKey::init_with(|_| {}), false)
        }
        Err(error) => return Err(error.into()),
    };
    let keys = ContentKeys::derive(
        &data_key,
        header.suite,
        header.chunk_size,
        &header.salt,
        &header.payload_context(),
    );
    let commits = keys.commits_to(&header.commitment);
    if unwraps && commits {
        return Ok((data_key, keys));
    }
    Err(match guessable {
        Some(wrong) => refused(slot, &wrong).into(),
        None => Error::CommitmentMismatch { slot: slot.name() },
    })
}
