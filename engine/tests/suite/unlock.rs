//! From header to data key: what is checked before a provider is called, which provider is called, and how often.

use std::collections::HashSet;
use std::sync::Arc;

use crate::common::{Counting, data_key, decryptor, encryptor, key, plaintext};
use sealstone::error::ProviderErrorClass;
use sealstone::format::WrappedKey;
use sealstone::{
    Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, Header, KeyProvider, KeyRing, Passphrase, RawKey,
    hazmat,
};

fn raw(byte: u8) -> RawKey {
    RawKey::from_slice(&[byte; 32]).unwrap()
}

#[test]
fn every_object_has_its_own_data_key_and_salt() {
    let mut salts = HashSet::new();
    let mut payloads = HashSet::new();
    for _ in 0..1000 {
        let object = encryptor().seal(b"the same").unwrap();
        salts.insert(object[8192..8216].to_vec());
        payloads.insert(object[8248..].to_vec());
    }
    assert_eq!((salts.len(), payloads.len()), (1000, 1000));
}

#[test]
fn each_of_several_keys_opens_the_object() {
    let ring = Arc::new(KeyRing::in_memory("default").unwrap());
    let encryptor = Encryptor::new(key()).with_key(Arc::new(raw(9))).with_key(ring.clone());
    let object = encryptor.seal(b"for three").unwrap();
    let keys: [Arc<dyn KeyProvider>; 3] = [key(), Arc::new(raw(9)), ring];
    for key in keys {
        assert_eq!(Decryptor::new(key).open(&object).unwrap(), b"for three");
    }
    let other = Decryptor::new(Arc::new(raw(8))).with_key(Arc::new(KeyRing::in_memory("default").unwrap()));
    match other.open(&object) {
        Err(Error::NoUsableKey { slots, reasons }) => {
            assert_eq!(slots.len(), 3);
            assert!(slots[2].starts_with("local:default#"), "{slots:?}");
            assert!(reasons.iter().any(|reason| reason.contains("wrong key")), "{reasons:?}");
            assert!(
                reasons.iter().any(|reason| reason.contains("another machine")),
                "{reasons:?}"
            );
        }
        result => panic!("{result:?}"),
    }
}

#[test]
fn a_context_mismatch_calls_no_provider() {
    let context = EncryptionContext::new().with("bucket", "b").with_supplied("path", "p");
    let object = encryptor().with_context(context.clone()).seal(b"bound").unwrap();
    let wrong = [
        ExpectedContext::default(),
        ExpectedContext::Exact(EncryptionContext::new().with("bucket", "x").with("path", "p")),
        ExpectedContext::Exact(context.clone().with("more", "")),
        ExpectedContext::Contains(EncryptionContext::new().with("bucket", "b")),
        ExpectedContext::AcceptStored,
    ];
    for expected in wrong {
        let counting = Arc::new(Counting::new(raw(7)));
        let result = Decryptor::new(counting.clone()).with_context(expected).open(&object);
        assert!(matches!(result, Err(Error::ContextMismatch(_))));
        assert_eq!(counting.calls(), 0);
    }
    for expected in [
        ExpectedContext::Exact(context),
        ExpectedContext::Contains(EncryptionContext::new().with("path", "p")),
    ] {
        assert_eq!(decryptor().with_context(expected).open(&object).unwrap(), b"bound");
    }
}

#[test]
fn a_wrong_supplied_value_fails_the_wrap() {
    let context = EncryptionContext::new().with_supplied("path", "p");
    let object = encryptor().with_context(context).seal(b"bound").unwrap();
    let wrong = ExpectedContext::Exact(EncryptionContext::new().with("path", "q"));
    let result = decryptor().with_context(wrong).open(&object);
    assert!(matches!(result, Err(Error::Provider(_))), "{result:?}");
}

/// An object whose header has these slots, with a corrected checksum.
fn with_slots(object: &[u8], slots: &[WrappedKey]) -> Vec<u8> {
    let header = rebuilt(object, slots);
    [header.as_slice(), header.as_slice(), &object[8192..]].concat()
}

/// One header copy of `object` with other slots, encoded by hand.
fn rebuilt(object: &[u8], slots: &[WrappedKey]) -> Vec<u8> {
    use sha2::Digest;
    // No context: the slot table begins after the count of pairs.
    assert_eq!(object[76..78], [0, 0]);
    let mut copy = object[..78].to_vec();
    copy.push(u8::try_from(slots.len()).unwrap());
    for slot in slots {
        for field in [slot.provider.as_bytes(), slot.key_id.as_bytes(), &slot.ciphertext] {
            copy.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
            copy.extend_from_slice(field);
        }
    }
    copy.resize(4096 - 32, 0);
    let digest = sha2::Sha256::digest(&copy);
    copy.extend_from_slice(&digest);
    copy
}

fn slots_of(object: &[u8]) -> Vec<WrappedKey> {
    Decryptor::read_header(object).unwrap().header().slots().to_vec()
}

#[test]
fn unknown_providers_are_skipped() {
    let object = encryptor().seal(b"x").unwrap();
    let mut slots = slots_of(&object);
    slots.insert(0, WrappedKey::new("of-the-future", "k", [1, 2, 3]));
    let counting = Arc::new(Counting::new(raw(7)));
    let opened = Decryptor::new(counting.clone())
        .open(&with_slots(&object, &slots))
        .unwrap();
    assert_eq!(opened, b"x");
    assert_eq!(counting.calls(), 1);
}

#[test]
fn only_candidate_slots_are_tried_and_at_most_two() {
    let object = encryptor().seal(b"x").unwrap();
    let good = slots_of(&object).remove(0);
    // Slots that name the right key but hold something else.
    let forged = WrappedKey::new("raw", &good.key_id, vec![0; 72]);
    let mut slots = vec![forged; 15];
    slots.push(good.clone());
    let flooded = with_slots(&object, &slots);

    let counting = Arc::new(Counting::new(raw(7)));
    let result = Decryptor::new(counting.clone()).open(&flooded);
    assert!(matches!(result, Err(Error::Provider(_))));
    assert_eq!(counting.calls(), 2);

    let counting = Arc::new(Counting::new(raw(7)));
    let raised = Decryptor::new(counting.clone()).with_max_provider_calls(16);
    assert_eq!(raised.open(&flooded).unwrap(), b"x");
    assert_eq!(counting.calls(), 16);

    // Slots of other keys cost nothing.
    let mut slots = vec![WrappedKey::new("raw", "0".repeat(32), vec![0; 72]); 15];
    slots.push(good);
    let counting = Arc::new(Counting::new(raw(7)));
    let opened = Decryptor::new(counting.clone())
        .open(&with_slots(&object, &slots))
        .unwrap();
    assert_eq!((opened.as_slice(), counting.calls()), (&b"x"[..], 1));
}

/// A service that does not respond is called once, other keys as usual; a retryable error takes precedence.
#[test]
fn a_key_that_is_away_is_asked_once() {
    let object = Encryptor::new(Arc::new(raw(9))).with_key(key()).seal(b"x").unwrap();
    let slots = slots_of(&object);
    let forged = WrappedKey::new("raw", &slots[0].key_id, vec![0; 72]);
    let flooded = with_slots(&object, &[forged.clone(), forged.clone(), forged, slots[1].clone()]);
    let away = || {
        Arc::new(Counting {
            fails: Some(ProviderErrorClass::Unavailable),
            ..Counting::new(raw(9))
        })
    };
    let one = away();
    let decryptor = Decryptor::new(one.clone()).with_max_provider_calls(16);
    let class = |result: sealstone::Result<Vec<u8>>| match result {
        Err(Error::Provider(error)) => error.class,
        other => panic!("{other:?}"),
    };
    assert_eq!(class(decryptor.open(&flooded)), ProviderErrorClass::Unavailable);
    assert_eq!(one.calls(), 1);
    assert_eq!(decryptor.with_key(key()).open(&flooded).unwrap(), b"x");
    // The first error is permanent, the second may pass.
    let both = Decryptor::new(Arc::new(raw(9)))
        .with_key(away())
        .with_max_provider_calls(16);
    assert_eq!(class(both.open(&flooded)), ProviderErrorClass::Unavailable);
}

#[test]
fn slots_that_surely_match_are_tried_before_those_that_may() {
    let object = Encryptor::new(Arc::new(raw(9))).with_key(key()).seal(b"x").unwrap();
    let unsure = Arc::new(Counting {
        always_maybe: true,
        ..Counting::new(raw(1))
    });
    let sure = Arc::new(Counting::new(raw(7)));
    let decryptor = Decryptor::new(unsure.clone())
        .with_key(sure.clone())
        .with_max_provider_calls(1);
    assert_eq!(decryptor.open(&object).unwrap(), b"x");
    assert_eq!((unsure.calls(), sure.calls()), (0, 1));
}

#[test]
fn a_slot_whose_key_fails_the_commitment_is_passed_over() {
    let object = encryptor().seal(b"x").unwrap();
    let foreign = slots_of(&encryptor().seal(b"y").unwrap()).remove(0);
    let good = slots_of(&object).remove(0);
    let both = with_slots(&object, &[foreign.clone(), good]);
    assert_eq!(decryptor().open(&both).unwrap(), b"x");
    let result = decryptor().open(&with_slots(&object, std::slice::from_ref(&foreign)));
    assert!(matches!(result, Err(Error::CommitmentMismatch { slot }) if slot == foreign.name()));
}

#[test]
fn a_header_of_another_object_is_refused() {
    let [first, second] = [b"one", b"two"].map(|plain| encryptor().seal(plain).unwrap());
    let mixed = [&second[..8192], &first[8192..]].concat();
    assert!(matches!(decryptor().open(&mixed), Err(Error::HeaderOfAnotherPayload)));

    let header = Decryptor::read_header(second.as_slice()).unwrap();
    let detached = Header::from_detached(&header.header().to_detached().unwrap()).unwrap();
    let result = decryptor().unlock(detached.clone()).unwrap().reader(&first[8192..]);
    assert!(matches!(result, Err(Error::HeaderOfAnotherPayload)));
    // A ranged reader does not fetch the payload's first bytes, but the chunks are refused anyway.
    let reader = decryptor()
        .unlock(detached)
        .unwrap()
        .range_reader(&first[8192..])
        .unwrap();
    assert!(matches!(
        reader.read_range(0..1),
        Err(Error::ChunkAltered { chunk: 0, .. })
    ));
}

#[test]
fn a_wrong_key_opens_nothing_and_says_so() {
    let object = encryptor().seal(b"x").unwrap();
    let wrong = Arc::new(Counting::new(raw(8)));
    let result = Decryptor::new(wrong.clone()).open(&object);
    assert!(matches!(&result, Err(Error::NoUsableKey { reasons, .. }) if reasons[0].contains("wrong key")));
    assert_eq!(wrong.calls(), 0);

    let object = Encryptor::new(Arc::new(Passphrase::new("right".to_owned()).unwrap()))
        .seal(b"x")
        .unwrap();
    let result = Decryptor::new(Arc::new(Passphrase::new("wrong".to_owned()).unwrap())).open(&object);
    assert!(matches!(&result, Err(Error::Provider(error)) if error.message.contains("wrong passphrase")));
}

#[test]
fn two_passphrases_for_one_object_are_refused_when_sealing() {
    let passphrase = |text: &str| Arc::new(Passphrase::new(text.to_owned()).unwrap());
    let result = Encryptor::new(passphrase("a")).with_key(passphrase("b")).seal(b"x");
    assert!(matches!(result, Err(Error::TooManySlots { limit: 1, .. })));
}

#[test]
fn a_context_too_large_for_an_attached_header_is_refused_before_anything_is_written() {
    let context = EncryptionContext::new().with("k", "v".repeat(5000));
    let encryptor = encryptor().with_context(context);
    let mut sink = Vec::new();
    let result = encryptor.writer(&mut sink).map(drop);
    assert!(matches!(result, Err(Error::HeaderTooLarge { limit: 4096, .. })));
    assert!(sink.is_empty());
    // It fits a detached header.
    assert!(encryptor.begin().unwrap().header().to_detached().is_ok());
}

#[test]
fn the_given_data_key_is_the_one_that_is_wrapped() {
    let plain = plaintext(100);
    let object = hazmat::begin(&encryptor(), &data_key(3), [4; 24]).unwrap();
    let context = object.header().payload_context();
    let mut sealed = vec![0; 9000];
    let len = object.seal_into(&plain, &mut sealed).unwrap();
    let parameters = hazmat::PayloadParameters {
        suite: sealstone::Suite::default(),
        chunk_size: sealstone::ChunkSize::default(),
        context: &context,
        backend: sealstone::Backend::default(),
    };
    let opened = hazmat::open_payload(&data_key(3), parameters, &sealed[8192..len]).unwrap();
    assert_eq!(opened, plain);
    assert_eq!(decryptor().open(&sealed[..len]).unwrap(), plain);
}
