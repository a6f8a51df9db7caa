//! Values that callers pass on from untrusted sources: every public function accepts any of them and returns a result.
//!
//! In a service, a panic is a request that takes down others.

use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{C, data_key, decryptor, encryptor, key, plaintext};
use proptest::prelude::*;
use sealstone::format::{Layout, WrappedKey};
use sealstone::keys::IntermediateKeys;
use sealstone::parts::EqualParts;
use sealstone::positioned::SizeOnly;
use sealstone::{
    ChunkSize, Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, Header, KeyProvider, KeyRing,
    Passphrase, RawKey, Rewrap,
};

/// Texts on both sides of each limit, and texts that formats and file systems stumble over.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,3}",
        1 => any::<String>(),
        1 => Just("sealstone:key".to_owned()),
        1 => Just("aws:s3:arn".to_owned()),
        1 => Just("\0".to_owned()),
        1 => Just("ö".repeat(32_768)),
        1 => prop::sample::select(vec![32, 33, 64, 65, 255, 256, 65_534, 65_535, 65_536, 70_000]).prop_map(|len| "x".repeat(len)),
    ]
}

fn contexts() -> impl Strategy<Value = EncryptionContext> {
    let pairs = prop::collection::vec((texts(), texts(), any::<bool>()), 0..4);
    (
        pairs,
        prop_oneof![20 => Just(0), 1 => Just(255), 1 => Just(256), 1 => Just(65_536)],
    )
        .prop_map(|(pairs, more)| {
            let numbered = (0..more).map(|number| (format!("{number}"), String::new())).collect();
            pairs
                .into_iter()
                .fold(numbered, |context: EncryptionContext, (key, value, stored)| {
                    if stored {
                        context.with(key, value)
                    } else {
                        context.with_supplied(key, value)
                    }
                })
        })
}

fn slots() -> impl Strategy<Value = WrappedKey> {
    let providers = prop_oneof![
        prop::sample::select(vec![
            RawKey::ID,
            KeyRing::ID,
            Passphrase::ID,
            IntermediateKeys::ID,
            "aws-kms"
        ])
        .prop_map(str::to_owned),
        texts()
    ];
    let argon = "argon2id,m=8,t=1,p=1,salt=000102030405060708090a0b0c0d0e0f";
    let key_ids = prop_oneof![
        Just(key().fingerprint().to_owned()),
        Just(format!("raw:{}", key().fingerprint())),
        Just(format!("raw:{}", "x".repeat(70_000))),
        Just(argon.to_owned()),
        texts()
    ];
    let scope = [&b"\x01\x00\x01a\x00\x48"[..], &[0; 72], &[0; 72]].concat();
    let ciphertexts = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        Just(vec![0; 72]),
        Just(vec![0; 70_000]),
        Just(scope)
    ];
    (providers, key_ids, ciphertexts)
        .prop_map(|(provider, key_id, ciphertext)| WrappedKey::new(provider, key_id, ciphertext))
}

/// Numbers around every limit.
fn numbers() -> impl Strategy<Value = u64> {
    let edges: Vec<u64> = [0, 1, C as u64, 1 << 20, 1 << 38, 1 << 52, 1 << 58, 1 << 63, u64::MAX]
        .into_iter()
        .flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)])
        .collect();
    prop_oneof![prop::sample::select(edges), any::<u64>(), 0..200_000u64]
}

fn providers() -> Vec<Arc<dyn KeyProvider>> {
    let passphrase = Passphrase::new("x".to_owned()).unwrap();
    vec![
        key(),
        Arc::new(KeyRing::in_memory("default").unwrap()),
        Arc::new(passphrase),
        Arc::new(IntermediateKeys::new(key(), ["a"]).unwrap()),
        Arc::new(IntermediateKeys::new(key(), ["a"; 0]).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn contexts_are_sealed_under_expected_and_rewrapped_to(
        sealed_under in contexts(), expected in contexts(), to in contexts(),
    ) {
        let _ = (sealed_under.canonical_bytes(), sealed_under.to_stored());
        let rules = [
            ExpectedContext::Exact(expected.clone()),
            ExpectedContext::Contains(expected),
            ExpectedContext::Exact(sealed_under.clone()),
            ExpectedContext::Contains(sealed_under.clone()),
            ExpectedContext::AcceptStored,
        ];
        for rule in &rules {
            let _ = rule.resolve(&sealed_under.to_stored());
        }
        let intermediate = Arc::new(IntermediateKeys::new(key(), ["a"]).unwrap());
        for provider in [key() as Arc<dyn KeyProvider>, intermediate] {
            // Another object if this context is invalid.
            let encryptor = Encryptor::new(provider).with_context(sealed_under.clone());
            let Ok(object) = encryptor.begin().or_else(|_| crate::common::encryptor().begin()) else { continue };
            let (header, mut payload) = (object.header().clone(), vec![0; 100]);
            let _ = (header.to_detached(), header.to_attached(), header.to_metadata());
            let len = object.detach().1.seal_into(b"x", &mut payload).unwrap();
            for rule in &rules {
                let decryptor = Decryptor::new(key()).with_context(rule.clone());
                let _ = decryptor.unlock(header.clone()).and_then(|unlocked| unlocked.open(&payload[..len]));
                let rewrap = Rewrap::new(decryptor).with_context(to.clone());
                let _ = rewrap.header(&header);
                let _ = rewrap.without_opening().drop_unreachable().header(&header);
            }
        }
    }

    #[test]
    fn providers_are_given_any_slot_and_context(slot in slots(), from in contexts(), to in contexts()) {
        for provider in providers() {
            let _ = (provider.matches(&slot), provider.can_rewrap(&slot), slot.name());
            let _ = pollster::block_on(provider.unwrap_key(&slot, &from));
            // Running Argon2id for each would take too long, and adds no other values.
            if provider.id() != Passphrase::ID {
                let _ = pollster::block_on(provider.wrap_key(&data_key(1), &from));
                let _ = pollster::block_on(provider.generate_key(&from));
                let _ = pollster::block_on(provider.rewrap_key(&slot, &from, &to));
                let _ = pollster::block_on(provider.rebind_key(&slot, &from, &to));
            }
        }
    }

    #[test]
    fn names_of_keys_and_scopes_are_anything(
        name in texts(), scope in prop::collection::vec(texts(), 0..3), required in prop::collection::vec(texts(), 0..3),
        context in contexts(), slot in slots(), age in numbers(), count in numbers(),
    ) {
        let _ = (KeyRing::in_memory(&name), KeyRing::in_memory("a").unwrap().with_sealing_key(&name));
        let directory = tempfile::tempdir().unwrap();
        let _ = KeyRing::create_or_open(&directory.path().join("ring"), &name);
        for path in [Path::new(&name), &directory.path().join(&name).join("ring")] {
            let _ = (KeyRing::open(path), KeyRing::rotate(path, &name), RawKey::from_file(path));
        }
        let _ = Header::from_metadata([("sealstone-header", &name)]);
        let _ = Passphrase::new(name);
        let numbered: Vec<_> = (0..count % 300).map(|number| number.to_string()).collect();
        for scope in [scope, numbered] {
            let Ok(keys) = IntermediateKeys::new(key(), scope) else { continue };
            let keys = keys
                .with_required_scope(required.clone())
                .with_max_age(Duration::from_nanos(age).saturating_mul(u32::MAX))
                .with_max_wraps(count)
                .with_max_cached(usize::try_from(count).unwrap_or(usize::MAX));
            let _ = pollster::block_on(keys.generate_key(&context));
            let _ = pollster::block_on(keys.unwrap_key(&slot, &context));
        }
    }

    #[test]
    fn ranges_are_of_any_bounds(
        start in numbers(), end in numbers(), other in numbers(), gap in numbers(), size in numbers(), len in 0..100_000usize,
    ) {
        let object = encryptor().seal(&plaintext(40_000)).unwrap();
        let reader = decryptor().range_reader(&object[..]).unwrap();
        let apart = decryptor().unlock(Decryptor::read_header(&object[..]).unwrap().header().clone()).unwrap();
        let apart = apart.range_reader(SizeOnly { size });
        let _ = (reader.read_range(start..end), reader.read_range(start..=end), reader.read_range(..=end), reader.read_range(start..));
        let _ = (reader.read_suffix(end), reader.read_at(&mut vec![0; len], start));
        let _ = reader.ciphertext_ranges([start..end, end..other], gap);
        let _ = reader.open_fetched(start..end, other, &object[..len.min(object.len())]);
        if let Ok(apart) = apart {
            let _ = (apart.resolve(start..end), apart.resolve(start..), apart.read_at(&mut [0; 9], start));
            let _ = apart.ciphertext_ranges([start..end, end..other], gap);
            let _ = apart.open_fetched(start..end, other, &object);
        }
        for layout in ChunkSize::ALL.map(Layout::new) {
            let _ = (layout.payload_len(size), layout.plaintext_len(size), layout.chunk_at(start));
            let _ = (layout.ciphertext_range(start..end, size), layout.ciphertext_ranges([start..end, end..other], size, gap));
            if let Ok(chunk) = layout.chunk_at(start) {
                let _ = (layout.plaintext_offset(chunk), layout.sealed_offset(chunk), chunk.advance(end));
            }
        }
    }

    #[test]
    fn seeks_go_anywhere(seeks in prop::collection::vec((0..3, numbers()), 1..5)) {
        let object = encryptor().seal(&plaintext(40_000)).unwrap();
        let mut reader = decryptor().reader(std::io::Cursor::new(&object)).unwrap();
        for (whence, offset) in seeks {
            let _ = reader.seek(match whence {
                0 => SeekFrom::Start(offset),
                1 => SeekFrom::Current(offset.cast_signed()),
                _ => SeekFrom::End(offset.cast_signed()),
            });
            let _ = reader.read(&mut [0; 100]);
        }
    }

    #[test]
    fn parts_are_of_any_number_and_length(
        part_len in prop_oneof![numbers(), (1..4u64).prop_map(|chunks| chunks * C as u64)], number in numbers(),
        small in 0..4u64, plaintext_len in numbers(), len in 0..3 * C, equal in numbers(),
    ) {
        let plain = plaintext(len);
        let mut equal_parts = EqualParts::new(NonZeroU64::new(equal).unwrap_or(NonZeroU64::MIN));
        // Parts of two objects and of other lengths, as a service may confuse them.
        for known in [None, Some(plaintext_len), Some(len as u64)] {
            let Ok(sealer) = encryptor().begin().unwrap().parts(part_len) else { continue };
            let Ok(sealer) = known.map_or_else(|| encryptor().begin().unwrap().parts(part_len), |len| sealer.with_plaintext_len(len))
            else {
                continue;
            };
            let _ = (sealer.part_len(), sealer.sealed_part_len());
            for number in [number, small] {
                let parts = [
                    sealer.part(number).and_then(|part| part.seal(&plain)),
                    sealer.part(number.wrapping_add(1)).and_then(|part| part.seal_last(&plain)),
                ];
                for part in parts.into_iter().flatten() {
                    // Few equal parts, because memory is not the subject of this test.
                    if equal > 1000 {
                        let _ = equal_parts.add(part);
                    }
                }
            }
            let _ = sealer.finish();
        }
        let _ = equal_parts.finish();
        let _ = encryptor().object_len(plaintext_len);
    }
}

/// A request's object name in a supplied value, of any length.
#[test]
fn a_supplied_value_of_over_65535_bytes_is_an_error() {
    let context = |len: usize| EncryptionContext::new().with_supplied("name", "v".repeat(len));
    let begin = |len| encryptor().with_context(context(len)).begin();
    let expecting = |len| decryptor().with_context(ExpectedContext::Exact(context(len)));
    let invalid = |error: Error| matches!(error, Error::InvalidContext { key, .. } if key == "name");
    assert!(invalid(begin(65_536).unwrap_err()));
    let (header, _) = begin(65_535).unwrap().detach();
    assert!(expecting(65_535).unlock(header.clone()).is_ok());
    assert!(invalid(expecting(65_536).unlock(header.clone()).unwrap_err()));
    let moved = Rewrap::new(expecting(65_535)).with_context(context(65_536));
    assert!(invalid(moved.header(&header).unwrap_err()));
}
