//! The engine against independent implementations: the `cobblestone` crate, and the oracle in `common/oracle.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use crate::common::oracle::{self, Header, Slot};
use crate::common::{C, data_key, decryptor, key, plaintext};
use sealstone::format::VERSION;
use sealstone::hazmat::{self, PayloadParameters};
use sealstone::keys::IntermediateKeys;
use sealstone::{
    Backend, ChunkSize, Decryptor, EncryptionContext, Encryptor, ExpectedContext, KeyProvider, KeyRing, ObjectHeader,
    Passphrase, RawKey, Suite,
};
use tempfile::TempDir;

const DATA_KEY: [u8; 32] = [1; 32];
const SALT: [u8; 24] = [2; 24];
/// The secret of [`key`].
const RAW: [u8; 32] = [7; 32];
const PASSPHRASE: &str = "correct horse battery staple, née Čapek";

#[test]
fn cobblestone_opens_our_payloads_and_we_open_its() {
    let theirs = cobblestone::Key256::from_bytes(&DATA_KEY);
    let encryptor = Encryptor::new(key());
    let context = encryptor.begin().unwrap().header().payload_context();
    assert_eq!(context, b"sealstone/object@v1\x01\x0e\x00");
    let whole = plaintext(33 * C);
    for len in [0, 1, C - 1, C, C + 1, 2 * C - 1, 2 * C, 2 * C + 1, 33 * C - 1, 33 * C] {
        let plain = &whole[..len];
        let ours = seal_ours(&encryptor, plain);
        assert_eq!(cobblestone::decrypt(&theirs, &context, &ours[8192..]).unwrap(), plain);

        let payload = cobblestone::encrypt(&theirs, &context, plain).unwrap();
        for &backend in Backend::ALL {
            let parameters = PayloadParameters {
                suite: Suite::Aes256Gcm,
                chunk_size: ChunkSize::KiB16,
                context: &context,
                backend,
            };
            let opened = hazmat::open_payload(&data_key(1), parameters, &payload).unwrap();
            assert!(opened == plain, "{len} {backend:?}");
        }
        // With a header added, it is one of our objects.
        let mut header = raw_header([1, 14, 0], &payload);
        header.slots.push(raw_slot(&no_pairs()));
        let object = [header.attached(), payload].concat();
        assert!(decryptor().open(&object).unwrap() == plain, "{len}");
    }
}

#[test]
fn an_independent_decoder_opens_every_suite_and_chunk_size() {
    let whole = plaintext(ChunkSize::MiB1.bytes() + 1);
    for (suite, size) in Suite::ALL
        .into_iter()
        .flat_map(|suite| ChunkSize::ALL.map(|size| (suite, size)))
    {
        let core = [suite.id(), size.log2(), 0];
        let c = size.bytes();
        // Without optimization, the portable ciphers take a second for a few MiB, so large chunks are tried at fewer
        // lengths.
        let lengths: &[usize] = if c <= 64 * 1024 {
            &[0, 1, c - 1, c, c + 1, 2 * c - 1, 2 * c, 2 * c + 1]
        } else {
            &[c - 1, c + 1]
        };
        for &len in lengths {
            let plain = &whole[..len];
            let expected = oracle::seal_payload(&DATA_KEY, core, &SALT, plain);
            assert!(oracle::open_payload(&DATA_KEY, core, &expected).unwrap() == plain);
            let context = oracle::payload_context(core);
            for &backend in Backend::ALL {
                let parameters = PayloadParameters {
                    suite,
                    chunk_size: size,
                    context: &context,
                    backend,
                };
                // The same bytes, so each implementation opens what the other seals.
                let sealed = hazmat::seal_payload(&data_key(1), SALT, parameters, plain).unwrap();
                assert!(sealed == expected, "{parameters:?} {len}");
                let opened = hazmat::open_payload(&data_key(1), parameters, &expected).unwrap();
                assert!(opened == plain, "{parameters:?} {len}");
            }
            let encryptor = Encryptor::new(key()).with_suite(suite).with_chunk_size(size);
            assert!(seal_ours(&encryptor, plain)[8192..] == expected, "{core:?} {len}");
            // A reader of the standard with the same key and context opens only the standard's own chunk size and
            // suite.
            if core != [1, 14, 0] {
                let theirs = cobblestone::Key256::from_bytes(&DATA_KEY);
                let refused = cobblestone::decrypt(&theirs, &context, &expected);
                assert_eq!(refused, Err(cobblestone::Error::InvalidCommitment), "{core:?} {len}");
            }
        }
    }
}

#[test]
fn an_independent_decoder_unwraps_local_raw_and_passphrase_slots() {
    let ring = Ring::new();
    let encryptor = Encryptor::new(ring.provider())
        .with_key(key())
        .with_key(passphrase())
        .with_context(context());
    let object = hazmat::begin(&encryptor, &data_key(1), SALT).unwrap();
    let header = Header::parse_detached(&object.header().to_detached().unwrap()).unwrap();
    let [local, raw, phrase] = header.slots.as_slice() else {
        panic!("{header:?}");
    };

    let id = local.key_id.strip_prefix("archive#").expect("the name, then the id");
    assert_eq!((local.provider.as_str(), id), ("local", ring.id.as_str()));
    assert_eq!((raw.provider.as_str(), &raw.key_id), ("raw", &oracle::raw_key_id(&RAW)));
    assert_eq!(phrase.provider, "passphrase");
    assert!(
        phrase.key_id.starts_with("argon2id,m=65536,t=3,p=4,salt="),
        "{}",
        phrase.key_id
    );

    let phrase_kek = oracle::passphrase_kek(&phrase.key_id, PASSPHRASE).unwrap();
    for (slot, kek) in [(local, &ring.secret), (raw, &RAW), (phrase, &phrase_kek)] {
        assert_eq!(slot.wrapped.len(), 72);
        assert_eq!(
            oracle::unwrap(kek, slot, &oracle::canonical(&pairs())),
            Some(DATA_KEY),
            "{slot:?}"
        );
        // Bound to the whole context and the names, and to nothing less.
        assert_eq!(oracle::unwrap(kek, slot, &oracle::canonical(&no_pairs())), None);
        let mut renamed = slot.clone();
        renamed.key_id.push('0');
        assert_eq!(oracle::unwrap(kek, &renamed, &oracle::canonical(&pairs())), None);
    }
}

#[test]
fn an_independent_decoder_unwraps_an_intermediate_slot() {
    let scope = pairs().into_keys();
    let keys = IntermediateKeys::new(key(), scope.take(1)).unwrap();
    let encryptor = Encryptor::new(Arc::new(keys)).with_context(context());
    let object = hazmat::begin(&encryptor, &data_key(1), SALT).unwrap();
    let header = Header::parse_detached(&object.header().to_detached().unwrap()).unwrap();
    let [slot] = header.slots.as_slice() else {
        panic!("{header:?}");
    };
    assert_eq!(slot.provider, "intermediate");
    assert_eq!(slot.key_id, format!("raw:{}", oracle::raw_key_id(&RAW)));
    assert_eq!(oracle::unwrap_intermediate(&RAW, slot, &pairs()), Some(DATA_KEY));
    let mut other = pairs();
    other.insert("more".to_owned(), String::new());
    for pairs in [other, no_pairs()] {
        assert_eq!(oracle::unwrap_intermediate(&RAW, slot, &pairs), None);
    }
}

#[test]
fn our_readers_open_what_the_oracle_wraps_and_encodes() {
    let ring = Ring::new();
    let plain = plaintext(3 * C + 5);
    let phrase_id = "argon2id,m=19456,t=2,p=2,salt=000102030405060708090a0b0c0d0eff";
    let phrase_kek = oracle::passphrase_kek(phrase_id, PASSPHRASE).unwrap();
    let canonical = oracle::canonical(&pairs());
    let wrap = |kek, provider: &str, key_id: &str| oracle::wrap(kek, &[9; 24], provider, key_id, &canonical, &DATA_KEY);
    for core in [[1, 14, 0], [2, 14, 0], [1, 16, 0], [2, 20, 0]] {
        let payload = oracle::seal_payload(&DATA_KEY, core, &SALT, &plain);
        let header = Header {
            generation: 7,
            context: stored_pairs(),
            slots: vec![
                unknown_slot(),
                wrap(&RAW, "raw", &oracle::raw_key_id(&RAW)),
                // Only the id matters: the ring has another name for this key.
                wrap(&ring.secret, "local", &format!("elsewhere#{}", ring.id)),
                wrap(&phrase_kek, "passphrase", phrase_id),
            ],
            ..raw_header(core, &payload)
        };
        let object = [header.attached(), payload.clone()].concat();
        let providers: [Arc<dyn KeyProvider>; 3] = [key(), ring.provider(), passphrase()];
        for provider in providers {
            let decryptor = Decryptor::new(provider).with_context(ExpectedContext::Exact(context()));
            assert!(decryptor.open(&object).unwrap() == plain, "{core:?} {decryptor:?}");

            let detached = sealstone::Header::from_detached(&header.detached()).unwrap();
            let mut reader = decryptor
                .clone()
                .unlock(detached)
                .unwrap()
                .reader(payload.as_slice())
                .unwrap();
            let mut opened = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut opened).unwrap();
            assert!(opened == plain, "{core:?} {decryptor:?}");
        }
    }
}

#[test]
fn the_oracle_encodes_the_same_facts_to_our_header_bytes() {
    for (suite, size) in Suite::ALL
        .into_iter()
        .flat_map(|suite| ChunkSize::ALL.map(|size| (suite, size)))
    {
        let core = [suite.id(), size.log2(), 0];
        for (context, stored) in [(context(), stored_pairs()), (EncryptionContext::new(), BTreeMap::new())] {
            let ours = Encryptor::new(key())
                .with_key(Arc::new(RawKey::from_slice(&[8; 32]).unwrap()))
                .with_context(context)
                .with_suite(suite)
                .with_chunk_size(size);
            let ours = hazmat::begin(&ours, &data_key(1), SALT).unwrap();
            let facts = Header {
                version: VERSION,
                core,
                generation: 0,
                salt: SALT,
                commitment: oracle::derive(&DATA_KEY, core, &SALT, &oracle::payload_context(core)).commitment,
                context: stored,
                // Wraps are random, so they alone are taken from the engine.
                slots: [[7; 32], [8; 32]]
                    .iter()
                    .zip(ours.header().slots())
                    .map(|(kek, slot)| Slot {
                        provider: "raw".to_owned(),
                        key_id: oracle::raw_key_id(kek),
                        wrapped: slot.ciphertext.clone(),
                    })
                    .collect(),
            };
            let (attached, detached) = (
                ours.header().to_attached().unwrap(),
                ours.header().to_detached().unwrap(),
            );
            assert_eq!(facts.attached(), attached);
            assert_eq!(facts.detached(), detached);
            assert_eq!(Header::parse_attached(&attached), Some(facts.clone()));
            assert_eq!(Header::parse_detached(&detached), Some(facts));
        }
    }
}

#[test]
fn our_parser_and_the_oracles_encoder_agree_on_every_fact() {
    let payload = oracle::seal_payload(&DATA_KEY, [2, 18, 0], &SALT, b"");
    let facts = Header {
        generation: u64::MAX,
        context: stored_pairs(),
        slots: vec![unknown_slot(), raw_slot(&pairs()), unknown_slot()],
        ..raw_header([2, 18, 0], &payload)
    };
    let ours = sealstone::Header::from_detached(&facts.detached()).unwrap();
    assert_eq!(ours.to_detached().unwrap(), facts.detached());
    let attached = ObjectHeader::parse(&facts.attached()).unwrap();
    assert_eq!(attached.header().to_attached().unwrap(), facts.attached());

    assert_eq!(ours.suite(), Suite::ChaCha20Poly1305);
    assert_eq!(ours.chunk_size(), ChunkSize::KiB256);
    assert_eq!(ours.generation(), u64::MAX);
    assert_eq!(ours.payload_context(), oracle::payload_context([2, 18, 0]));
    assert_eq!(ours.payload_prefix().unwrap(), payload[..56]);
    let stored = ours
        .context()
        .iter()
        .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
    assert_eq!(stored.collect::<BTreeMap<_, _>>(), facts.context);
    let slots = ours.slots().iter().map(|slot| Slot {
        provider: slot.provider.clone(),
        key_id: slot.key_id.clone(),
        wrapped: slot.ciphertext.clone(),
    });
    assert_eq!(slots.collect::<Vec<_>>(), facts.slots);
    assert_eq!(context().canonical_bytes().unwrap(), oracle::canonical(&pairs()));

    // Control characters are those of Unicode.
    for (key_id, accepted) in [("\u{7e}", true), ("\u{7f}", false), ("\u{9f}", false), ("\u{a0}", true)] {
        let mut named = facts.clone();
        named.slots[0].key_id = key_id.to_owned();
        let parsed = sealstone::Header::from_detached(&named.detached());
        assert_eq!(parsed.is_ok(), accepted, "{key_id:?}");
    }
}

/// An attached object sealed by the engine under [`DATA_KEY`] and [`SALT`].
fn seal_ours(encryptor: &Encryptor, plain: &[u8]) -> Vec<u8> {
    crate::common::seal_fixed(encryptor, DATA_KEY[0], SALT[0], plain)
}

/// A header for `payload`, without context and slots.
fn raw_header(core: oracle::Core, payload: &[u8]) -> Header {
    Header {
        version: VERSION,
        core,
        generation: 0,
        salt: payload[..24].try_into().unwrap(),
        commitment: payload[24..56].try_into().unwrap(),
        context: BTreeMap::new(),
        slots: Vec::new(),
    }
}

fn raw_slot(pairs: &BTreeMap<String, String>) -> Slot {
    let context = oracle::canonical(pairs);
    oracle::wrap(&RAW, &[9; 24], "raw", &oracle::raw_key_id(&RAW), &context, &DATA_KEY)
}

fn unknown_slot() -> Slot {
    Slot {
        provider: "no-such-service-2".to_owned(),
        key_id: String::new(),
        wrapped: Vec::new(),
    }
}

/// Pairs of all kinds: stored, supplied, empty, not ASCII, and not in the order of their keys' bytes.
const PAIRS: [(&str, &str, bool); 5] = [
    ("tenant", "a secret of sorts", true),
    ("Ω", "ω", false),
    ("bucket", "b", false),
    ("empty", "", false),
    ("Zone", "", true),
];

fn context() -> EncryptionContext {
    PAIRS
        .iter()
        .fold(EncryptionContext::new(), |context, &(key, value, supplied)| {
            if supplied {
                context.with_supplied(key, value)
            } else {
                context.with(key, value)
            }
        })
}

fn pairs() -> BTreeMap<String, String> {
    PAIRS
        .iter()
        .map(|&(key, value, _)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn no_pairs() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn stored_pairs() -> BTreeMap<String, Option<String>> {
    let pairs = PAIRS.iter();
    pairs
        .map(|&(key, value, supplied)| (key.to_owned(), (!supplied).then(|| value.to_owned())))
        .collect()
}

fn passphrase() -> Arc<Passphrase> {
    Arc::new(Passphrase::new(PASSPHRASE.to_owned()).unwrap())
}

/// A key ring in a file, and the only key in it.
struct Ring {
    dir: TempDir,
    id: String,
    secret: [u8; 32],
}

impl Ring {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        KeyRing::create_or_open(&dir.path().join("ring"), "archive").unwrap();
        let text = fs::read(dir.path().join("ring")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let version = &json["keys"][0]["versions"][0];
        let field = |name: &str| version[name].as_str().unwrap().to_owned();
        Self {
            id: field("id"),
            secret: oracle::unhex(&field("secret")).unwrap().try_into().unwrap(),
            dir,
        }
    }

    fn provider(&self) -> Arc<KeyRing> {
        let ring = KeyRing::open(&self.dir.path().join("ring")).unwrap();
        Arc::new(ring.with_sealing_key("archive").unwrap())
    }
}
