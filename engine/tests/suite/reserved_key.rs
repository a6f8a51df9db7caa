//! An intermediate key is not a data key: its wrap opens nothing when put in the place of an object's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::oracle::{self, Header as OracleHeader, Slot};
use sealstone::format::WrappedKey;
use sealstone::keys::IntermediateKeys;
use sealstone::rewrap::SlotChoice;
use sealstone::{Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, Header, KeyProvider, RawKey, Rewrap};

const KEK: [u8; 32] = [7; 32];
const CORE: [u8; 3] = [1, 14, 0];
const RESERVED: (&str, &str) = ("sealstone:key", "intermediate@v1");

fn key() -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&KEK).unwrap())
}

/// The wrap of an intermediate key, taken from a slot that anyone can read.
fn stolen() -> WrappedKey {
    let keys = IntermediateKeys::new(key(), ["bucket"; 0]).unwrap();
    let slot = pollster::block_on(keys.generate_key(&EncryptionContext::new()))
        .unwrap()
        .wrapped;
    // No context key, then the wrap after its length.
    assert_eq!(slot.ciphertext[..3], [0, 0, 72]);
    WrappedKey::new("raw", key().fingerprint(), &slot.ciphertext[3..75])
}

#[test]
fn the_wrap_of_an_intermediate_key_is_no_objects() {
    let wrapped = stolen();
    // It would unwrap: for the holder of the key, only the context distinguishes it from a data key's wrap.
    let context = EncryptionContext::new().with(RESERVED.0, RESERVED.1);
    let unwrapped = pollster::block_on(key().unwrap_key(&wrapped, &context)).unwrap();

    // An object under it, as someone who knows the key would seal it, with a valid checksum and commitment.
    let payload = oracle::seal_payload(unwrapped.expose(), CORE, &[3; 24], b"plain");
    for stored in [Some(RESERVED.1.to_owned()), None] {
        let header = OracleHeader {
            version: 1,
            core: CORE,
            generation: 0,
            salt: [3; 24],
            commitment: payload[24..56].try_into().unwrap(),
            context: BTreeMap::from([(RESERVED.0.to_owned(), stored)]),
            slots: vec![Slot {
                provider: wrapped.provider.clone(),
                key_id: wrapped.key_id.clone(),
                wrapped: wrapped.ciphertext.clone(),
            }],
        };
        let is_refused =
            |error: &Error| matches!(error, Error::HeaderDamaged { reason, .. } if reason.contains("reserved"));
        assert!(is_refused(&Header::from_detached(&header.detached()).unwrap_err()));
        let object = [header.attached(), payload.clone()].concat();
        for rule in [ExpectedContext::AcceptStored, ExpectedContext::default()] {
            let decryptor = Decryptor::new(key()).with_context(rule);
            assert!(is_refused(&decryptor.open(&object).unwrap_err()));
            assert!(is_refused(&decryptor.reader(object.as_slice()).unwrap_err()));
            // A rewrap without opening would have passed the key on.
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &object).unwrap();
            let theirs = Arc::new(RawKey::from_slice(&[8; 32]).unwrap());
            let rewrap = Rewrap::new(decryptor)
                .replace(SlotChoice::Key(key()), theirs)
                .without_opening();
            assert!(is_refused(&rewrap.file(file.as_file()).unwrap_err()));
            assert_eq!(std::fs::read(file.path()).unwrap(), object);
        }
    }
}

#[test]
fn the_reserved_key_is_neither_sealed_under_nor_expected_nor_rewrapped_to() {
    let is_refused = |error: &Error| matches!(error, Error::InvalidContext { key, .. } if key == RESERVED.0);
    let reserved = EncryptionContext::new().with(RESERVED.0, "mine");
    let supplied = EncryptionContext::new()
        .with("a", "b")
        .with_supplied(RESERVED.0, RESERVED.1);
    let plain = Encryptor::new(key()).seal(b"plain").unwrap();
    let header = Decryptor::read_header(plain.as_slice()).unwrap();
    for context in [reserved, supplied] {
        let sealed = Encryptor::new(key()).with_context(context.clone()).seal(b"plain");
        assert!(is_refused(&sealed.unwrap_err()));
        for rule in [
            ExpectedContext::Exact(context.clone()),
            ExpectedContext::Contains(context.clone()),
        ] {
            let opened = Decryptor::new(key()).with_context(rule).open(&plain);
            assert!(is_refused(&opened.unwrap_err()));
        }
        for rewrap in [
            Rewrap::new(Decryptor::new(key())).with_context(context.clone()),
            Rewrap::new(Decryptor::new(key()))
                .with_context(context)
                .without_opening(),
        ] {
            assert!(is_refused(&rewrap.header(header.header()).unwrap_err()));
        }
    }
}
