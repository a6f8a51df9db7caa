//! Ranged reads: what can still be read of a damaged object, and what must not.

use crate::object::{C, Object, PREFIX, SEALED};
use crate::vector::Vector;

pub fn all() -> Vec<Vector> {
    [sound(), damaged(), cut_after_full_chunks()].concat()
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

/// According to its length, a payload of whole chunks ends with an empty final chunk. If that chunk does not verify,
/// the payload was cut, and nothing that reaches the end may be returned.
fn cut_after_full_chunks() -> Vec<Vector> {
    let object = Object::new(3 * C);
    let (plain, payload) = (&object.plain, object.payload());
    let cut = [&payload[..PREFIX + SEALED], &[0; 16]].concat();
    let read = |name: &str, comment: &str, range: String, slice: &[u8], body: &[u8]| {
        Vector::good_detached(name, comment, &object)
            .range(&range, slice)
            .body(body.to_vec())
    };
    let refused =
        |name: &str, comment: &str, range: String, body: &[u8]| read(name, comment, range, &[], body).refused("chunk");
    let mut junk_final = payload.clone();
    *junk_final.last_mut().expect("a final chunk") ^= 1;
    vec![
        read(
            "range-to-empty-final-chunk",
            "the last byte; an empty final chunk follows",
            format!("{}..{}", 3 * C - 1, 3 * C),
            &plain[3 * C - 1..],
            &payload,
        ),
        read(
            "range-before-a-cut",
            "cut to chunk 0 and 16 bytes; the range ends before the claimed end",
            format!("0..{}", C - 1),
            &plain[..C - 1],
            &cut,
        ),
        refused(
            "range-to-a-cut",
            "cut to chunk 0 and 16 bytes; the range ends at the claimed end",
            format!("0..{C}"),
            &cut,
        ),
        refused("range-open-to-a-cut", "the same, with an open end", "..".into(), &cut),
        refused(
            "range-last-bytes-before-a-cut",
            "the same, the last 10 bytes",
            format!("{}..{C}", C - 10),
            &cut,
        ),
        refused(
            "range-empty-at-a-cut",
            "the same, an empty range at the claimed end",
            format!("{C}..{C}"),
            &cut,
        ),
        refused(
            "range-to-altered-empty-final-chunk",
            "the empty final chunk is altered",
            format!("{}..{}", 3 * C - 1, 3 * C),
            &junk_final,
        ),
        refused(
            "range-cut-to-nothing",
            "cut to 16 bytes; an empty range at the claimed end",
            "0..0".into(),
            &[&payload[..PREFIX], &[0; 16]].concat(),
        ),
    ]
}
