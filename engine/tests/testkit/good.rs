//! Objects that open: every suite and chunk size, lengths, contexts, slots, headers with one good copy.

use std::collections::BTreeMap;

use crate::common::oracle::{self, Slot};
use crate::object::{C, COPY, KEK, NONCE, OTHER_KEK, Object, PASSPHRASE, raw_key, string};
use crate::vector::Vector;

pub fn all() -> Vec<Vector> {
    [payloads(), contexts(), slots(), headers()].concat()
}

fn payloads() -> Vec<Vector> {
    let mut all = Vec::new();
    for (suite, suite_name) in [(1, "aes-256-gcm"), (2, "chacha20-poly1305")] {
        for log2 in [14, 16, 18, 20] {
            let object = Object::new(100).with_core([suite, log2, 0]);
            let name = format!("good-{suite_name}-{}k", (1 << log2) / 1024);
            all.push(Vector::good(&name, "one short chunk", &object));
        }
    }
    for (name, len) in [
        ("empty", 0),
        ("one-byte", 1),
        ("one-byte-less-than-a-chunk", C - 1),
        ("a-full-chunk", C),
        ("one-byte-more-than-a-chunk", C + 1),
        ("two-full-chunks", 2 * C),
    ] {
        let comment = format!("{len} bytes of plaintext in chunks of 16 KiB");
        all.push(Vector::good_detached(
            &format!("good-length-{name}"),
            &comment,
            &Object::new(len),
        ));
    }
    let larger = Object::new(64 * 1024).with_core([2, 16, 0]);
    let comment = "a full chunk of 64 KiB and an empty final one";
    all.push(Vector::good_detached("good-length-full-64k", comment, &larger));
    all
}

fn contexts() -> Vec<Vector> {
    let two = Object::new(50).with_pairs(&[("bucket", "photos"), ("key", "2024/Å.jpg")]);
    let supplied = two.clone().with_supplied("bucket");
    let empty_value = Object::new(50).with_pairs(&[("a", "")]);
    vec![
        Vector::good("good-context-stored", "two stored pairs", &two),
        Vector::good("good-context-supplied", "one of two pairs is supplied", &supplied),
        Vector::good("good-context-empty-value", "a value may be empty", &empty_value),
        Vector::good("good-context-contains", "the other pair is taken from the header", &two)
            .context("contains", &[("bucket", "photos")]),
        Vector::good(
            "good-context-accept-stored",
            "both pairs are taken from the header",
            &two,
        )
        .context("accept-stored", &[]),
        Vector::good(
            "good-context-contains-supplied",
            "the supplied pair is named, the stored one taken",
            &supplied,
        )
        .context("contains", &[("bucket", "photos")]),
    ]
}

/// The lowest cost that a passphrase slot may have [W-16].
pub const FLOOR_ID: &str = "argon2id,m=19456,t=2,p=1,salt=000102030405060708090a0b0c0d0e0f";

fn slots() -> Vec<Vector> {
    let plain = Object::new(50).with_pairs(&[("bucket", "b")]);
    let local_id = "archive#000102030405060708090a0b0c0d0e0f";
    let passphrase_id = "argon2id,m=1024,t=1,p=1,salt=000102030405060708090a0b0c0d0e0f";
    let raw = plain.raw_slot(&KEK);
    let unknown = Slot {
        provider: "of-the-future".to_owned(),
        key_id: String::new(),
        wrapped: Vec::new(),
    };
    // From an object with another data key: unwraps under our key, and fails the commitment.
    let foreign = plain.clone().with_data_key(9).raw_slot(&KEK);
    let sixteen: Vec<_> = (0..15)
        .map(|at| Slot {
            key_id: format!("{at}"),
            ..unknown.clone()
        })
        .chain([raw.clone()])
        .collect();
    let good = |name, comment, slots: Vec<Slot>| Vector::good(name, comment, &plain.clone().with_slots(slots));
    vec![
        good(
            "good-slot-local",
            "a key ring's key; the name before # is for people",
            vec![plain.slot(&KEK, "local", local_id)],
        )
        .keys(&[local_key("of-another-name", local_id)]),
        good(
            "good-slot-passphrase",
            "Argon2id of 1 MiB, one pass",
            vec![plain.passphrase_slot(passphrase_id)],
        )
        .keys(&[format!("passphrase {PASSPHRASE}")]),
        good(
            "good-slot-passphrase-at-floor",
            "no cost is lower than a reader has to take",
            vec![plain.passphrase_slot(FLOOR_ID)],
        )
        .keys(&[format!("passphrase-with-floor {PASSPHRASE}")]),
        good(
            "good-slot-intermediate",
            "an intermediate key of the pair `bucket`, by a raw key",
            vec![intermediate_slot(&plain, &["bucket"])],
        )
        .keys(&[format!("intermediate-raw {} bucket", crate::vector::hex(&KEK))]),
        good(
            "good-slot-second",
            "the offered key's slot is the second",
            vec![plain.raw_slot(&OTHER_KEK), raw.clone()],
        ),
        good(
            "good-slot-unknown-provider-first",
            "a slot of an unknown provider is skipped",
            vec![unknown, raw.clone()],
        ),
        good(
            "good-slot-fails-commitment-next-does-not",
            "the first slot's key is another object's; the next is tried",
            vec![foreign, raw.clone()],
        ),
        good("good-slot-sixteen", "as many slots as there may be", sixteen),
        good("good-slot-two-keys-offered", "either key would do", vec![raw])
            .keys(&[raw_key(&OTHER_KEK), raw_key(&KEK)]),
    ]
}

/// `local NAME HEX32 KEY`: a version of a named key.
pub fn local_key(name: &str, key_id: &str) -> String {
    let (_, id) = key_id.split_once('#').expect("a local key id");
    format!("local {name} {id} {}", crate::vector::hex(&KEK))
}

/// [W-11] over the raw key.
pub fn intermediate_slot(object: &Object, scope: &[&str]) -> Slot {
    let intermediate = [5; 32];
    let mut own: BTreeMap<_, _> = scope
        .iter()
        .map(|&key| (key.to_owned(), object.pairs.get(key).cloned().unwrap_or_default()))
        .collect();
    own.insert("sealstone:key".to_owned(), "intermediate@v1".to_owned());
    let inner_id = oracle::raw_key_id(&KEK);
    let inner = oracle::wrap(&KEK, &NONCE, "raw", &inner_id, &oracle::canonical(&own), &intermediate);
    let scope_keys = scope.iter().flat_map(|key| string(key.as_bytes()));
    let mut head: Vec<u8> = vec![u8::try_from(scope.len()).expect("few")];
    head.extend(scope_keys);
    head.extend(string(&inner.wrapped));
    let key_id = format!("raw:{inner_id}");
    oracle::wrap_intermediate(&intermediate, &key_id, &head, &object.canonical(), &object.data_key)
}

fn headers() -> Vec<Vector> {
    let object = Object::new(50);
    let mut highest = object.clone();
    highest.generation = u64::MAX;
    let mut newer = object.clone();
    newer.generation = 1;
    // Its only slot has a key that is not offered, so only the newer copy opens.
    let old = object.clone().with_slots([object.raw_slot(&OTHER_KEK)]);
    let damaged = |copy: usize| {
        let mut body = object.attached();
        body[copy * COPY + 100] ^= 1;
        body
    };
    let two_copies = |first: &Object, second: &Object| {
        let (first, second) = (first.header().attached(), second.header().attached());
        [&first[..COPY], &second[COPY..], &object.payload()].concat()
    };
    vec![
        Vector::good("good-header-generation-max", "rewritten 2^64 - 1 times", &highest),
        Vector::good_detached("good-header-detached", "the header is beside the payload", &object),
        Vector::good("good-header-first-copy-damaged", "the second copy counts", &object).body(damaged(0)),
        Vector::good("good-header-second-copy-damaged", "the first copy counts", &object).body(damaged(1)),
        Vector::good("good-header-second-copy-newer", "the newer copy counts", &object).body(two_copies(&old, &newer)),
        Vector::good("good-header-first-copy-newer", "the newer copy counts", &object).body(two_copies(&newer, &old)),
        Vector::good("good-header-first-copy-no-magic", "the second copy counts", &object).body({
            let mut body = object.attached();
            body[..COPY].fill(0);
            body
        }),
    ]
}
