//! Ranged reads: what of a damaged object can still be read, and what must not.

use crate::object::{C, Object, PREFIX, SEALED};
use crate::vector::Vector;

pub fn all() -> Vec<Vector> {
    [sound(), damaged()].concat()
}

fn sound() -> Vec<Vector> {
    let object = Object::new(2 * C + 100);
    let (plain, len) = (&object.plain, 2 * C + 100);
    let read = |name: &str, comment: &str, range: String, slice: &[u8]| {
        Vector::good_detached(name, comment, &object).range(&range, slice)
    };
    let refused = |name: &str, comment: &str, range: String| read(name, comment, range, &[]).refused("range");
    vec![
        read("range-first-byte", "one byte", "0..1".into(), &plain[..1]),
        read(
            "range-across-chunks",
            "the end of one chunk and the start of the next",
            format!("{}..{}", C - 1, C + 1),
            &plain[C - 1..C + 1],
        ),
        read(
            "range-one-chunk",
            "a whole chunk",
            format!("{C}..{}", 2 * C),
            &plain[C..2 * C],
        ),
        read(
            "range-open",
            "from the last chunk on",
            format!("{}..", 2 * C),
            &plain[2 * C..],
        ),
        read("range-all", "everything", "..".into(), plain),
        read("range-empty", "nothing, from inside", format!("{C}..{C}"), &[]),
        read(
            "range-empty-at-end",
            "nothing, at the end",
            format!("{len}..{len}"),
            &[],
        ),
        refused(
            "range-past-end",
            "one byte too many",
            format!("{}..{}", len - 1, len + 1),
        ),
        refused(
            "range-behind-end",
            "begins behind the end",
            format!("{}..{}", len + 1, len + 2),
        ),
        refused(
            "range-far",
            "an offset of 2^63",
            format!("{}..{}", 1u64 << 63, (1u64 << 63) + 1),
        ),
    ]
}

fn damaged() -> Vec<Vector> {
    let object = Object::new(2 * C + 100);
    let (plain, payload) = (&object.plain, object.payload());
    let flipped = |chunk: usize| {
        let mut altered = payload.clone();
        altered[PREFIX + chunk * SEALED] ^= 1;
        altered
    };
    let read = |name: &str, comment: &str, range: String, slice: &[u8], body: Vec<u8>| {
        Vector::good_detached(name, comment, &object)
            .range(&range, slice)
            .body(body)
    };
    let refused = |name: &str, comment: &str, classes: &str, range: String, body: Vec<u8>| {
        read(name, comment, range, &[], body).refused(classes)
    };
    let without_final = payload[..PREFIX + 2 * SEALED].to_vec();
    vec![
        read(
            "range-beside-damage",
            "the chunk before is altered",
            format!("{C}..{}", 2 * C),
            &plain[C..2 * C],
            flipped(0),
        ),
        refused(
            "range-of-damage",
            "one byte of an altered chunk",
            "chunk",
            "5..6".into(),
            flipped(0),
        ),
        refused(
            "range-into-damage",
            "the second chunk is altered",
            "chunk",
            format!("{}..{}", C - 1, C + 1),
            flipped(1),
        ),
        refused(
            "range-open-final-damaged",
            "to an end that does not verify",
            "chunk",
            "0..".into(),
            flipped(2),
        ),
        refused(
            "range-past-damaged-end",
            "no answer relative to an end that does not verify",
            "chunk",
            format!("0..{}", 3 * C),
            flipped(2),
        ),
        refused(
            "range-no-final-chunk",
            "a length that no plaintext gives",
            "truncated",
            "0..1".into(),
            without_final,
        ),
        refused(
            "range-of-another-length",
            "cut in a chunk: the end is elsewhere, and does not verify",
            "chunk truncated",
            "0..".into(),
            payload[..PREFIX + SEALED + 50].to_vec(),
        ),
    ]
}
