//! Headers that are refused: each breaks one rule of section 4 or 5, with a valid checksum unless that is the fault.

use crate::common::oracle::Slot;
use crate::object::{CONTEXT, COPY, KEK, Object, attached_of, copy_of, string, with_checksum};
use crate::vector::Vector;

pub fn all() -> Vec<Vector> {
    [starts(), fixed_fields(), contexts(), slots(), wholes()].concat()
}

/// An object whose header has these fields, in both copies.
fn of_fields(name: &str, comment: &str, classes: &str, fields: &[u8]) -> Vector {
    let object = Object::new(50);
    let body = [attached_of(fields), object.payload()].concat();
    Vector::good(name, comment, &object).refused(classes).body(body)
}

fn edited(name: &str, comment: &str, classes: &str, at: usize, byte: u8) -> Vector {
    let mut fields = Object::new(50).fields();
    assert_ne!(fields[at], byte);
    fields[at] = byte;
    of_fields(name, comment, classes, &fields)
}

fn starts() -> Vec<Vector> {
    let object = Object::new(50);
    let whole = object.attached();
    let refused = |name, comment, body: &[u8]| Vector::good(name, comment, &object).refused("magic").body(body);
    let text = [&whole[..4], b"\n\x1a\n", &whole[8..]].concat();
    vec![
        refused("magic-empty-file", "no byte at all", b""),
        refused("magic-text", "a text file", b"Dear reader,\n"),
        refused("magic-line-ends-translated", "CR LF became LF on the way", &text),
        edited(
            "magic-first-byte",
            "the high bit of the first byte is lost",
            "magic",
            0,
            0x09,
        ),
        edited("magic-last-byte", "the last byte of the magic", "magic", 7, 0x0B),
        edited("version-0", "there is no version 0", "version", 8, 0),
        edited("version-2", "a version of the future", "version", 8, 2),
        edited("version-255", "a version of the future", "version", 8, 255),
    ]
}

fn fixed_fields() -> Vec<Vector> {
    let mut all = Vec::new();
    for suite in [0, 3, 0x81, 255] {
        let name = format!("header-suite-{suite}");
        all.push(edited(&name, "an unknown suite", "header", 9, suite));
    }
    for log2 in [0, 12, 13, 15, 17, 21, 64, 255] {
        let name = format!("header-chunk-size-{log2}");
        all.push(edited(&name, "an unknown chunk size", "header", 10, log2));
    }
    // A reader that knows no composite objects takes the flag for an unknown one.
    all.push(edited(
        "header-flags-1",
        "a plain object's flag says composite",
        "header commitment",
        11,
        1,
    ));
    for flags in [2, 128] {
        let name = format!("header-flags-{flags}");
        all.push(edited(&name, "an unknown flag", "header", 11, flags));
    }
    all
}

/// `count[2]` and the pairs, in place of the object's stored context.
fn with_context(name: &str, comment: &str, count: u16, pairs: &[Vec<u8>]) -> Vector {
    let [start, _, slots] = Object::new(50).field_parts();
    let fields = [start, count.to_be_bytes().to_vec(), pairs.concat(), slots].concat();
    of_fields(name, comment, "header", &fields)
}

fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &string(key), &string(value)].concat()
}

fn contexts() -> Vec<Vector> {
    let supplied = |key: &[u8]| [&[1][..], &string(key)].concat();
    let of_kind = |kind: u8| [&[kind][..], &string(b"a"), &string(b"1")].concat();
    vec![
        with_context(
            "header-context-unsorted",
            "b before a",
            2,
            &[pair(b"b", b"1"), pair(b"a", b"2")],
        ),
        with_context(
            "header-context-repeated",
            "one key twice",
            2,
            &[pair(b"a", b"1"), pair(b"a", b"1")],
        ),
        with_context(
            "header-context-repeated-supplied",
            "one key, stored and supplied",
            2,
            &[pair(b"a", b"1"), supplied(b"a")],
        ),
        with_context(
            "header-context-shorter-last",
            "aa before a",
            2,
            &[pair(b"aa", b""), pair(b"a", b"")],
        ),
        with_context(
            "header-context-empty-key",
            "a key must not be empty",
            1,
            &[pair(b"", b"1")],
        ),
        with_context(
            "header-context-reserved-key",
            "the key that marks intermediate keys",
            1,
            &[pair(b"sealstone:key", b"intermediate@v1")],
        ),
        with_context(
            "header-context-reserved-key-supplied",
            "the same, of another value, supplied",
            1,
            &[supplied(b"sealstone:key")],
        ),
        with_context(
            "header-context-key-not-utf8",
            "a lone continuation byte",
            1,
            &[pair(b"\x80", b"1")],
        ),
        with_context(
            "header-context-value-not-utf8",
            "an overlong form",
            1,
            &[pair(b"a", b"\xC0\x80")],
        ),
        with_context(
            "header-context-surrogate",
            "a surrogate is no UTF-8",
            1,
            &[pair(b"a", b"\xED\xA0\x80")],
        ),
        with_context("header-context-kind-2", "pairs are of kind 0 or 1", 1, &[of_kind(2)]),
        with_context(
            "header-context-kind-255",
            "pairs are of kind 0 or 1",
            1,
            &[of_kind(255)],
        ),
        with_context(
            "header-context-count-large",
            "65,535 pairs, and none there",
            u16::MAX,
            &[],
        ),
        with_context(
            "header-context-count-small",
            "a pair more than the count says",
            0,
            &[pair(b"a", b"1")],
        ),
        with_context(
            "header-context-length-beyond-end",
            "a key of 65,535 bytes, and they are not there",
            1,
            &[vec![0, 0xFF, 0xFF, b'a']],
        ),
        too_many_pairs(),
    ]
}

/// Detached, because they do not fit an attached header.
fn too_many_pairs() -> Vector {
    let object = Object::new(50);
    let [start, _, slots] = object.field_parts();
    let pairs: Vec<_> = (0..257u16)
        .flat_map(|at| pair(format!("{at:03}").as_bytes(), b""))
        .collect();
    let fields = [start, 257u16.to_be_bytes().to_vec(), pairs, slots].concat();
    Vector::good_detached("header-context-257-pairs", "at most 256 pairs", &object)
        .refused("header")
        .header(with_checksum(fields))
}

/// These bytes in place of the slot table.
fn with_slots(name: &str, comment: &str, table: &[u8]) -> Vector {
    let [start, context, _] = Object::new(50).field_parts();
    of_fields(name, comment, "header", &[start, context, table.to_vec()].concat())
}

fn slots() -> Vec<Vector> {
    let encoded = |slot: &Slot| {
        let (provider, key_id) = (slot.provider.as_bytes(), slot.key_id.as_bytes());
        [string(provider), string(key_id), string(&slot.wrapped)].concat()
    };
    let good = encoded(&Object::new(50).raw_slot(&KEK));
    let named = |name: &str, comment: &str, provider: &[u8], key_id: &[u8]| {
        let odd = [string(provider), string(key_id), string(&[0; 72])].concat();
        with_slots(name, comment, &[&[2][..], &good, &odd].concat())
    };
    let phrase = [string(b"passphrase"), string(b"any"), string(&[0; 72])].concat();
    vec![
        with_slots("header-slots-none", "at least one slot", &[0]),
        with_slots(
            "header-slots-17",
            "at most 16 slots",
            &[&[17][..], &good.repeat(17)].concat(),
        ),
        with_slots(
            "header-slots-255",
            "255 slots, and one there",
            &[&[255][..], &good].concat(),
        ),
        with_slots(
            "header-slots-count-small",
            "a slot more than the count says",
            &[&[1][..], &good.repeat(2)].concat(),
        ),
        with_slots(
            "header-slots-two-passphrases",
            "at most one passphrase slot",
            &[&[3][..], &good, &phrase.repeat(2)].concat(),
        ),
        with_slots(
            "header-slots-length-beyond-end",
            "a wrapped key of 65,535 bytes, and they are not there",
            &[&[1][..], &string(b"raw"), &string(b""), &[0xFF, 0xFF]].concat(),
        ),
        named(
            "header-provider-empty",
            "a provider id has 1 to 32 characters",
            b"",
            b"",
        ),
        named(
            "header-provider-33",
            "a provider id has 1 to 32 characters",
            &[b'a'; 33],
            b"",
        ),
        named("header-provider-upper-case", "a-z, 0-9 and - only", b"Raw", b""),
        named("header-provider-path", "a-z, 0-9 and - only", b"../raw", b""),
        named("header-provider-space", "a-z, 0-9 and - only", b"raw ", b""),
        named(
            "header-provider-not-ascii",
            "a-z, 0-9 and - only",
            "räw".as_bytes(),
            b"",
        ),
        named("header-key-id-not-utf8", "a key id is UTF-8", b"raw", b"\xFF"),
        named("header-key-id-nul", "no control characters", b"raw", b"a\0b"),
        named("header-key-id-escape", "no control characters", b"raw", b"\x1b[2J"),
        named("header-key-id-delete", "no control characters", b"raw", b"\x7F"),
        named(
            "header-key-id-c1",
            "U+0085 is a control character",
            b"raw",
            "\u{85}".as_bytes(),
        ),
    ]
}

fn wholes() -> Vec<Vector> {
    let object = Object::new(50);
    let whole = object.attached();
    let cut = |name: &str, comment: &str, len: usize| {
        Vector::good(name, comment, &object)
            .refused("header")
            .body(&whole[..len])
    };
    let apart = |name: &str, comment: &str, header: Vec<u8>| {
        Vector::good_detached(name, comment, &object)
            .refused("header")
            .header(header)
    };
    let fields = object.fields();
    let mut padded = copy_of(&fields);
    padded[COPY - 33] = 1;
    padded.truncate(COPY - 32);
    let padded = with_checksum(padded).repeat(2);
    let mut unchecked = whole.clone();
    unchecked[COPY - 1] ^= 1;
    unchecked[2 * COPY - 1] ^= 1;
    let mut unsealed = whole.clone();
    unsealed[CONTEXT] ^= 1;
    unsealed[COPY + CONTEXT] ^= 1;
    let detached = object.header().detached();
    let mut flipped = detached.clone();
    flipped[15] ^= 1;
    vec![
        cut("header-cut-in-magic", "five bytes", 5),
        cut("header-cut-behind-magic", "no version", 8),
        cut("header-cut-in-first-copy", "a hundred bytes", 100),
        cut(
            "header-cut-behind-first-copy",
            "an attached header has two copies",
            COPY,
        ),
        cut("header-cut-in-second-copy", "one byte is missing", 2 * COPY - 1),
        Vector::good("header-checksums", "one bit of both checksums", &object)
            .refused("header")
            .body(unchecked),
        Vector::good("header-both-copies-damaged", "one bit of both copies", &object)
            .refused("header")
            .body(unsealed),
        Vector::good("header-padding", "padding is zero", &object)
            .refused("header")
            .body([padded, object.payload()].concat()),
        apart(
            "header-detached-padded",
            "no padding in a detached header",
            copy_of(&fields),
        ),
        apart(
            "header-detached-byte-behind",
            "a byte behind the slots",
            with_checksum([&fields[..], &[0]].concat()),
        ),
        apart(
            "header-detached-cut",
            "its last byte is missing",
            detached[..detached.len() - 1].to_vec(),
        ),
        apart(
            "header-detached-byte-behind-checksum",
            "a byte too many",
            [&detached[..], &[0]].concat(),
        ),
        apart("header-detached-flipped", "one bit", flipped),
        apart(
            "header-detached-empty",
            "cut to its magic and version",
            detached[..9].to_vec(),
        ),
        too_long(&object),
    ]
}

fn too_long(object: &Object) -> Vector {
    let slot = Slot {
        provider: "of-the-future".to_owned(),
        key_id: String::new(),
        wrapped: vec![0; 65_300],
    };
    let larger = object.clone().with_slots([object.raw_slot(&KEK), slot]);
    let header = larger.header().detached();
    assert!(header.len() > 64 * 1024);
    Vector::good_detached("header-detached-over-64k", "at most 64 KiB in all", object)
        .refused("header")
        .header(header)
}
