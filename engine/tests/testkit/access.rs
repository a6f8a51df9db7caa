//! Intact headers that this reader must not open: another context, another key, a wrap or a commitment that fails.

use crate::common::oracle::{self, Slot};
use crate::good::{FLOOR_ID, intermediate_slot, local_key};
use crate::object::{KEK, OTHER_KEK, Object, PASSPHRASE, PREFIX, raw_key};
use crate::vector::{Vector, hex};

pub fn all() -> Vec<Vector> {
    [
        contexts(),
        keys(),
        wraps(),
        passphrases(),
        intermediates(),
        commitments(),
        other_payloads(),
    ]
    .concat()
}

fn contexts() -> Vec<Vector> {
    let object = Object::new(50).with_pairs(&[("bucket", "photos"), ("key", "é")]);
    let supplied = object.clone().with_supplied("key");
    let stored: &[(&str, &str)] = &[("bucket", "photos"), ("key", "é")];
    let given = |name: &str, comment: &str, object: &Object, rule: &str, pairs: &[(&str, &str)]| {
        Vector::good(name, comment, object)
            .refused("context")
            .context(rule, pairs)
    };
    let shifted = Object::new(50).with_pairs(&[("a", "bc")]);
    let forged = {
        let mut forged = object.clone().with_slots([object.raw_slot(&KEK)]);
        forged.pairs.insert("bucket".to_owned(), "forged".to_owned());
        forged
    };
    vec![
        given("context-none-given", "two pairs, none expected", &object, "exact", &[]),
        given(
            "context-pair-missing",
            "a pair more than expected",
            &object,
            "exact",
            &stored[..1],
        ),
        given(
            "context-pair-more",
            "a pair less than expected",
            &object,
            "exact",
            &[stored, &[("x", "")]].concat(),
        ),
        given(
            "context-other-value",
            "another value",
            &object,
            "exact",
            &[stored[0], ("key", "e")],
        ),
        given(
            "context-other-case",
            "another case",
            &object,
            "exact",
            &[stored[0], ("Key", "é")],
        ),
        given(
            "context-normalized",
            "é in two characters",
            &object,
            "exact",
            &[stored[0], ("key", "e\u{301}")],
        ),
        given("context-shifted", "a=bc is not ab=c", &shifted, "exact", &[("ab", "c")]),
        given(
            "context-contains-missing",
            "the pair is not there",
            &object,
            "contains",
            &[("tenant", "a")],
        ),
        given(
            "context-contains-other",
            "another value",
            &object,
            "contains",
            &[("bucket", "b")],
        ),
        given(
            "context-supplied-not-given",
            "a supplied value is not in the header",
            &supplied,
            "contains",
            &[stored[0]],
        ),
        given(
            "context-accept-stored-supplied",
            "a supplied value is not in the header",
            &supplied,
            "accept-stored",
            &[],
        ),
        Vector::good(
            "context-supplied-wrong",
            "the wrap is bound to the true value",
            &supplied,
        )
        .refused("unwrap")
        .context("exact", &[stored[0], ("key", "wrong")]),
        Vector::good("context-stored-forged", "the wrap is bound to the true value", &forged).refused("unwrap"),
        Vector::good(
            "context-stored-forged-accepted",
            "the wrap is bound to the true value",
            &forged,
        )
        .refused("unwrap")
        .context("accept-stored", &[]),
    ]
}

fn keys() -> Vec<Vector> {
    let object = Object::new(50);
    let local_id = "archive#000102030405060708090a0b0c0d0e0f";
    let local = object.clone().with_slots([object.slot(&KEK, "local", local_id)]);
    let unknown = Slot {
        provider: "of-the-future".to_owned(),
        ..object.raw_slot(&KEK)
    };
    let upper = object.slot(&KEK, "raw", &oracle::raw_key_id(&KEK).to_uppercase());
    let no_key = |name: &str, comment: &str, object: &Object, key: String| {
        Vector::good(name, comment, object).refused("no-key").keys(&[key])
    };
    vec![
        no_key("no-key-raw", "another raw key", &object, raw_key(&OTHER_KEK)),
        no_key(
            "no-key-local-name-alone",
            "the name is that of the slot, the 16 bytes are not",
            &local,
            local_key("archive", "archive#ff0102030405060708090a0b0c0d0e0f"),
        ),
        no_key("no-key-local", "a raw key for a key ring's slot", &local, raw_key(&KEK)),
        no_key(
            "no-key-passphrase",
            "no slot is a passphrase's",
            &object,
            format!("passphrase {PASSPHRASE}"),
        ),
        no_key(
            "no-key-unknown-provider",
            "the only slot is of an unknown provider",
            &object.clone().with_slots([unknown]),
            raw_key(&KEK),
        ),
        no_key(
            "no-key-raw-upper-case",
            "a raw key id has one spelling",
            &object.clone().with_slots([upper]),
            raw_key(&KEK),
        ),
    ]
}

fn wraps() -> Vec<Vector> {
    let object = Object::new(50).with_pairs(&[("a", "1")]);
    let altered = |name: &str, comment: &str, alter: &dyn Fn(&mut Slot)| {
        let mut slot = object.raw_slot(&KEK);
        alter(&mut slot);
        Vector::good(name, comment, &object.clone().with_slots([slot])).refused("unwrap")
    };
    let local_id = "archive#000102030405060708090a0b0c0d0e0f";
    let renamed = Slot {
        key_id: local_id.replace("archive", "forged"),
        ..object.slot(&KEK, "local", local_id)
    };
    let no_context = oracle::wrap(
        &KEK,
        &[4; 24],
        "raw",
        &oracle::raw_key_id(&KEK),
        &[0, 0],
        &object.data_key,
    );
    let of_provider = Slot {
        provider: "raw".to_owned(),
        ..object.slot(&KEK, "local", &oracle::raw_key_id(&KEK))
    };
    vec![
        altered("unwrap-nonce-first-bit", "the wrap's nonce", &|slot| {
            slot.wrapped[0] ^= 0x80;
        }),
        altered("unwrap-nonce-last-bit", "the wrap's nonce", &|slot| {
            slot.wrapped[23] ^= 1;
        }),
        altered("unwrap-ciphertext", "the wrapped key", &|slot| slot.wrapped[24] ^= 1),
        altered("unwrap-tag", "the wrap's tag", &|slot| slot.wrapped[71] ^= 1),
        altered("unwrap-short", "a byte is missing", &|slot| slot.wrapped.truncate(71)),
        altered("unwrap-long", "a byte too many", &|slot| slot.wrapped.push(0)),
        altered("unwrap-nonce-alone", "no more than a nonce", &|slot| {
            slot.wrapped.truncate(24);
        }),
        altered("unwrap-empty", "nothing", &|slot| slot.wrapped.clear()),
        altered("unwrap-zeros", "72 zeros", &|slot| slot.wrapped.fill(0)),
        altered("unwrap-of-no-context", "wrapped under no context", &|slot| {
            *slot = no_context.clone();
        }),
        altered("unwrap-of-other-provider", "wrapped as a slot of `local`", &|slot| {
            *slot = of_provider.clone();
        }),
        altered("unwrap-key-of-16-bytes", "the wrapped key has 16 bytes", &|slot| {
            let id = oracle::raw_key_id(&KEK);
            *slot = oracle::wrap(&KEK, &[4; 24], "raw", &id, &object.canonical(), &[1; 16]);
        }),
        Vector::good(
            "unwrap-local-renamed",
            "the name in a local key id is bound",
            &object.clone().with_slots([renamed]),
        )
        .refused("unwrap")
        .keys(&[local_key("archive", local_id)]),
    ]
}

fn passphrases() -> Vec<Vector> {
    let object = Object::new(50);
    let salt = "000102030405060708090a0b0c0d0e0f";
    let right = object.passphrase_slot(&format!("argon2id,m=1024,t=1,p=1,salt={salt}"));
    let named = |name: &str, comment: &str, classes: &str, key_id: String| {
        let slot = Slot {
            key_id,
            ..right.clone()
        };
        Vector::good(name, comment, &object.clone().with_slots([slot]))
            .refused(classes)
            .keys(&[format!("passphrase {PASSPHRASE}")])
    };
    // A reader that does not know such a key id may also report that the slot is not the key's.
    let spelled = |name: &str, key_id: String| named(name, "a key id has one spelling", "unwrap no-key", key_id);
    let cost = |name: &str, m: &str, t: &str, p: &str| {
        let key_id = format!("argon2id,m={m},t={t},p={p},salt={salt}");
        named(
            name,
            "over a reader's caps: refused before Argon2id runs",
            "unwrap no-key",
            key_id,
        )
    };
    // The slot would open.
    let below = |name: &str, cost: &str| {
        let slot = object.passphrase_slot(&format!("argon2id,{cost},salt={salt}"));
        Vector::good(
            name,
            "below a reader's floor: refused before Argon2id runs",
            &object.clone().with_slots([slot]),
        )
        .refused("unwrap no-key")
        .keys(&[format!("passphrase-with-floor {PASSPHRASE}")])
    };
    let of_another = object.clone().with_data_key(9).passphrase_slot(FLOOR_ID);
    vec![
        below("passphrase-memory-below-floor", "m=19455,t=2,p=1"),
        below("passphrase-passes-below-floor", "m=19456,t=1,p=1"),
        below("passphrase-far-below-floor", "m=8,t=1,p=1"),
        Vector::good(
            "unwrap-passphrase-other-data-key",
            "another payload's key: nothing tells it from a wrong passphrase",
            &object.clone().with_slots([of_another]),
        )
        .refused("unwrap")
        .keys(&[format!("passphrase-with-floor {PASSPHRASE}")]),
        Vector::good(
            "unwrap-passphrase-wrong",
            "another passphrase",
            &object.clone().with_slots([right.clone()]),
        )
        .refused("unwrap")
        .keys(&["passphrase correct horse ss".to_owned()]),
        named(
            "unwrap-passphrase-salt",
            "another salt",
            "unwrap",
            format!("argon2id,m=1024,t=1,p=1,salt=ff{}", &salt[2..]),
        ),
        named(
            "unwrap-passphrase-passes",
            "another number of passes",
            "unwrap",
            format!("argon2id,m=1024,t=2,p=1,salt={salt}"),
        ),
        cost("passphrase-memory-over-cap", "262145", "3", "4"),
        cost("passphrase-passes-over-cap", "1024", "11", "1"),
        cost("passphrase-lanes-over-cap", "1024", "1", "17"),
        cost("passphrase-memory-2-to-the-32", "4294967296", "1", "1"),
        cost("passphrase-no-lanes", "1024", "1", "0"),
        cost("passphrase-no-passes", "1024", "0", "1"),
        spelled(
            "passphrase-leading-zero",
            format!("argon2id,m=01024,t=1,p=1,salt={salt}"),
        ),
        spelled(
            "passphrase-upper-case",
            format!("argon2id,m=1024,t=1,p=1,salt={}", salt.to_uppercase()),
        ),
        spelled("passphrase-other-order", format!("argon2id,t=1,m=1024,p=1,salt={salt}")),
        spelled("passphrase-sign", format!("argon2id,m=+1024,t=1,p=1,salt={salt}")),
        spelled(
            "passphrase-other-function",
            format!("argon2i,m=1024,t=1,p=1,salt={salt}"),
        ),
        spelled(
            "passphrase-short-salt",
            format!("argon2id,m=1024,t=1,p=1,salt={}", &salt[2..]),
        ),
        spelled(
            "passphrase-byte-behind",
            format!("argon2id,m=1024,t=1,p=1,salt={salt}0"),
        ),
    ]
}

fn intermediates() -> Vec<Vector> {
    let object = Object::new(50).with_pairs(&[("bucket", "b"), ("path", "p")]);
    let sound = intermediate_slot(&object, &["bucket"]);
    let of_slot = |name: &str, comment: &str, slot: Slot| {
        Vector::good(name, comment, &object.clone().with_slots([slot]))
            .refused("unwrap no-key")
            .keys(&[format!("intermediate-raw {} bucket", hex(&KEK))])
    };
    let altered = |name: &str, comment: &str, alter: &dyn Fn(&mut Vec<u8>)| {
        let mut slot = sound.clone();
        alter(&mut slot.wrapped);
        of_slot(name, comment, slot)
    };
    let last = sound.wrapped.len() - 1;
    vec![
        altered(
            "intermediate-scope-altered",
            "a scope of a key that the context lacks",
            &|wrapped| wrapped[3] ^= 1,
        ),
        altered(
            "intermediate-inner-altered",
            "the wrap of the intermediate key",
            &|wrapped| wrapped[40] ^= 1,
        ),
        altered("intermediate-tag", "the data key's tag", &|wrapped| wrapped[last] ^= 1),
        altered(
            "intermediate-byte-behind",
            "nothing stands behind the tag",
            &|wrapped| wrapped.push(0),
        ),
        altered("intermediate-cut", "a byte is missing", &|wrapped| {
            wrapped.pop();
        }),
        of_slot(
            "intermediate-scope-unsorted",
            "path before bucket",
            intermediate_slot(&object, &["path", "bucket"]),
        ),
        of_slot(
            "intermediate-scope-repeated",
            "one key twice",
            intermediate_slot(&object, &["bucket", "bucket"]),
        ),
        of_slot(
            "intermediate-scope-empty-key",
            "a key must not be empty",
            intermediate_slot(&object, &[""]),
        ),
        of_slot(
            "intermediate-scope-too-small",
            "bound to no pair, and the reader's scope has one",
            intermediate_slot(&object, &[]),
        ),
        of_slot(
            "intermediate-scope-own-key",
            "no scope names the own key",
            intermediate_slot(&object, &["sealstone:key"]),
        ),
        of_slot(
            "intermediate-scope-lacking",
            "the context lacks the key",
            intermediate_slot(&object, &["tenant"]),
        ),
    ]
}

fn commitments() -> Vec<Vector> {
    let object = Object::new(50);
    let payload = object.payload();
    // Header and payload agree, and the slots are good.
    let of_prefix = |name: &str, comment: &str, at: usize| {
        let mut payload = payload.clone();
        payload[at] ^= 1;
        let mut header = object.header();
        header.salt.copy_from_slice(&payload[..24]);
        header.commitment.copy_from_slice(&payload[24..PREFIX]);
        let body = [header.attached(), payload].concat();
        Vector::good(name, comment, &object).refused("commitment").body(body)
    };
    // Sealed for one core, but the header names another.
    let of_core = |name: &str, comment: &str, core| {
        let mut header = object.header();
        header.core = core;
        let body = [header.attached(), payload.clone()].concat();
        Vector::good(name, comment, &object).refused("commitment").body(body)
    };
    let other_key = object.clone().with_data_key(9).raw_slot(&KEK);
    // The whole derivation with one input changed.
    let derived = |name: &str, comment: &str, context: &[u8]| {
        let keys = oracle::derive(&object.data_key, object.core, &object.salt, context);
        let mut header = object.header();
        header.commitment = keys.commitment;
        let sealed = oracle::seal_chunks(&keys, object.core, &object.plain);
        let body = [
            header.attached(),
            object.salt.to_vec(),
            keys.commitment.to_vec(),
            sealed,
        ]
        .concat();
        Vector::good(name, comment, &object).refused("commitment").body(body)
    };
    vec![
        of_prefix("commitment-salt-first-bit", "the salt, in header and payload", 0),
        of_prefix("commitment-salt-last-byte", "the salt, in header and payload", 23),
        of_prefix("commitment-first-byte", "the commitment, in header and payload", 24),
        of_prefix("commitment-last-byte", "the commitment, in header and payload", 55),
        of_core(
            "commitment-other-suite",
            "sealed with AES-256-GCM, said to be ChaCha20-Poly1305",
            [2, 14, 0],
        ),
        of_core(
            "commitment-other-chunk-size",
            "sealed in chunks of 16 KiB, said to be of 64",
            [1, 16, 0],
        ),
        Vector::good(
            "commitment-other-data-key",
            "a good wrap of another object's data key",
            &object.clone().with_slots([other_key]),
        )
        .refused("commitment"),
        derived(
            "commitment-no-payload-context",
            "derived without the payload context",
            b"",
        ),
        derived(
            "commitment-other-version",
            "derived with the label of another version",
            b"sealstone/object@v2\x01\x0e\x00",
        ),
        derived("commitment-no-core", "derived without the core", b"sealstone/object@v1"),
    ]
}

fn other_payloads() -> Vec<Vector> {
    let object = Object::new(50);
    let mixed = |name: &str, comment: &str, other: &Object| {
        let body = [object.header().attached(), other.payload()].concat();
        Vector::good(name, comment, &object).refused("payload").body(body)
    };
    let flipped = |name: &str, comment: &str, at: usize| {
        let mut payload = object.payload();
        payload[at] ^= 1;
        let body = [object.header().attached(), payload].concat();
        Vector::good(name, comment, &object).refused("payload").body(body)
    };
    vec![
        mixed(
            "payload-of-another-object",
            "another data key and salt",
            &object.clone().with_data_key(9).with_salt(3),
        ),
        mixed(
            "payload-of-other-salt",
            "the same data key, another salt",
            &object.clone().with_salt(3),
        ),
        mixed(
            "payload-of-other-key",
            "the same salt, another data key",
            &object.clone().with_data_key(9),
        ),
        flipped("payload-salt", "one bit of the payload's salt", 0),
        flipped("payload-commitment", "one bit of the payload's commitment", 55),
    ]
}
