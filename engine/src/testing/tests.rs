//! Providers that break one promise each. The suite reports every one of them.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::*;
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::hex;
use crate::keys::{BoxFuture, GeneratedKey, KeyMatch, RawKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    IllegalId,
    GeneratesOneKey,
    NamesAnotherProvider,
    WritesTheAlias,
    DisownsItsSlots,
    ClaimsEverySlot,
    PanicsOnStrangeSlots,
    IgnoresTheContext,
    CallsAnotherContextDenied,
    HasTwoKeys,
    CallsAnotherKeyUnavailable,
    IgnoresTheRest,
    OpensWhatIsDamaged,
    IgnoresTheNames,
    RewrapsNothing,
    RebindsToAnotherKey,
    NeedsARuntime,
    StaysOnOneThread,
    ShowsTheKeyInErrors,
    StoresTheKey,
    OneCallAtATime,
}

/// A raw key with a fault.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    key: RawKey,
    other: RawKey,
    calls: AtomicUsize,
}

fn raw(byte: u8) -> RawKey {
    RawKey::from_slice(&[byte; 32]).unwrap()
}

fn faulty(fault: Fault) -> Faulty {
    Faulty {
        fault,
        key: raw(1),
        other: raw(2),
        calls: AtomicUsize::new(0),
    }
}

impl Faulty {
    fn error(class: ProviderErrorClass, message: impl Into<String>) -> ProviderError {
        ProviderError::new(class, RawKey::ID, message)
    }

    fn bound<'c>(&self, context: &'c EncryptionContext, none: &'c EncryptionContext) -> &'c EncryptionContext {
        match self.fault {
            Fault::IgnoresTheContext => none,
            _ => context,
        }
    }

    async fn wrapped(&self, data_key: &DataKey, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
        if self.fault == Fault::NeedsARuntime {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.fault == Fault::OneCallAtATime {
            if self.calls.fetch_add(1, Ordering::SeqCst) > 0 {
                return Err(Self::error(ProviderErrorClass::Throttled, "one at a time"));
            }
            thread::sleep(Duration::from_millis(30));
            self.calls.fetch_sub(1, Ordering::SeqCst);
        }
        let none = EncryptionContext::new();
        let mut slot = self.key.wrap_key(data_key, self.bound(context, &none)).await?;
        match self.fault {
            Fault::NamesAnotherProvider => "other".clone_into(&mut slot.provider),
            Fault::StoresTheKey => slot.ciphertext.extend_from_slice(data_key.expose()),
            _ => {}
        }
        Ok(slot)
    }

    async fn unwrapped(&self, slot: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let (mut own, none) = (slot.clone(), EncryptionContext::new());
        match self.fault {
            Fault::NamesAnotherProvider => RawKey::ID.clone_into(&mut own.provider),
            Fault::IgnoresTheNames => {
                own = WrappedKey::new(RawKey::ID, self.key.fingerprint(), slot.ciphertext.clone());
            }
            Fault::WritesTheAlias if slot.key_id == "alias" => self.key.fingerprint().clone_into(&mut own.key_id),
            Fault::IgnoresTheRest | Fault::StoresTheKey => own.ciphertext.truncate(72),
            Fault::PanicsOnStrangeSlots => assert_eq!(slot.ciphertext.len(), 72, "a slot of a raw key"),
            _ => {}
        }
        let error = match self.key.unwrap_key(&own, self.bound(context, &none)).await {
            Ok(data_key) => return Ok(data_key),
            Err(error) => error,
        };
        match self.fault {
            Fault::OpensWhatIsDamaged => Ok(DataKey::init_with(|_| {})),
            Fault::HasTwoKeys => self.other.unwrap_key(slot, context).await,
            Fault::CallsAnotherContextDenied => Err(Self::error(ProviderErrorClass::Denied, "not you")),
            Fault::CallsAnotherKeyUnavailable if slot.key_id != self.key.fingerprint() => {
                Err(Self::error(ProviderErrorClass::Unavailable, "later"))
            }
            Fault::ShowsTheKeyInErrors => {
                let own = WrappedKey {
                    key_id: self.key.fingerprint().to_owned(),
                    ..slot.clone()
                };
                let base = Conformance::new(&self.key, &self.other).context;
                let shown = self.key.unwrap_key(&own, &base).await;
                Err(Self::error(
                    error.class,
                    shown.map_or(error.message, |key| hex::encode(key.expose())),
                ))
            }
            _ => Err(error),
        }
    }
}

impl KeyProvider for Faulty {
    fn id(&self) -> &str {
        match self.fault {
            Fault::IllegalId => "Raw Key",
            _ => RawKey::ID,
        }
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match self.fault {
            Fault::DisownsItsSlots => KeyMatch::No(None),
            Fault::ClaimsEverySlot => KeyMatch::Yes,
            Fault::WritesTheAlias if slot.key_id == "alias" => KeyMatch::Yes,
            _ => self.key.matches(slot),
        }
    }

    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = match self.fault {
                Fault::GeneratesOneKey => DataKey::init_with(|key| key.fill(9)),
                _ => DataKey::random().unwrap(),
            };
            let mut wrapped = self.wrapped(&data_key, context).await?;
            if self.fault == Fault::WritesTheAlias {
                "alias".clone_into(&mut wrapped.key_id);
            }
            Ok(GeneratedKey { data_key, wrapped })
        })
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(self.wrapped(data_key, context))
    }

    fn unwrap_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            if self.fault == Fault::StaysOnOneThread {
                let mut began = None;
                poll_fn(|context| match began {
                    None => {
                        began = Some(thread::current().id());
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Some(began) => {
                        assert_eq!(began, thread::current().id(), "the thread of the call");
                        Poll::Ready(())
                    }
                })
                .await;
            }
            self.unwrapped(slot, context).await
        })
    }

    fn rewrap_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_key(slot, from).await?;
            match self.fault {
                Fault::RewrapsNothing => Ok(slot.clone()),
                _ => self.wrapped(&data_key, to).await,
            }
        })
    }

    fn rebind_key<'a>(
        &'a self,
        slot: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            let data_key = self.unwrap_key(slot, from).await?;
            match self.fault {
                Fault::RebindsToAnotherKey | Fault::HasTwoKeys => self.other.wrap_key(&data_key, to).await,
                _ => self.wrapped(&data_key, to).await,
            }
        })
    }
}

/// The checks that this provider fails.
fn failed(fault: Fault) -> Vec<&'static str> {
    let provider = faulty(fault);
    let failures = Conformance::new(&provider, &raw(2)).with_twin(&raw(1)).run();
    failures.iter().map(|failure| failure.check).collect()
}

#[test]
fn a_provider_without_a_fault_conforms() {
    assert_eq!(failed(Fault::None), Vec::<&str>::new());
    Conformance::new(&faulty(Fault::None), &raw(2)).assert();
}

#[test]
fn every_broken_promise_is_reported() {
    let faults = [
        (Fault::IllegalId, "ids"),
        (Fault::GeneratesOneKey, "round trip"),
        (Fault::NamesAnotherProvider, "slot fits a header"),
        (Fault::WritesTheAlias, "resolved key id"),
        (Fault::DisownsItsSlots, "matches"),
        (Fault::ClaimsEverySlot, "matches"),
        (Fault::PanicsOnStrangeSlots, "damaged slots are refused"),
        (Fault::IgnoresTheContext, "context is bound"),
        (Fault::CallsAnotherContextDenied, "context is bound"),
        (Fault::HasTwoKeys, "other key is refused"),
        (Fault::CallsAnotherKeyUnavailable, "other key is refused"),
        (Fault::IgnoresTheRest, "damaged slots are refused"),
        (Fault::OpensWhatIsDamaged, "damaged slots are refused"),
        (Fault::IgnoresTheNames, "damaged slots are refused"),
        (Fault::RewrapsNothing, "rewrap and rebind"),
        (Fault::RebindsToAnotherKey, "rewrap and rebind"),
        (Fault::NeedsARuntime, "round trip"),
        (Fault::StaysOnOneThread, "futures"),
        (Fault::ShowsTheKeyInErrors, "secrets are not shown"),
        (Fault::StoresTheKey, "secrets are not shown"),
        (Fault::OneCallAtATime, "concurrent calls"),
    ];
    let mut seen = BTreeSet::from(["same key elsewhere"]);
    for (fault, check) in faults {
        let failed = failed(fault);
        assert!(failed.contains(&check), "{fault:?}: {failed:?}");
        seen.insert(check);
    }
    assert_eq!(seen, Conformance::checks().collect(), "each check finds a fault");
}

#[test]
fn a_twin_of_another_key_is_reported() {
    let (key, other, twin) = (raw(1), raw(2), raw(3));
    let failures = Conformance::new(&key, &other).with_twin(&twin).run();
    assert!(failures.iter().any(|failure| failure.check == "same key elsewhere"));
}

#[test]
fn panics_and_failures_are_reported_with_the_check_that_found_them() {
    let provider = faulty(Fault::PanicsOnStrangeSlots);
    let panic = catch_unwind(|| Conformance::new(&provider, &raw(2)).assert()).unwrap_err();
    let message = panic_message(panic.as_ref());
    for part in ["damaged slots are refused: a call panicked", "a slot of a raw key"] {
        assert!(message.contains(part), "{message}");
    }
}
