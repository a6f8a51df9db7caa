//! Which slots a choice selects, and which contexts and keys are tried on an object.

use std::sync::Arc;

use super::key;
use super::scripted::Scripted;
use crate::context::{EncryptionContext, ExpectedContext};
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::{Error, ProviderErrorClass, Result};
use crate::keys::{KeyMatch, KeyProvider};
use crate::rewrap::candidates::{contexts, keys};
use crate::rewrap::choice::is_meant;
use crate::rewrap::trials::Trials;
use crate::rewrap::{Rewrap, SlotChoice};

use ProviderErrorClass::{BadCiphertext, Configuration, Denied, KeyState, NotFound, OtherKey, Throttled, Unavailable};

/// Whether a slot of the key's provider counts as the key's own, and how often the key had to unwrap it.
fn taken(key: Scripted, slot_of: &str) -> (Result<bool>, usize) {
    let context = EncryptionContext::new();
    let sealing = Arc::new(Scripted::key(key.tag));
    let header = Encryptor::new(sealing).begin().unwrap().header().clone();
    let mut slot = header.slots()[0].clone();
    slot_of.clone_into(&mut slot.provider);
    let key = Arc::new(key);
    let mut trials = Trials::new(&header, 1);
    let choice = SlotChoice::Key(key.clone());
    let meant = pollster::block_on(is_meant(&choice, &slot, &context, &mut trials));
    (meant, key.asked().len())
}

#[test]
fn a_key_that_knows_its_slots_by_their_names_is_not_asked() {
    assert!(matches!(taken(Scripted::key(1), "scripted"), (Ok(true), 0)));
    assert!(matches!(taken(Scripted::key(1), "other"), (Ok(false), 0)));
    let another = Scripted::key(1).saying(KeyMatch::No(None));
    assert!(matches!(taken(another, "scripted"), (Ok(false), 0)));
}

#[test]
fn a_passphrase_is_tried_as_every_slot_of_one_matches_it() {
    let passphrase = || Scripted::key(1).saying(KeyMatch::Guessable("wrong".to_owned()));
    assert!(matches!(taken(passphrase(), "scripted"), (Ok(true), 1)));
    let wrong = passphrase().failing("unwrap", BadCiphertext);
    assert!(matches!(taken(wrong, "scripted"), (Ok(false), 1)));
}

#[test]
fn only_a_key_that_says_so_is_not_the_slots() {
    let vague = || Scripted::key(1).saying(KeyMatch::Maybe);
    assert!(matches!(taken(vague(), "scripted"), (Ok(true), 1)));
    for class in [OtherKey, BadCiphertext] {
        assert!(matches!(
            taken(vague().failing("unwrap", class), "scripted"),
            (Ok(false), 1)
        ));
    }
    for class in [Denied, NotFound, KeyState, Throttled, Unavailable, Configuration] {
        match taken(vague().failing("unwrap", class), "scripted") {
            (Err(Error::Provider(error)), 1) => assert_eq!(error.class, class),
            other => panic!("{class:?}: {other:?}"),
        }
    }
}

#[test]
fn the_keys_that_are_replaced_come_first_and_none_twice() {
    let [old, given, new, more] = [1, 2, 3, 4].map(|byte| key(byte) as Arc<dyn KeyProvider>);
    let replaced = SlotChoice::Any(vec![SlotChoice::Key(old.clone()), SlotChoice::Named(vec![])]);
    let rewrap = Rewrap::new(Decryptor::new(given.clone()).with_key(old.clone()))
        .add_key(more.clone())
        .replace(replaced, new.clone());
    let found = keys(&rewrap);
    let expected = [&old, &given, &more, &new];
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(Arc::ptr_eq(found, expected));
    }
}

#[test]
fn a_context_that_stays_is_tried_once() {
    let named = |value: &str| EncryptionContext::new().with("k", value);
    let encryptor = Encryptor::new(key(1)).with_context(named("a"));
    let object = encryptor.begin().unwrap();
    let expecting = |value: &str, to: &str| {
        let decryptor = Decryptor::new(key(1)).with_context(ExpectedContext::Exact(named(value)));
        contexts(&Rewrap::new(decryptor).with_context(named(to)), object.header())
    };
    assert_eq!(expecting("a", "a").unwrap(), [named("a")]);
    assert_eq!(expecting("a", "b").unwrap(), [named("a")]);
    // Already rewrapped, under the new context.
    assert_eq!(expecting("b", "a").unwrap(), [named("a")]);
    assert!(expecting("b", "c").is_err());
}

#[test]
fn of_a_supplied_value_both_contexts_are_tried() {
    let supplied = |value: &str| EncryptionContext::new().with_supplied("k", value);
    let object = Encryptor::new(key(1)).with_context(supplied("a")).begin().unwrap();
    let decryptor = Decryptor::new(key(1)).with_context(ExpectedContext::Exact(supplied("b")));
    let rewrap = Rewrap::new(decryptor).with_context(supplied("a"));
    assert_eq!(
        contexts(&rewrap, object.header()).unwrap(),
        [supplied("b"), supplied("a")]
    );
}
