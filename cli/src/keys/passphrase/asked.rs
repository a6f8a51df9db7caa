//! A passphrase that a person typed, tried on each object before it is used.

use std::sync::{Arc, OnceLock};

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::{DataKey, Decryptor, EncryptionContext, Error, ExpectedContext, Header, KeyProvider, Passphrase};

use super::{Provider, provider};
use crate::exit::Failure;
use crate::prompt;
use crate::report::Report;

/// How often a person may try.
const TRIES: usize = 3;

/// A passphrase that a person typed.
#[derive(Debug, Clone)]
pub(crate) struct Asked(Arc<Passphrase>);

impl Asked {
    /// The passphrase for an object, as a provider: `earlier` if that opens it, or what a person types within three
    /// tries. Without the object's context nothing can be tried beforehand, and what is typed first is taken.
    pub(crate) fn for_object(
        earlier: Option<&Self>,
        (header, context): (&Header, Option<&EncryptionContext>),
        name: &str,
        report: &Report,
    ) -> Result<(Self, Provider), Failure> {
        let mut left = TRIES;
        let mut earlier = earlier.cloned();
        loop {
            let typed = earlier.is_none();
            let asked = match earlier.take() {
                Some(asked) => asked,
                None => Self(Arc::new(provider(prompt::passphrase_of(name)?)?)),
            };
            let Some(context) = context else {
                return Ok((asked.clone(), asked.0));
            };
            left -= usize::from(typed);
            let tried = Arc::new(Tried::new(asked.0.clone()));
            match opens(tried.clone(), header, context) {
                Ok(()) => return Ok((asked, tried)),
                Err(Error::Provider(error)) if error.class == ProviderErrorClass::BadCiphertext && left > 0 => {
                    if typed {
                        report.note(&format!("{}; try again", error.message));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether the passphrase opens the object. Not whether it unwraps the slot: a slot can be made that unwraps under many
/// passphrases, and whoever sees after which of them there is no further question would know which is the right one.
fn opens(passphrase: Arc<Tried>, header: &Header, context: &EncryptionContext) -> Result<(), Error> {
    Decryptor::new(passphrase)
        .with_context(ExpectedContext::Exact(context.clone()))
        .unlock(header.clone())
        .map(drop)
}

/// A passphrase that was tried. What that took, a good part of a second, is not done again.
#[derive(Debug)]
struct Tried {
    passphrase: Arc<Passphrase>,
    unwrapped: OnceLock<Unwrapped>,
}

#[derive(Debug)]
struct Unwrapped {
    slot: WrappedKey,
    context: EncryptionContext,
    data_key: DataKey,
}

impl Tried {
    fn new(passphrase: Arc<Passphrase>) -> Self {
        Self {
            passphrase,
            unwrapped: OnceLock::new(),
        }
    }
}

impl KeyProvider for Tried {
    fn id(&self) -> &str {
        self.passphrase.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.passphrase.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.passphrase.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        let is_this = |known: &&Unwrapped| known.slot == *wrapped && known.context == *context;
        if let Some(known) = self.unwrapped.get().filter(is_this) {
            return Box::pin(std::future::ready(Ok(copy_of(&known.data_key))));
        }
        Box::pin(async move {
            let data_key = self.passphrase.unwrap_key(wrapped, context).await?;
            self.unwrapped.get_or_init(|| Unwrapped {
                slot: wrapped.clone(),
                context: context.clone(),
                data_key: copy_of(&data_key),
            });
            Ok(data_key)
        })
    }
}

fn copy_of(data_key: &DataKey) -> DataKey {
    DataKey::init_with(|copy| copy.copy_from_slice(data_key.expose()))
}
