//! A slot that unwraps under many passphrases: AES-GCM does not commit to its key, and a passphrase can be guessed.
//!
//! Anyone who gets a reader to open such an object, and learns whether its slot unwrapped, learns whether the reader's
//! passphrase is among the many. The reader's answers must not reveal this.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::Counting;
use crate::common::oracle::{self, Header, Slot};
use crate::field::{ghash, multiply, solve, square};
use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sealstone::error::ProviderErrorClass;
use sealstone::format::WrappedKey;
use sealstone::rewrap::SlotChoice;
use sealstone::{
    Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, KeyProvider, Passphrase, RawKey, Rewrap,
};

const CORE: [u8; 3] = [1, 14, 0];
const SALT: [u8; 24] = [3; 24];
const DATA_KEY: [u8; 32] = [1; 32];
const RAW: [u8; 32] = [11; 32];
const NONCE: [u8; 24] = [9; 24];
/// The lowest cost that a reader accepts.
const KEY_ID: &str = "argon2id,m=19456,t=2,p=1,salt=000102030405060708090a0b0c0d0e0f";
const MANY: [&str; 3] = ["123456", "password", "correct horse"];
const OTHERS: [&str; 2] = ["123457", "battery staple"];

#[test]
fn a_slot_that_unwraps_under_many_passphrases_does_not_tell_which() {
    let slot = slot_of_many(&MANY);
    // The slot is as claimed: it unwraps under each of the passphrases.
    let canonical = oracle::canonical(&BTreeMap::new());
    let unwraps = |phrase: &str| oracle::unwrap(&oracle::passphrase_kek(KEY_ID, phrase).unwrap(), &slot, &canonical);
    let keys = MANY.map(|phrase| unwraps(phrase).expect("unwraps under each"));
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    assert!(OTHERS.iter().all(|phrase| unwraps(phrase).is_none()));
    let wrapped = WrappedKey::new("passphrase", KEY_ID, slot.wrapped.as_slice());
    for phrase in MANY {
        let unwrapped = pollster::block_on(passphrase(phrase).unwrap_key(&wrapped, &EncryptionContext::new()));
        assert!(unwrapped.is_ok());
    }

    for slots in [vec![slot.clone()], vec![slot, raw_slot()]] {
        let object = object(&slots);
        let answers = [&MANY[1..], &OTHERS[1..]].concat();
        let answers: Vec<_> = answers.into_iter().map(|phrase| answers_to(phrase, &object)).collect();
        for answer in &answers {
            assert_eq!(answer, &answers[0]);
        }
    }
}

/// Everything that the object's author may see of a reader with this passphrase: errors, and calls of another key.
fn answers_to(phrase: &str, object: &[u8]) -> Vec<String> {
    let offered = passphrase(phrase);
    let alone = Decryptor::new(offered.clone());
    let raw = Arc::new(Counting::new(RawKey::from_slice(&RAW).unwrap()));
    let with_raw = alone.clone().with_key(raw.clone());
    let raw_only = Decryptor::new(Arc::new(RawKey::from_slice(&RAW).unwrap()));
    let mut answers = Vec::new();
    let mut tell = |what: sealstone::Result<Vec<u8>>| {
        if let Err(error) = &what {
            assert!(!matches!(error, Error::CommitmentMismatch { .. }), "{error}");
            answers.push(error.to_string());
        }
        answers.push(format!("{what:?}"));
    };
    tell(alone.open(object));
    tell(alone.reader(object).map(|mut reader| {
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).unwrap();
        plain
    }));
    tell(
        alone
            .range_reader(object)
            .and_then(|reader| Ok(reader.read_range(..)?.into())),
    );
    tell(
        alone
            .verify(object)
            .map(|opened| opened.plaintext_len.to_string().into_bytes()),
    );
    tell(with_raw.open(object));
    let header = Decryptor::read_header(object).unwrap();
    let new: Arc<dyn KeyProvider> = Arc::new(RawKey::from_slice(&[12; 32]).unwrap());
    for rewrap in [
        Rewrap::new(alone.clone()).add_key(new.clone()),
        Rewrap::new(alone).with_context(EncryptionContext::new().with("a", "b")),
        Rewrap::new(with_raw.clone()).remove(SlotChoice::Key(offered.clone())),
        Rewrap::new(with_raw.clone()).with_context(EncryptionContext::new().with("a", "b")),
        Rewrap::new(with_raw)
            .with_context(EncryptionContext::new().with("a", "b"))
            .without_opening(),
        Rewrap::new(raw_only.clone()).remove(SlotChoice::Key(offered.clone())),
        Rewrap::new(raw_only.clone()).replace(SlotChoice::Key(offered.clone()), new.clone()),
        Rewrap::new(raw_only.clone())
            .replace(SlotChoice::Key(offered.clone()), new)
            .without_opening(),
        Rewrap::new(raw_only.clone())
            .replace(SlotChoice::Named(vec![format!("passphrase:{KEY_ID}")]), offered.clone())
            .without_opening(),
        Rewrap::new(raw_only).add_key(offered),
    ] {
        // New wraps differ by their nonces, and a passphrase's key id by its salt, but the number of slots does not
        // differ.
        let header = rewrap.header(header.header());
        tell(header.map(|header| format!("{:?}", header.map(|header| header.slots().len())).into_bytes()));
    }
    answers.push(format!("{} calls", raw.calls()));
    answers
}

/// A supplied value is not in the header, so the header fits two contexts: the old one, and the new one of a completed
/// rewrap.
#[test]
fn a_passphrase_is_tried_once_under_one_context() {
    let of = |path: &str| EncryptionContext::new().with_supplied("path", path);
    let object = Encryptor::new(passphrase("right"))
        .with_context(of("a"))
        .begin()
        .unwrap();
    let wrong = Arc::new(Counting::new(Passphrase::new("wrong".to_owned()).unwrap()));
    let decryptor = Decryptor::new(wrong.clone()).with_context(ExpectedContext::Exact(of("b")));
    let rewrap = Rewrap::new(decryptor).with_context(of("c"));
    assert!(matches!(rewrap.header(object.header()), Err(Error::Provider(_))));
    assert_eq!(wrong.calls(), 1);
    // For other keys, whose wraps reveal nothing, both contexts are tried.
    let object = Encryptor::new(Arc::new(RawKey::from_slice(&RAW).unwrap()))
        .with_context(of("a"))
        .begin()
        .unwrap();
    let right = Arc::new(Counting::new(RawKey::from_slice(&RAW).unwrap()));
    let decryptor = Decryptor::new(right.clone()).with_context(ExpectedContext::Exact(of("b")));
    assert!(
        Rewrap::new(decryptor)
            .with_context(of("a"))
            .header(object.header())
            .unwrap()
            .is_none()
    );
    assert_eq!(right.calls(), 2);
}

/// The work is the same: Argon2id, and what follows it. The test would detect a difference of one percent; a smaller
/// one is below the noise.
#[test]
fn a_slot_that_unwraps_takes_no_longer_than_one_that_does_not() {
    let object = object(&[slot_of_many(&MANY)]);
    let readers = [MANY[1], OTHERS[1]].map(|phrase| Decryptor::new(passphrase(phrase)));
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..20 {
        for (reader, fastest) in readers.iter().zip(&mut fastest) {
            let start = Instant::now();
            assert!(reader.open(&object).is_err());
            *fastest = start.elapsed().min(*fastest);
        }
    }
    let [among, apart] = fastest.map(|time| time.as_secs_f64());
    assert!((0.5..2.0).contains(&(among / apart)), "{fastest:?}");
}

#[test]
fn an_object_of_such_a_slot_opens_by_its_own_passphrase_alone() {
    let kek = oracle::passphrase_kek(KEY_ID, MANY[0]).unwrap();
    let canonical = oracle::canonical(&BTreeMap::new());
    let own = oracle::wrap(&kek, &NONCE, "passphrase", KEY_ID, &canonical, &DATA_KEY);
    let object = object(&[own]);
    let open = |phrase| Decryptor::new(passphrase(phrase)).open(&object);
    assert_eq!(open(MANY[0]).unwrap(), b"plain");
    assert!(matches!(open(MANY[1]), Err(Error::Provider(error)) if error.class == ProviderErrorClass::BadCiphertext));
}

fn passphrase(text: &str) -> Arc<Passphrase> {
    Arc::new(Passphrase::new(text.to_owned()).unwrap())
}

fn raw_slot() -> Slot {
    let context = oracle::canonical(&BTreeMap::new());
    oracle::wrap(&RAW, &NONCE, "raw", &oracle::raw_key_id(&RAW), &context, &DATA_KEY)
}

fn object(slots: &[Slot]) -> Vec<u8> {
    let payload = oracle::seal_payload(&DATA_KEY, CORE, &SALT, b"plain");
    let header = Header {
        version: 1,
        core: CORE,
        generation: 0,
        salt: SALT,
        commitment: payload[24..56].try_into().unwrap(),
        context: BTreeMap::new(),
        slots: slots.to_vec(),
    };
    [header.attached(), payload].concat()
}

/// A slot whose tag verifies under all of three passphrases.
///
/// Under each key, the tag is linear in the two blocks of ciphertext: `T = S + H(AAD, 0, 0, lengths) + X h^3 + Y h^2`.
/// Three keys make three equations in the unknowns X, Y and T. Every block of AAD that the author can choose, through
/// the context, would allow one more key.
fn slot_of_many(phrases: &[&str; 3]) -> Slot {
    let aad = oracle::wrap_aad("passphrase", KEY_ID, &oracle::canonical(&BTreeMap::new()));
    let rows = phrases.map(|phrase| {
        let kek = oracle::passphrase_kek(KEY_ID, phrase).unwrap();
        let (key, nonce) = oracle::xaes_derive(&kek, &NONCE);
        let aes = Aes256::new((&key).into());
        let encrypt = |mut block: [u8; 16]| {
            aes.encrypt_block((&mut block).into());
            u128::from_be_bytes(block)
        };
        let h = encrypt([0; 16]);
        let mut first = [0, 0, 0, 1].repeat(4);
        first[..12].copy_from_slice(&nonce);
        let mask = encrypt(first.try_into().unwrap());
        let mut padded = aad.clone();
        padded.resize(aad.len().next_multiple_of(16), 0);
        let blocks = padded.as_chunks().0.iter().map(|block| u128::from_be_bytes(*block));
        let lengths = ((aad.len() as u128 * 8) << 64) | (32 * 8);
        let constant = mask ^ ghash(h, blocks.chain([0, 0, lengths]));
        ([multiply(square(h), h), square(h), crate::field::ONE], constant)
    });
    let [x, y, tag] = solve(rows);
    Slot {
        provider: "passphrase".to_owned(),
        key_id: KEY_ID.to_owned(),
        wrapped: [&NONCE[..], &x.to_be_bytes(), &y.to_be_bytes(), &tag.to_be_bytes()].concat(),
    }
}
