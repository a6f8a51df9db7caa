//! Which header a rewrap produces if keys are unusable, or rewrap without revealing the data key.

use std::sync::Arc;

use super::PLAIN;
use super::scripted::Scripted;
use crate::context::{EncryptionContext, ExpectedContext};
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::{Error, ProviderErrorClass, Result};
use crate::header::{ATTACHED_LEN, Header, ObjectHeader};
use crate::keys::{KeyMatch, KeyProvider};
use crate::rewrap::{Rewrap, SlotChoice};

use ProviderErrorClass::{BadCiphertext, Denied, KeyState, Unavailable};

fn context(value: &str) -> EncryptionContext {
    EncryptionContext::new().with("k", value)
}

/// An object of these keys under `context("a")`.
struct Object {
    header: Header,
    payload: Vec<u8>,
}

impl Object {
    fn of(keys: Vec<Arc<dyn KeyProvider>>) -> Self {
        let mut keys = keys.into_iter();
        let encryptor = Encryptor::new(keys.next().unwrap()).with_context(context("a"));
        let object = keys.fold(encryptor, Encryptor::with_key).seal(PLAIN).unwrap();
        Self {
            header: ObjectHeader::parse(&object[..ATTACHED_LEN]).unwrap().header().clone(),
            payload: object[ATTACHED_LEN..].to_vec(),
        }
    }

    fn scripted(tags: &[u8]) -> Self {
        Self::of(tags.iter().map(|&tag| Arc::new(Scripted::key(tag)) as _).collect())
    }

    fn names(&self) -> Vec<String> {
        self.header.slots().iter().map(|slot| slot.key_id.clone()).collect()
    }

    /// The same, with a slot of another object before its own: added by someone who can write the header.
    fn after_a_foreign_slot(mut self, tag: u8) -> Self {
        self.header
            .slots
            .insert(0, Self::scripted(&[tag]).header.slots[0].clone());
        self
    }

    /// The result of a rewrap; `None` if nothing changes.
    fn after(&self, rewrap: &Rewrap) -> Result<Option<Self>> {
        let header = rewrap.header(&self.header)?;
        Ok(header.map(|header| Self {
            header,
            payload: self.payload.clone(),
        }))
    }

    /// The tags of the keys that open it.
    fn opened_by(&self, context: &EncryptionContext) -> Vec<u8> {
        let opens = |tag: &u8| {
            let decryptor =
                Decryptor::new(Arc::new(Scripted::key(*tag))).with_context(ExpectedContext::Exact(context.clone()));
            let opened = decryptor
                .unlock(self.header.clone())
                .and_then(|unlocked| unlocked.open(&self.payload));
            opened.is_ok_and(|plain| plain == PLAIN)
        };
        (1..9).filter(opens).collect()
    }
}

/// A rewrap of an object that `key` opens.
fn by(key: Arc<dyn KeyProvider>) -> Rewrap {
    Rewrap::new(Decryptor::new(key).with_context(ExpectedContext::Exact(context("a"))))
}

fn scripted(tag: u8) -> Arc<Scripted> {
    Arc::new(Scripted::key(tag))
}

fn choice(tag: u8) -> SlotChoice {
    SlotChoice::Key(scripted(tag))
}

/// The failure's class, and the call that failed.
fn failure(result: Result<Option<Object>>) -> (ProviderErrorClass, String) {
    match result.map(|_| ()) {
        Err(Error::Provider(error)) => (error.class, error.message),
        other => panic!("{other:?}"),
    }
}

/// Key 2, which can rewrap slots of key 1.
fn taking_over() -> Scripted {
    Scripted {
        takes: Some(1),
        ..Scripted::key(2)
    }
}

#[test]
fn a_service_that_is_down_is_not_asked_under_the_next_context() {
    let supplied = |value: &str| EncryptionContext::new().with_supplied("k", value);
    let object = Encryptor::new(scripted(1)).with_context(supplied("a")).begin().unwrap();
    for (class, calls) in [(Unavailable, 1), (Denied, 2)] {
        let key = Arc::new(Scripted::key(1).failing("unwrap", class));
        let decryptor = Decryptor::new(key.clone()).with_context(ExpectedContext::Exact(supplied("b")));
        let rewrap = Rewrap::new(decryptor).with_context(supplied("a"));
        let error = rewrap.header(object.header()).unwrap_err();
        assert_eq!(error.is_retryable(), class == Unavailable);
        assert_eq!(key.asked().len(), calls);
    }
}

#[test]
fn without_opening_a_slot_that_is_there_already_is_taken_for_the_new_one() {
    let object = Object::scripted(&[2]);
    let new = scripted(2);
    let rewrap = by(new.clone()).replace(choice(1), new.clone());
    assert!(object.after(&rewrap.clone().without_opening()).unwrap().is_none());
    assert!(new.asked().is_empty());
    // Otherwise the slot is opened.
    assert!(object.after(&rewrap).unwrap().is_none());
    assert!(new.asked().contains(&"unwrap"));
}

#[test]
fn without_opening_another_keys_slot_is_not_taken_for_the_new_one() {
    let object = Object::scripted(&[3]);
    let rewrap = by(scripted(3)).replace(choice(1), scripted(2)).without_opening();
    assert!(matches!(object.after(&rewrap), Err(Error::NoUsableKey { .. })));
}

#[test]
fn without_opening_a_slot_under_the_old_context_is_not_the_new_one() {
    let object = Object::scripted(&[2]);
    let rewrap = by(scripted(2))
        .replace(choice(1), scripted(2))
        .with_context(context("b"));
    let after = object.after(&rewrap.without_opening()).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("b")), [2]);
}

#[test]
fn where_the_service_refuses_to_rewrap_the_data_key_at_hand_is_wrapped() {
    let object = Object::scripted(&[1]);
    let new = Arc::new(taking_over().failing("rewrap", Denied));
    let rewrap = by(scripted(1)).replace(choice(1), new.clone());
    let after = object.after(&rewrap).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("a")), [2]);
    assert_eq!(new.asked()[..2], ["rewrap", "wrap"]);

    // Without the data key, there is no fallback.
    let refused = failure(object.after(&rewrap.without_opening()));
    assert_eq!(refused, (Denied, "rewrap".to_owned()));
}

#[test]
fn of_two_failures_the_one_to_fix_is_reported() {
    let object = Object::scripted(&[1]);
    let replaced = |new: Scripted| failure(object.after(&by(scripted(1)).replace(choice(1), Arc::new(new))));
    let refusing = |class| taking_over().failing("rewrap", class);
    // The first error, because the second call is only a fallback; but a retryable error takes precedence.
    let both = replaced(refusing(Denied).failing("wrap", KeyState));
    assert_eq!(both, (Denied, "rewrap".to_owned()));
    let later = replaced(refusing(Denied).failing("wrap", Unavailable));
    assert_eq!(later, (Unavailable, "wrap".to_owned()));
    let at_once = replaced(refusing(Unavailable));
    assert_eq!(at_once, (Unavailable, "rewrap".to_owned()));
    // A key that rewraps no slots has one way only.
    let one = replaced(Scripted::key(2).failing("wrap", KeyState));
    assert_eq!(one, (KeyState, "wrap".to_owned()));
}

#[test]
fn a_service_is_not_asked_to_rewrap_a_slot_that_was_not_opened() {
    // Both are to be replaced, and it is not known whether the one that the service could rewrap opens.
    let mut object = Object::scripted(&[1, 3]);
    object.header.slots[0].ciphertext[1] ^= 1;
    let new = Arc::new(taking_over());
    let both = SlotChoice::Any(vec![choice(1), choice(3)]);
    let after = object
        .after(&by(scripted(3)).replace(both, new.clone()))
        .unwrap()
        .unwrap();
    assert_eq!(after.opened_by(&context("a")), [2]);
    assert!(!new.asked().contains(&"rewrap"));
}

#[test]
fn a_service_of_another_kind_is_not_asked_to_rewrap() {
    // Its slots have names that this service would accept.
    let old: Arc<dyn KeyProvider> = Arc::new(Scripted {
        id: "other",
        ..Scripted::key(1)
    });
    let object = Object::of(vec![old.clone()]);
    let new = Arc::new(taking_over());
    let after = object.after(&by(old.clone()).replace(SlotChoice::Key(old), new.clone()));
    assert_eq!(after.unwrap().unwrap().opened_by(&context("a")), [2]);
    assert!(!new.asked().contains(&"rewrap"));
}

#[test]
fn a_slot_of_the_new_keys_name_is_tried_before_it_is_kept() {
    let object = Object::scripted(&[1, 2]);
    assert!(object.after(&by(scripted(1)).add_key(scripted(2))).unwrap().is_none());

    let down = Arc::new(Scripted::key(2).failing("unwrap", Unavailable));
    let error = object.after(&by(scripted(1)).add_key(down)).map(|_| ()).unwrap_err();
    assert!(error.is_retryable(), "{error}");

    // A slot that does not open is replaced.
    let mut forged = Object::scripted(&[2, 1]);
    forged.header.slots[0].ciphertext[1] ^= 1;
    let after = forged.after(&by(scripted(1)).add_key(scripted(2))).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("a")), [1, 2]);
    assert_eq!(after.header.slots().len(), 2);
}

#[test]
fn a_key_that_cannot_tell_is_asked_once_for_the_slot_it_opened() {
    let object = Object::scripted(&[1, 3]);
    let old = Arc::new(Scripted::key(1).saying(KeyMatch::Maybe));
    let rewrap = by(old.clone()).replace(SlotChoice::Key(old.clone()), scripted(2));
    let after = object.after(&rewrap).unwrap().unwrap();
    assert_eq!(
        (after.names(), after.opened_by(&context("a"))),
        (vec!["key-2".to_owned(), "key-3".to_owned()], vec![2, 3])
    );
    // Once to open the object with its own slot, once to find out whose the other slot is.
    assert_eq!(old.asked(), ["unwrap", "unwrap"]);
}

#[test]
fn what_was_just_put_there_is_not_what_is_to_be_removed() {
    let object = Object::scripted(&[1]);
    let rewrap = by(scripted(1)).replace(choice(1), scripted(2)).remove(choice(2));
    assert_eq!(object.after(&rewrap).unwrap().unwrap().opened_by(&context("a")), [2]);
    // Nor what was kept because it was requested.
    let object = Object::scripted(&[1, 2]);
    let rewrap = by(scripted(1)).add_key(scripted(2)).remove(choice(2)).remove(choice(1));
    assert_eq!(object.after(&rewrap).unwrap().unwrap().opened_by(&context("a")), [2]);
}

/// Rebinds the slots of keys 1 and 2 to another context.
fn rebound(second: Scripted) -> Result<Option<Object>> {
    let object = Object::scripted(&[1, 2]);
    let decryptor = Decryptor::new(scripted(1)).with_key(Arc::new(second));
    let rewrap = Rewrap::new(decryptor.with_context(ExpectedContext::Exact(context("a"))));
    object.after(&rewrap.with_context(context("b")))
}

#[test]
fn a_slot_is_lost_to_no_failure_of_its_own_key() {
    let after = rebound(Scripted::key(2)).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("b")), [1, 2]);
    assert!(after.opened_by(&context("a")).is_empty());

    // It is certainly its key, so every failure is an error.
    for class in [Denied, BadCiphertext, Unavailable] {
        let failed = failure(rebound(Scripted::key(2).failing("rebind", class)));
        assert_eq!(failed, (class, "rebind".to_owned()));
    }
    // It may be its key, so the error's class decides.
    for class in [Denied, KeyState, Unavailable] {
        for call in ["unwrap", "rebind"] {
            let failed = failure(rebound(Scripted::key(2).saying(KeyMatch::Maybe).failing(call, class)));
            assert_eq!(failed, (class, call.to_owned()));
        }
    }
    // It is its key, because it unwrapped the slot.
    let failed = failure(rebound(
        Scripted::key(2)
            .saying(KeyMatch::Maybe)
            .failing("rebind", BadCiphertext),
    ));
    assert_eq!(failed, (BadCiphertext, "rebind".to_owned()));
    for nobodys in [
        Scripted::key(2)
            .saying(KeyMatch::Maybe)
            .failing("unwrap", BadCiphertext),
        Scripted::key(4),
    ] {
        match rebound(nobodys).map(|_| ()) {
            Err(Error::UnreachableSlots { slots }) => assert_eq!(slots, ["scripted:key-2"]),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn slots_of_one_name_become_one_when_they_are_rebound() {
    let mut object = Object::scripted(&[2]);
    let twice = [object.header.slots[0].clone(), object.header.slots[0].clone()];
    object.header.slots = twice.to_vec();
    let after = object
        .after(&by(scripted(2)).with_context(context("b")))
        .unwrap()
        .unwrap();
    assert_eq!((after.names().len(), after.opened_by(&context("b"))), (1, vec![2]));
    // Slots that no change affects stay.
    let after = object.after(&by(scripted(2)).add_key(scripted(3))).unwrap().unwrap();
    assert_eq!(after.names(), ["key-2", "key-2", "key-3"]);
}

#[test]
fn a_key_that_is_added_under_another_context_wraps_and_binds_nothing() {
    let object = Object::scripted(&[1, 2]);
    let added = scripted(2);
    let rewrap = by(scripted(1)).add_key(added.clone()).add_key(added.clone());
    let after = object.after(&rewrap.with_context(context("b"))).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("b")), [1, 2]);
    assert!(!added.asked().contains(&"rebind"));
}

/// Nothing shows which of the slots with one name are this object's: the first is made from another object's slot, and
/// neither may be unwrapped.
#[test]
fn without_opening_no_slot_gives_way_to_one_of_the_same_name() {
    let object = Object::scripted(&[2, 3]).after_a_foreign_slot(1);
    for new in [taking_over().failing("unwrap", Denied), taking_over()] {
        let new = Arc::new(new);
        let rewrap = by(new.clone()).replace(choice(1), new.clone()).without_opening();
        let after = object.after(&rewrap).unwrap().unwrap();
        assert_eq!(after.names(), ["key-2", "key-2", "key-3"]);
        assert_eq!(after.opened_by(&context("a")), [2, 3]);
        // The data key is not requested.
        assert_eq!(new.asked(), ["rewrap"]);
    }
    // Nor does one that the same run made: here the second is made from another object's slot.
    let mut object = Object::scripted(&[3]).after_a_foreign_slot(1);
    object.header.slots.reverse();
    let takes_three = Scripted {
        takes: Some(3),
        ..Scripted::key(2)
    };
    let rewrap = by(scripted(9))
        .replace(choice(3), Arc::new(takes_three))
        .replace(choice(1), Arc::new(taking_over()));
    let after = object.after(&rewrap.without_opening()).unwrap().unwrap();
    assert_eq!((after.names().len(), after.opened_by(&context("a"))), (2, vec![2]));
}

/// The slot that was made before the object was opened is another object's, and comes first.
#[test]
fn a_slot_that_was_proved_does_not_give_way_to_one_that_was_not() {
    let object = Object::scripted(&[2, 4]).after_a_foreign_slot(1);
    let rewrap = by(scripted(4))
        .replace(choice(1), Arc::new(taking_over()))
        .with_context(context("b"));
    // The first change needs no data key. The second does, because its key rewraps no slots.
    let lazily = rewrap.clone().replace(choice(4), scripted(5));
    for (rewrap, opened) in [(lazily, [2, 5]), (rewrap, [2, 4])] {
        let after = object.after(&rewrap.without_opening()).unwrap().unwrap();
        assert_eq!(
            (after.names().len(), after.opened_by(&context("b"))),
            (3, opened.to_vec())
        );
    }
}

#[test]
fn slots_are_dropped_only_from_an_object_that_was_opened() {
    let drops = |object: &Object| {
        let rewrap = by(scripted(1)).with_context(context("b")).drop_unreachable();
        object.after(&rewrap.without_opening())
    };
    // Only another object's slot would be left.
    let forged = drops(&Object::scripted(&[2]).after_a_foreign_slot(1)).map(|_| ());
    assert!(matches!(forged, Err(Error::CommitmentMismatch { .. })), "{forged:?}");
    let after = drops(&Object::scripted(&[1, 2])).unwrap().unwrap();
    assert_eq!((after.names().len(), after.opened_by(&context("b"))), (1, vec![1]));
}

#[test]
fn without_opening_a_header_causes_no_more_calls_than_it_has_slots_for() {
    let mut object = Object::scripted(&[9]);
    object.header.slots = vec![object.header.slots[0].clone(); 16];
    let keys: Vec<_> = (1..5)
        .map(|tag| {
            // The service rebinds by itself, so no slot is unwrapped or compared.
            let key = Scripted::key(tag).saying(KeyMatch::Maybe);
            Arc::new(Scripted { takes: Some(9), ..key })
        })
        .collect();
    let offered = Decryptor::new(keys[0].clone()).with_context(ExpectedContext::Exact(context("a")));
    let offered = keys[1..]
        .iter()
        .fold(offered, |offered, key| offered.with_key(key.clone()));
    let refused = object.after(&Rewrap::new(offered).with_context(context("b")).without_opening());
    let refused = refused.map(|_| ());
    assert!(
        matches!(refused, Err(Error::TooManyProviderCalls { limit: 32 })),
        "{refused:?}"
    );
    assert_eq!(keys.iter().map(|key| key.asked().len()).sum::<usize>(), 32);
}

/// A slot that someone added to the header does not replace the last one that opens.
#[test]
fn of_the_slots_that_are_left_one_is_known_to_open() {
    let mut forged = Object::scripted(&[1]).after_a_foreign_slot(2);
    forged.header.slots.reverse();
    for key in [Scripted::key(1), Scripted::key(2)] {
        let offered = Rewrap::new(by(scripted(1)).decryptor.with_key(Arc::new(key))).remove(choice(1));
        match forged.after(&offered).map(|_| ()) {
            Err(Error::UnprovedSlots { slots }) => assert_eq!(slots, ["scripted:key-2"]),
            other => panic!("{other:?}"),
        }
        // Without opening, the caller has waived that proof.
        assert!(forged.after(&offered.without_opening()).unwrap().is_some());
    }
    // An offered key proves it, even if another one opened the object.
    let object = Object::scripted(&[1, 3, 2]);
    let rewrap = by(scripted(1)).remove(choice(1));
    assert!(matches!(
        object.after(&rewrap).map(|_| ()),
        Err(Error::UnprovedSlots { .. })
    ));
    let offered = Rewrap::new(rewrap.decryptor.clone().with_key(scripted(2))).remove(choice(1));
    let after = object.after(&offered).unwrap().unwrap();
    assert_eq!(after.opened_by(&context("a")), [2, 3]);
    // A slot that was made, or requested and present, is known to open.
    for kept in [2, 4] {
        let after = object.after(&rewrap.clone().add_key(scripted(kept))).unwrap().unwrap();
        assert!(after.opened_by(&context("a")).contains(&kept));
    }
}
