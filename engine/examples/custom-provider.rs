//! A custom key provider: an escrow that keeps data keys in a table and returns receipts for them.
//!
//! Real providers call a service, but must keep the same promises: a wrapped key opens only under its own context and
//! names, failures have a class, and secrets are never printed. The conformance suite checks them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::testing::Conformance;
use sealstone::{DataKey, Decryptor, EncryptionContext, Encryptor, Error as SealError, ExpectedContext, KeyProvider};

const ID: &str = "example-escrow";

/// Receipts, and the keys deposited for them. A `DataKey` wipes itself when it is dropped.
#[derive(Default)]
struct Escrow {
    name: String,
    deposits: Mutex<HashMap<Vec<u8>, (DataKey, EncryptionContext)>>,
}

impl Escrow {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Deletes all keys: objects sealed under them are lost permanently.
    fn shred(&self) {
        self.deposits().clear();
    }

    fn deposits(&self) -> MutexGuard<'_, HashMap<Vec<u8>, (DataKey, EncryptionContext)>> {
        self.deposits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deposit(&self, key: &DataKey, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
        let random = |error| ProviderError::new(ProviderErrorClass::Unavailable, ID, "no receipt").with_source(error);
        // Random bytes that were never a key: the receipt reveals nothing.
        let receipt = DataKey::random().map_err(random)?.expose()[..16].to_vec();
        let copy = DataKey::init_with(|bytes| bytes.copy_from_slice(key.expose()));
        self.deposits().insert(receipt.clone(), (copy, context.clone()));
        Ok(WrappedKey::new(ID, &self.name, receipt))
    }

    fn collect(&self, wrapped: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let failed = |class, message| ProviderError::new(class, ID, message).with_key_id(&self.name);
        // The names are checked too, because they are displayed.
        if (wrapped.provider.as_str(), wrapped.key_id.as_str()) != (ID, self.name.as_str()) {
            return Err(failed(ProviderErrorClass::NotFound, "the receipt is another escrow's"));
        }
        let deposits = self.deposits();
        let Some((key, bound_to)) = deposits.get(&wrapped.ciphertext) else {
            return Err(failed(ProviderErrorClass::NotFound, "no deposit for this receipt"));
        };
        // Compared pair by pair, because it does not matter which pairs the header stores.
        if !bound_to.iter().eq(context.iter()) {
            return Err(failed(
                ProviderErrorClass::BadCiphertext,
                "deposited under another context",
            ));
        }
        Ok(DataKey::init_with(|bytes| bytes.copy_from_slice(key.expose())))
    }
}

impl KeyProvider for Escrow {
    fn id(&self) -> &str {
        ID
    }

    /// Decided by the slot's names, without a call.
    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        if slot.key_id == self.name {
            KeyMatch::Yes
        } else {
            KeyMatch::No(Some(format!("the escrow is {}, not {}", self.name, slot.key_id)))
        }
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move { self.deposit(data_key, context) })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move { self.collect(wrapped, context) })
    }
}

/// Shows the name, never the table.
impl fmt::Debug for Escrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Escrow({})", self.name)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // In a separate crate, this would be a test.
    Conformance::new(&Escrow::new("one"), &Escrow::new("other")).assert();

    let escrow = Arc::new(Escrow::new("vault-1"));
    let context = EncryptionContext::new().with("tenant", "a");
    let encryptor = Encryptor::new(escrow.clone()).with_context(context.clone());
    let object = encryptor.seal(b"kept in trust")?;

    let expected = ExpectedContext::Exact(context);
    let decryptor = Decryptor::new(escrow.clone()).with_context(expected.clone());
    assert_eq!(decryptor.open(&object)?, b"kept in trust");

    // Another escrow does not have the key, and says so without a call.
    let other = Decryptor::new(Arc::new(Escrow::new("vault-2"))).with_context(expected);
    assert!(matches!(other.open(&object), Err(SealError::NoUsableKey { .. })));

    escrow.shred();
    match decryptor.open(&object) {
        Err(SealError::Provider(error)) => assert_eq!(error.class, ProviderErrorClass::NotFound),
        other => return Err(format!("a shredded key opened an object: {other:?}").into()),
    }
    println!("{escrow:?}: sealed, opened, shredded");
    Ok(())
}
