//! Payloads with one fault after an intact header: chunks altered, moved, cut, repeated, added or sealed differently.

use crate::common::oracle::{self, ContentKeys};
use crate::object::{C, Object, PREFIX, SEALED};
use crate::vector::Vector;

pub fn all() -> Vec<Vector> {
    [flips(), moves(), splices(), cuts(), appendages(), other_writers()].concat()
}

/// Three chunks, the final one of 100 bytes.
fn three() -> Object {
    Object::new(2 * C + 100)
}

/// With a detached header; `whole` chunks are verified before the fault.
fn faulty(name: &str, comment: &str, classes: &str, object: &Object, whole: usize, payload: Vec<u8>) -> Vector {
    Vector::good_detached(name, comment, object)
        .refused(classes)
        .releases(&object.plain[..whole * C])
        .body(payload)
}

fn flips() -> Vec<Vector> {
    let object = three();
    let payload = object.payload();
    let flip = |name: &str, comment: &str, at: usize, bit: u8| {
        let mut altered = payload.clone();
        altered[at] ^= bit;
        faulty(name, comment, "chunk", &object, (at - PREFIX) / SEALED, altered)
    };
    let end = payload.len() - 1;
    vec![
        flip("chunk-first-bit", "the first bit of the first chunk", PREFIX, 0x80),
        flip("chunk-0-tag-first", "the tag of the first chunk", PREFIX + C, 1),
        flip(
            "chunk-0-tag-last",
            "the last bit of the first chunk's tag",
            PREFIX + SEALED - 1,
            1,
        ),
        flip(
            "chunk-1-first",
            "the first bit of the second chunk",
            PREFIX + SEALED,
            0x80,
        ),
        flip(
            "chunk-1-middle",
            "the middle of the second chunk",
            PREFIX + SEALED + C / 2,
            4,
        ),
        flip(
            "chunk-1-tag",
            "the tag of the second chunk",
            PREFIX + SEALED + C + 8,
            0x80,
        ),
        flip(
            "chunk-final-first",
            "the first bit of the final chunk",
            PREFIX + 2 * SEALED,
            0x80,
        ),
        flip("chunk-final-text", "the last byte of plaintext", end - 16, 1),
        flip("chunk-final-tag-first", "the tag of the final chunk", end - 15, 0x80),
        flip("chunk-final-last-bit", "the last bit of the object", end, 1),
        empty_final(),
    ]
}

fn empty_final() -> Vector {
    let object = Object::new(C);
    let mut payload = object.payload();
    let end = payload.len() - 1;
    payload[end] ^= 1;
    let comment = "the tag of an empty final chunk";
    faulty("chunk-final-empty", comment, "chunk", &object, 1, payload)
}

/// The sealed chunks in this order.
fn arranged(object: &Object, order: &[usize]) -> Vec<u8> {
    let payload = object.payload();
    let chunks: Vec<_> = payload[PREFIX..].chunks(SEALED).collect();
    let moved: Vec<_> = order.iter().map(|&at| chunks[at]).collect();
    [&payload[..PREFIX], &moved.concat()].concat()
}

fn moves() -> Vec<Vector> {
    let object = Object::new(3 * C + 100);
    let ordered = |name: &str, comment: &str, whole: usize, order: &[usize]| {
        faulty(name, comment, "chunk", &object, whole, arranged(&object, order))
    };
    vec![
        ordered(
            "order-first-two",
            "the first two chunks are exchanged",
            0,
            &[1, 0, 2, 3],
        ),
        ordered(
            "order-later-two",
            "the second and the third are exchanged",
            1,
            &[0, 2, 1, 3],
        ),
        ordered("order-dropped-first", "the first chunk is left out", 0, &[1, 2, 3]),
        ordered("order-dropped-middle", "the second chunk is left out", 1, &[0, 2, 3]),
        ordered(
            "order-repeated-first",
            "the first chunk stands twice",
            1,
            &[0, 0, 1, 2, 3],
        ),
        ordered(
            "order-repeated-over",
            "the first chunk in place of the second",
            1,
            &[0, 0, 2, 3],
        ),
        ordered("order-final-first", "the final chunk alone", 0, &[3]),
        faulty(
            "order-dropped-final",
            "the final chunk is left out",
            "truncated",
            &object,
            3,
            arranged(&object, &[0, 1, 2]),
        ),
    ]
}

/// A chunk of another object, at the same position.
fn splices() -> Vec<Vector> {
    let object = three();
    let spliced = |name: &str, comment: &str, place: usize, other: &Object| {
        let (mut payload, foreign) = (object.payload(), other.payload());
        let from = PREFIX + place * SEALED;
        let to = payload.len().min(from + SEALED);
        payload[from..to].copy_from_slice(&foreign[from..to]);
        faulty(name, comment, "chunk", &object, place, payload)
    };
    let salted = object.clone().with_salt(3);
    vec![
        spliced("splice-other-salt-0", "the same data key, another salt", 0, &salted),
        spliced("splice-other-salt-1", "the same data key, another salt", 1, &salted),
        spliced("splice-other-salt-final", "the same data key, another salt", 2, &salted),
        spliced(
            "splice-other-key-0",
            "another data key, the same salt",
            0,
            &object.clone().with_data_key(9),
        ),
        spliced(
            "splice-other-suite-1",
            "the same data key and salt, the other suite",
            1,
            &object.clone().with_core([2, 14, 0]),
        ),
    ]
}

fn cuts() -> Vec<Vector> {
    let object = three();
    let payload = object.payload();
    let cut = |name: &str, comment: &str, classes: &str, whole: usize, len: usize| {
        faulty(name, comment, classes, &object, whole, payload[..len].to_vec())
    };
    let second = PREFIX + SEALED;
    let attached = Object::new(50);
    let at_header = Vector::good("cut-behind-attached-header", "a header and nothing else", &attached)
        .refused("truncated")
        .body(attached.header().attached());
    vec![
        at_header,
        cut("cut-empty-payload", "no byte of the payload", "truncated", 0, 0),
        cut("cut-in-salt", "ten bytes of salt", "truncated", 0, 10),
        cut(
            "cut-in-commitment",
            "a byte of the commitment is missing",
            "truncated",
            0,
            PREFIX - 1,
        ),
        cut("cut-behind-commitment", "no chunk", "truncated", 0, PREFIX),
        cut(
            "cut-1-byte-into-first",
            "one byte of the first chunk",
            "truncated",
            0,
            PREFIX + 1,
        ),
        cut(
            "cut-15-bytes-into-first",
            "less than a tag",
            "truncated",
            0,
            PREFIX + 15,
        ),
        cut(
            "cut-16-bytes-into-first",
            "as much as a tag",
            "chunk truncated",
            0,
            PREFIX + 16,
        ),
        cut(
            "cut-in-first",
            "half of the first chunk",
            "chunk truncated",
            0,
            PREFIX + C / 2,
        ),
        cut(
            "cut-last-byte-of-first",
            "a byte of the first tag is missing",
            "chunk truncated",
            0,
            second - 1,
        ),
        cut("cut-behind-first", "exactly one whole chunk", "truncated", 1, second),
        cut(
            "cut-1-byte-into-second",
            "one byte of the second chunk",
            "truncated",
            1,
            second + 1,
        ),
        cut(
            "cut-15-bytes-into-second",
            "less than a tag",
            "truncated",
            1,
            second + 15,
        ),
        cut(
            "cut-16-bytes-into-second",
            "as much as a tag",
            "chunk truncated",
            1,
            second + 16,
        ),
        cut(
            "cut-last-byte-of-second",
            "a byte of its tag is missing",
            "chunk truncated",
            1,
            second + SEALED - 1,
        ),
        cut(
            "cut-behind-second",
            "the final chunk is missing",
            "truncated",
            2,
            second + SEALED,
        ),
        cut(
            "cut-in-final-tag",
            "a byte of the final tag is missing",
            "chunk truncated",
            2,
            payload.len() - 1,
        ),
        cut(
            "cut-final-tag",
            "the final tag is missing",
            "chunk truncated",
            2,
            payload.len() - 16,
        ),
        cut(
            "cut-final-but-its-tag",
            "as much as a tag of it",
            "chunk truncated",
            2,
            second + SEALED + 16,
        ),
    ]
}

fn appendages() -> Vec<Vector> {
    let object = Object::new(C + 100);
    let payload = object.payload();
    let trailing = |name: &str, comment: &str, bytes: &[u8]| {
        let longer = [&payload[..], bytes].concat();
        faulty(name, comment, "trailing chunk", &object, 1, longer)
    };
    let final_chunk = &payload[PREFIX + SEALED..];
    let full = Object::new(C);
    let fill = C - 100;
    vec![
        trailing("trailing-1", "a byte behind the final chunk", &[0]),
        trailing("trailing-15", "less than a tag", &[0; 15]),
        trailing("trailing-16", "as much as a tag", &[0; 16]),
        trailing("trailing-17", "more than a tag", &[7; 17]),
        trailing("trailing-final-again", "the final chunk stands twice", final_chunk),
        trailing("trailing-object", "the payload stands twice", &payload),
        trailing(
            "trailing-to-a-full-chunk",
            "filled up to the length of a full chunk",
            &vec![0; fill],
        ),
        faulty(
            "trailing-behind-empty-final",
            "a byte behind an empty final chunk",
            "trailing chunk",
            &full,
            1,
            [full.payload(), vec![0]].concat(),
        ),
    ]
}

/// Seals the plaintext of a chunk in a different way.
type SealChunk<'a> = &'a dyn Fn(&ContentKeys, usize, &[u8]) -> Vec<u8>;

/// Writers that misunderstand the format.
fn other_writers() -> Vec<Vector> {
    let object = three();
    let payload = object.payload();
    let keys = oracle::derive(
        &object.data_key,
        object.core,
        &object.salt,
        &oracle::payload_context(object.core),
    );
    let sealed = |name: &str, comment: &str, whole: usize, chunk: SealChunk<'_>| {
        let chunks = object.plain.chunks(C).enumerate();
        let chunks: Vec<u8> = chunks.flat_map(|(index, plain)| chunk(&keys, index, plain)).collect();
        let altered = [&payload[..PREFIX], &chunks].concat();
        assert_ne!(altered, payload);
        faulty(name, comment, "chunk", &object, whole, altered)
    };
    let seal =
        |keys: &ContentKeys, nonce: [u8; 12], aad: &[u8], plain: &[u8]| oracle::seal(1, &keys.key, &nonce, aad, plain);
    vec![
        sealed(
            "writer-index-from-1",
            "chunks counted from 1",
            0,
            &|keys, index, plain| seal(keys, oracle::nonce(keys, index + 1), &[], plain),
        ),
        sealed("writer-no-index", "one nonce for all chunks", 1, &|keys, _, plain| {
            seal(keys, keys.base_nonce, &[], plain)
        }),
        sealed(
            "writer-index-little-endian",
            "the index in the nonce's first bytes",
            1,
            &|keys, index, plain| {
                let mut nonce = keys.base_nonce;
                nonce[0] ^= u8::try_from(index).expect("few");
                seal(keys, nonce, &[], plain)
            },
        ),
        sealed(
            "writer-index-as-aad",
            "the index as associated data",
            0,
            &|keys, index, plain| seal(keys, oracle::nonce(keys, index), &(index as u64).to_be_bytes(), plain),
        ),
        sealed(
            "writer-final-flag",
            "the last byte of the nonce marks the final chunk",
            2,
            &|keys, index, plain| {
                let mut nonce = oracle::nonce(keys, index);
                nonce[11] ^= if plain.len() < C { 0x80 } else { 0 };
                seal(keys, nonce, &[], plain)
            },
        ),
        full_final_chunk(),
        short_chunk_in_front(),
    ]
}

/// [P-1]: a full chunk is never the final one.
fn full_final_chunk() -> Vector {
    let object = Object::new(2 * C).with_salt(3);
    let mut payload = object.payload();
    payload.truncate(payload.len() - 16);
    let comment = "two full chunks, without the empty final one";
    faulty("writer-full-final-chunk", comment, "truncated", &object, 2, payload)
}

/// [P-1]: only the final chunk is short.
fn short_chunk_in_front() -> Vector {
    let object = Object::new(100);
    let keys = oracle::derive(
        &object.data_key,
        object.core,
        &object.salt,
        &oracle::payload_context(object.core),
    );
    let second = oracle::seal(1, &keys.key, &oracle::nonce(&keys, 1), &[], b"more");
    let payload = [object.payload(), second].concat();
    let comment = "a second chunk, rightly sealed, behind a short one";
    faulty(
        "writer-short-chunk-in-front",
        comment,
        "trailing chunk",
        &object,
        0,
        payload,
    )
}
