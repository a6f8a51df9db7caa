//! From a header and the caller's keys to the cipher of the chunks.
//!
//! ```text
//! context compared (no call yet) -> slots that match an offered key -> unwrap, a bounded number of times
//!     -> keys derived -> commitment compared in constant time -> cipher
//! ```

use std::sync::Arc;

use crate::cipher::{Backend, ChunkCipher};
use crate::context::{EncryptionContext, ExpectedContext};
use crate::error::{Error, ProviderErrorClass, Result};
use crate::header::{Header, PASSPHRASE, WrappedKey};
use crate::keys::{ContentKeys, DataKey};
use crate::provider::{KeyMatch, KeyProvider, wrong_passphrase};

/// What a caller offers and allows when opening an object.
pub(crate) struct Offer<'a> {
    pub(crate) providers: &'a [Arc<dyn KeyProvider>],
    pub(crate) context: &'a ExpectedContext,
    pub(crate) max_provider_calls: usize,
    /// Whether passphrases are among what is tried: not again after they were, under another context.
    pub(crate) passphrases: bool,
    pub(crate) backend: Backend,
}

/// A slot that was opened: its data key is the one that this payload was sealed under.
pub(crate) struct OpenedSlot {
    pub(crate) data_key: DataKey,
    /// Which of the header's slots it was, and which of the offered providers opened it.
    pub(crate) slot: usize,
    pub(crate) provider: usize,
    keys: ContentKeys,
}

/// Finds the key that the payload was sealed under, and makes the cipher of its chunks.
///
/// # Errors
/// As [`unlock_slot`].
pub(crate) async fn unlock(header: &Header, offer: &Offer<'_>) -> Result<ChunkCipher> {
    let OpenedSlot { data_key, keys, .. } = unlock_slot(header, offer).await?;
    drop(data_key);
    Ok(ChunkCipher::new(offer.backend, header.suite, &keys))
}

/// Finds a slot that opens.
///
/// # Errors
/// [`Error::ContextMismatch`], [`Error::NoUsableKey`], [`Error::Provider`], [`Error::CommitmentMismatch`]. If several
/// slots were tried, one that may pass by itself, else that of the first.
pub(crate) async fn unlock_slot(header: &Header, offer: &Offer<'_>) -> Result<OpenedSlot> {
    let context = offer.context.resolve(header.context())?;
    let candidates = candidates(header, offer)?;
    let mut failed: Option<Error> = None;
    // A service that does not answer is not waited for again.
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

/// The slots worth a call, each with the provider to ask: those that surely match first.
fn candidates(header: &Header, offer: &Offer<'_>) -> Result<Vec<(usize, usize)>> {
    let (mut sure, mut possible, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (number, provider) in offer.providers.iter().enumerate() {
        if provider.id() == PASSPHRASE && !offer.passphrases {
            continue;
        }
        let slots = header.slots().iter().enumerate();
        for (index, slot) in slots.filter(|(_, slot)| slot.provider == provider.id()) {
            match provider.matches(slot) {
                KeyMatch::Yes => sure.push((number, index)),
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
/// A passphrase's slot can be made to unwrap under each of many passphrases, with a key of none of which the payload was
/// sealed: to tell this from a slot that does not unwrap would tell which passphrase it is, many at a time. So there is
/// one error for both, after the same work.
///
/// # Errors
/// [`Error::Provider`], [`Error::CommitmentMismatch`].
pub(crate) async fn try_slot(
    header: &Header,
    provider: &dyn KeyProvider,
    slot: &WrappedKey,
    context: &EncryptionContext,
) -> Result<(DataKey, ContentKeys)> {
    let is_passphrase = slot.provider == PASSPHRASE;
    let (data_key, refused) = match provider.unwrap(slot, context).await {
        Ok(data_key) => (data_key, None),
        // Any key will do for the rest of the work.
        Err(error) if is_passphrase && error.class == ProviderErrorClass::BadCiphertext => {
            (DataKey::filled_by(|_| {}), Some(error))
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
    match refused {
        Some(error) => Err(error.into()),
        None if commits => Ok((data_key, keys)),
        None if is_passphrase => Err(wrong_passphrase(slot).into()),
        None => Err(Error::CommitmentMismatch { slot: slot.name() }),
    }
}
