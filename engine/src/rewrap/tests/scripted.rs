//! A key provider whose behaviour a test scripts, and which records its calls. Its wraps hide nothing.
//!
//! ```text
//! wrapped = tag[1] | data key[32] | Debug of the context
//! ```

use std::sync::Mutex;

use crate::context::EncryptionContext;
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::keys::{BoxFuture, KeyMatch, KeyProvider};

/// The key with this tag, of the provider `id`.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pub(super) id: &'static str,
    pub(super) tag: u8,
    /// What it returns for every slot; by default it recognizes its own by the key id.
    pub(super) matches: Option<KeyMatch>,
    /// The key whose slots it can rewrap.
    pub(super) takes: Option<u8>,
    /// Calls that fail, and how.
    pub(super) fails: Vec<(&'static str, ProviderErrorClass)>,
    pub(super) calls: Mutex<Vec<&'static str>>,
}

impl Scripted {
    pub(super) fn key(tag: u8) -> Self {
        Self {
            id: "scripted",
            tag,
            ..Self::default()
        }
    }

    pub(super) fn failing(self, call: &'static str, class: ProviderErrorClass) -> Self {
        let fails = [self.fails.as_slice(), &[(call, class)]].concat();
        Self { fails, ..self }
    }

    /// Returns this for every slot: "maybe", as a service whose keys have aliases.
    pub(super) fn saying(self, matches: KeyMatch) -> Self {
        let matches = Some(matches);
        Self { matches, ..self }
    }

    /// The calls since the last look.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn key_id(tag: u8) -> String {
        format!("key-{tag}")
    }

    /// Records the call; fails if that was scripted.
    fn call(&self, call: &'static str) -> Result<(), ProviderError> {
        self.calls.lock().unwrap().push(call);
        match self.fails.iter().find(|(name, _)| *name == call) {
            Some(&(_, class)) => Err(ProviderError::new(class, self.id, call)),
            None => Ok(()),
        }
    }

    fn wrapped(&self, data_key: &DataKey, context: &EncryptionContext) -> WrappedKey {
        let bytes = [&[self.tag][..], data_key.expose(), format!("{context:?}").as_bytes()].concat();
        WrappedKey::new(self.id, Self::key_id(self.tag), bytes)
    }

    fn unwrapped(&self, tag: u8, slot: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let class = ProviderErrorClass::BadCiphertext;
        let refused = || ProviderError::new(class, self.id, "another key or context");
        let (found, rest) = slot.ciphertext.split_first().ok_or_else(refused)?;
        let (data_key, bound) = rest.split_first_chunk::<32>().ok_or_else(refused)?;
        if *found != tag || bound != format!("{context:?}").as_bytes() {
            return Err(refused());
        }
        Ok(DataKey::from_slice(data_key).unwrap())
    }

    /// Rewraps a slot of the key with this tag.
    fn moved(
        &self,
        call: &'static str,
        tag: u8,
        slot: &WrappedKey,
        [from, to]: [&EncryptionContext; 2],
    ) -> Result<WrappedKey, ProviderError> {
        self.call(call)?;
        let data_key = self.unwrapped(tag, slot, from)?;
        Ok(self.wrapped(&data_key, to))
    }
}

impl KeyProvider for Scripted {
    fn id(&self) -> &str {
        self.id
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match &self.matches {
            Some(scripted) => scripted.clone(),
            None if slot.key_id == Self::key_id(self.tag) => KeyMatch::Yes,
            None => KeyMatch::No(None),
        }
    }

    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        self.takes.is_some_and(|tag| slot.key_id == Self::key_id(tag))
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async { self.call("wrap").map(|()| self.wrapped(data_key, context)) })
    }

    fn unwrap_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async {
            self.call("unwrap")
                .and_then(|()| self.unwrapped(self.tag, slot, context))
        })
    }

    fn rewrap_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        let tag = self.takes.unwrap_or(self.tag);
        Box::pin(async move { self.moved("rewrap", tag, slot, [from, to]) })
    }

    fn rebind_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async { self.moved("rebind", self.tag, slot, [from, to]) })
    }
}
