//! Slots and header copies added to an object by someone who can write storage but has no key: their effect on rewraps
//! and readers.

use std::fs::{self, File};
use std::sync::Arc;

use crate::common::oracle::Header;
use crate::common::{Counting, plaintext};
use sealstone::format::{ATTACHED_LEN, CopyFault};
use sealstone::rewrap::{Rewrapped, SlotChoice};
use sealstone::{
    Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, KeyProvider, ObjectHeader, RawKey, Rewrap,
};

type Key = Arc<dyn KeyProvider>;

fn raw(byte: u8) -> Key {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}

fn place(value: &str) -> EncryptionContext {
    EncryptionContext::new().with("place", value)
}

/// An object for the raw keys 1 and 2 under the context `place=hot`.
fn object() -> Vec<u8> {
    let encryptor = Encryptor::new(raw(1)).with_key(raw(2)).with_context(place("hot"));
    encryptor.seal(&plaintext(100)).unwrap()
}

fn header(object: &[u8]) -> Header {
    Header::parse_attached(&object[..ATTACHED_LEN]).unwrap()
}

/// The object with another header, with matching checksums.
fn under(object: &[u8], header: &Header) -> Vec<u8> {
    [&header.attached()[..], &object[ATTACHED_LEN..]].concat()
}

/// The first object with slots of the second among its own, as `order` lists them: 0 and 1 are its own slots, 2 and 3
/// the other object's.
fn mixed(own: &[u8], other: &[u8], order: &[usize]) -> Vec<u8> {
    let slots = [header(own).slots, header(other).slots].concat();
    let slots = order.iter().map(|&index| slots[index].clone()).collect();
    under(own, &Header { slots, ..header(own) })
}

fn decryptor(key: Key, context: &str) -> Decryptor {
    Decryptor::new(key).with_context(ExpectedContext::Exact(place(context)))
}

fn opens(object: &[u8], byte: u8, context: &str) -> bool {
    let opened = decryptor(raw(byte), context).open(object);
    opened.is_ok_and(|plain| plain == plaintext(100))
}

/// Rewraps the bytes in a file; returns the outcome and the bytes afterwards.
fn rewrapped(object: &[u8], rewrap: &Rewrap) -> (Result<Rewrapped, Error>, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), object).unwrap();
    let opened = File::options().read(true).write(true).open(file.path()).unwrap();
    let outcome = rewrap.file(&opened);
    (outcome, fs::read(file.path()).unwrap())
}

/// Binds the object to `place=archive` with the keys 1 and 2.
fn to_archive() -> Rewrap {
    Rewrap::new(decryptor(raw(1), "hot").with_key(raw(2))).with_context(place("archive"))
}

/// The positions of another object's slots among the object's own.
const ORDERS: [&[usize]; 5] = [&[2, 0, 1], &[0, 2, 1], &[0, 1, 2], &[2, 3, 0, 1], &[0, 1, 3, 2]];

#[test]
fn another_objects_slot_is_named_and_nothing_is_written() {
    let (own, other) = (object(), object());
    for order in ORDERS {
        let forged = mixed(&own, &other, order);
        // Readers skip such slots.
        assert!(opens(&forged, 1, "hot") && opens(&forged, 2, "hot"));
        let (outcome, after) = rewrapped(&forged, &to_archive());
        let expected: Vec<_> = order
            .iter()
            .filter(|&&index| index >= 2)
            .map(|index| index % 2)
            .collect();
        match outcome {
            Err(Error::ForeignSlots { slots }) => {
                let names: Vec<_> = expected
                    .iter()
                    .map(|&index| format!("raw:{}", header(&own).slots[index].key_id))
                    .collect();
                assert_eq!(slots, names, "{order:?}");
            }
            other => panic!("{order:?}: {other:?}"),
        }
        assert!(after == forged);
    }
}

#[test]
fn another_objects_slot_is_dropped_on_request_and_its_key_is_bound_to_nothing() {
    let (own, other) = (object(), object());
    for order in ORDERS {
        let forged = mixed(&own, &other, order);
        let (outcome, after) = rewrapped(&forged, &to_archive().drop_unreachable());
        let outcome = outcome.unwrap();
        assert_eq!(outcome.dropped.len(), order.len() - 2);
        assert!(opens(&after, 1, "archive") && opens(&after, 2, "archive"), "{order:?}");
        assert_eq!(header(&after).slots.len(), 2);
        // Under the new context no slot opens the other object.
        let hybrid = under(
            &other,
            &Header {
                slots: header(&after).slots,
                context: header(&after).context,
                ..header(&other)
            },
        );
        for byte in [1, 2] {
            let refused = decryptor(raw(byte), "archive").open(&hybrid);
            assert!(matches!(refused, Err(Error::CommitmentMismatch { .. })), "{refused:?}");
        }
    }
}

/// A slot that does not unwrap at all, with the name of one that does.
#[test]
fn a_slot_of_junk_is_foreign_where_its_name_is_that_of_a_slot_that_opens() {
    let own = object();
    let mut slots = header(&own).slots;
    let mut junk = slots[0].clone();
    junk.wrapped[40] ^= 1;
    for at in [0, 1, 2] {
        let mut all = slots.clone();
        all.insert(at, junk.clone());
        let forged = under(
            &own,
            &Header {
                slots: all,
                ..header(&own)
            },
        );
        let (outcome, after) = rewrapped(&forged, &to_archive());
        assert!(
            matches!(&outcome, Err(Error::ForeignSlots { slots }) if slots.len() == 1),
            "{outcome:?}"
        );
        assert!(after == forged);
        let (outcome, after) = rewrapped(&forged, &to_archive().drop_unreachable());
        assert_eq!(outcome.unwrap().dropped.len(), 1);
        assert!(opens(&after, 1, "archive") && opens(&after, 2, "archive"));
    }
    // Without such a slot the key may be the wrong one, which is no reason to lose the slot.
    slots[1].wrapped[40] ^= 1;
    let forged = under(&own, &Header { slots, ..header(&own) });
    let (outcome, after) = rewrapped(&forged, &to_archive().drop_unreachable());
    assert!(matches!(outcome, Err(Error::Provider(_))), "{outcome:?}");
    assert!(after == forged);
}

#[test]
fn without_opening_several_slots_do_not_become_one() {
    let (own, other) = (object(), object());
    for order in [&[2, 0][..], &[0, 2], &[2, 0, 1]] {
        let forged = mixed(&own, &other, order);
        let replace = Rewrap::new(decryptor(raw(1), "hot")).replace(SlotChoice::Key(raw(1)), raw(1));
        let (outcome, after) = rewrapped(&forged, &replace.without_opening());
        match outcome {
            Err(Error::AmbiguousSlots { slots }) => assert_eq!(slots.len(), 2),
            other => panic!("{order:?}: {other:?}"),
        }
        assert!(after == forged);
        // A key that unwraps slots to bind them compares the result, also without opening.
        let (outcome, after) = rewrapped(&forged, &to_archive().without_opening());
        match outcome {
            Err(Error::ForeignSlots { slots }) => assert_eq!(slots.len(), 1),
            other => panic!("{order:?}: {other:?}"),
        }
        assert!(after == forged);
    }
}

/// A newer header copy in place of one of the two, with another object's slots.
fn with_forged_copy(own: &[u8], other: &[u8], copy: usize) -> Vec<u8> {
    let forged = Header {
        generation: 9,
        slots: header(other).slots,
        ..header(own)
    };
    let mut object = own.to_vec();
    let place = copy * 4096..(copy + 1) * 4096;
    object[place.clone()].copy_from_slice(&forged.attached()[place]);
    object
}

#[test]
fn a_forged_newer_copy_does_not_keep_readers_from_the_other() {
    let (own, other) = (object(), object());
    for copy in [0, 1] {
        let forged = with_forged_copy(&own, &other, copy);
        assert_eq!(ObjectHeader::parse(&forged).unwrap().header().generation(), 9);
        assert!(opens(&forged, 1, "hot"));
        let decryptor = decryptor(raw(1), "hot");
        let reader = decryptor.reader(forged.as_slice()).unwrap();
        let found = reader.unlocked().object_header();
        assert_eq!(found.header().generation(), 0);
        assert!(matches!(&found.faults()[copy], Some(CopyFault::DoesNotOpen(_))));
        assert!(found.faults()[1 - copy].is_none());
        let ranges = decryptor.range_reader(forged.as_slice()).unwrap();
        assert!(ranges.read_range(..).unwrap() == plaintext(100));
        // If neither opens, the error is that of the newer one.
        let refused = Decryptor::new(raw(1)).open(&forged);
        assert!(matches!(refused, Err(Error::ContextMismatch(_))));
    }
}

#[test]
fn a_repair_opens_the_object_and_does_not_spread_a_forged_copy() {
    let (own, other) = (object(), object());
    for copy in [0, 1] {
        let forged = with_forged_copy(&own, &other, copy);
        let repair = Rewrap::new(decryptor(raw(1), "hot"));
        let moves = to_archive();
        for rewrap in [
            repair.clone().without_opening(),
            repair,
            moves.clone().without_opening(),
            moves,
        ] {
            let (outcome, after) = rewrapped(&forged, &rewrap);
            assert!(matches!(outcome, Err(Error::CommitmentMismatch { .. })), "{outcome:?}");
            assert!(after == forged);
        }
    }
    // A genuine newer copy is restored from, also without opening.
    let (_, newer) = rewrapped(&own, &Rewrap::new(decryptor(raw(1), "hot")).add_key(raw(3)));
    for copy in [0, 1] {
        let mut torn = newer.clone();
        let place = copy * 4096..(copy + 1) * 4096;
        torn[place.clone()].copy_from_slice(&own[place]);
        let (outcome, after) = rewrapped(&torn, &Rewrap::new(decryptor(raw(1), "hot")).without_opening());
        assert!(outcome.unwrap().repaired[copy].is_some());
        assert!(after == newer);
    }
}

#[test]
fn what_one_header_costs_a_rewrap_in_calls_is_bounded() {
    let (own, other) = (object(), object());
    let foreign = header(&other).slots[0].clone();
    let slots = [vec![header(&own).slots[0].clone()], vec![foreign; 15]].concat();
    // All different, so that no result is known from another.
    let mut slots = slots;
    for (number, slot) in slots.iter_mut().enumerate().skip(1) {
        slot.wrapped[30] ^= u8::try_from(number).unwrap();
    }
    let forged = under(&own, &Header { slots, ..header(&own) });
    let counting = |byte: u8| {
        Arc::new(Counting {
            always_maybe: true,
            ..Counting::new(RawKey::from_slice(&[byte; 32]).unwrap())
        })
    };
    // Keys that cannot tell from a slot's name whether it is theirs.
    for others in 0..4 {
        let keys: Vec<_> = std::iter::once(counting(1))
            .chain((0..others).map(|byte| counting(byte + 5)))
            .collect();
        let offered = keys[1..]
            .iter()
            .fold(decryptor(keys[0].clone(), "hot"), |decryptor, key| {
                decryptor.with_key(key.clone())
            });
        let rewrap = Rewrap::new(offered)
            .remove(SlotChoice::Key(raw(9)))
            .with_context(place("archive"))
            .drop_unreachable();
        let (outcome, after) = rewrapped(&forged, &rewrap);
        let calls: usize = keys.iter().map(|key| key.calls()).sum();
        // Two calls to open, 32 to try slots, and two to bind the object's own slot.
        assert!(calls <= 2 + 32 + 2, "{others}: {calls}");
        match outcome {
            Ok(_) => assert!(others < 2 && opens(&after, 1, "archive")),
            Err(Error::TooManyProviderCalls { limit: 32 }) => assert!(others >= 2 && after == forged),
            Err(error) => panic!("{others}: {error}"),
        }
    }
}
