//! From a header and the caller's keys to the cipher of the chunks.
//!
//! ```text
//! context compared (no call yet) -> slots that match an offered key -> unwrap, a bounded number of times
//!     -> keys derived -> commitment compared in constant time -> cipher
//! ```

use std::sync::Arc;

use crate::cipher::{Backend, ChunkCipher};
use crate::context::{EncryptionContext, ExpectedContext};
use crate::error::{Error, Result};
use crate::header::{Header, WrappedKey};
use crate::keys::ContentKeys;
use crate::provider::{KeyMatch, KeyProvider};

/// What a caller offers and allows when opening an object.
pub(crate) struct Offer<'a> {
    pub(crate) providers: &'a [Arc<dyn KeyProvider>],
    pub(crate) context: &'a ExpectedContext,
    pub(crate) max_provider_calls: usize,
    pub(crate) backend: Backend,
}

/// Finds the key that the payload was sealed under.
///
/// # Errors
/// [`Error::ContextMismatch`], [`Error::NoUsableKey`], [`Error::Provider`], [`Error::CommitmentMismatch`]. If several
/// slots were tried, the error of the first.
pub(crate) async fn unlock(header: &Header, offer: &Offer<'_>) -> Result<ChunkCipher> {
    let context = offer.context.resolve(header.context())?;
    let candidates = candidates(header, offer.providers)?;
    let mut first_error = None;
    for (provider, slot) in candidates.into_iter().take(offer.max_provider_calls) {
        match try_slot(header, provider, slot, &context, offer.backend).await {
            Ok(cipher) => return Ok(cipher),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| no_usable_key(header, Vec::new())))
}

/// The slots worth a call: those that surely match first.
fn candidates<'a>(
    header: &'a Header,
    providers: &'a [Arc<dyn KeyProvider>],
) -> Result<Vec<(&'a dyn KeyProvider, &'a WrappedKey)>> {
    let (mut sure, mut possible, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for provider in providers.iter().map(Arc::as_ref) {
        for slot in header.slots().iter().filter(|slot| slot.provider == provider.id()) {
            match provider.matches(slot) {
                KeyMatch::Yes => sure.push((provider, slot)),
                KeyMatch::Maybe => possible.push((provider, slot)),
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

fn no_usable_key(header: &Header, reasons: Vec<String>) -> Error {
    Error::NoUsableKey {
        slots: header.slots().iter().map(WrappedKey::name).collect(),
        reasons,
    }
}

async fn try_slot(
    header: &Header,
    provider: &dyn KeyProvider,
    slot: &WrappedKey,
    context: &EncryptionContext,
    backend: Backend,
) -> Result<ChunkCipher> {
    let data_key = provider.unwrap(slot, context).await?;
    let keys = ContentKeys::derive(
        &data_key,
        header.suite,
        header.chunk_size,
        &header.salt,
        &header.payload_context(),
    );
    drop(data_key);
    if !keys.commits_to(&header.commitment) {
        return Err(Error::CommitmentMismatch { slot: slot.name() });
    }
    Ok(ChunkCipher::new(backend, header.suite, &keys))
}
