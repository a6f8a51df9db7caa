//! Truncated objects against every ranged way of reading: no answer that reaches the end, or depends on it, comes
//! from an object whose final chunk is missing [O-11].

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::common::{C, CHUNKS, SEALED, decryptor, encryptor, plaintext, seal_fixed};
use sealstone::Error;
use sealstone::range::RangeReader;

const LENGTHS: [usize; 7] = [0, 1, C - 1, C, C + 1, 2 * C, 3 * C];

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// The results of ranged reads that reach the end which the object's length claims.
fn answers_at_the_end(object: &[u8], reader: &RangeReader<&[u8]>) -> Vec<Result<Vec<u8>, Error>> {
    let len = reader.claimed_len();
    let vec = |answer: Result<bytes::Bytes, Error>| answer.map(Vec::from);
    let read_at = |offset: u64, room: u64| {
        let mut buffer = vec![0; at(room)];
        let read = reader.read_at(&mut buffer, offset);
        read.map(|count| buffer[..count].to_vec())
    };
    let fetched = |range: Range<u64>| {
        let planned = reader.ciphertext_ranges([range.clone()], u64::MAX)?;
        let whole = planned.first().cloned().unwrap_or(0..0);
        vec(reader.open_fetched(range, whole.start, &object[at(whole.start)..at(whole.end)]))
    };
    let half = len / 2;
    let mut answers = vec![
        vec(reader.read_range(..)),
        vec(reader.read_range(half..)),
        vec(reader.read_range(..len)),
        vec(reader.read_range(half..len)),
        vec(reader.read_range(len..len)),
        vec(reader.read_range(..len + 99_999)),
        vec(reader.read_suffix(10)),
        read_at(len, 10),
        read_at(half, len - half + 10),
        fetched(0..len),
        fetched(half..len),
        fetched(len..len),
    ];
    if len > half {
        answers.push(read_at(half, len - half));
    }
    let as_bytes = |range: Range<u64>| [range.start, range.end].map(u64::to_be_bytes).concat();
    let resolved = [half..len, len..len].map(|range| reader.resolve(range).map(as_bytes));
    let past = half..len + 1;
    let plan = reader.ciphertext_ranges([past], 0);
    answers.extend(resolved);
    answers.push(plan.map(|fetches| fetches.into_iter().flat_map(as_bytes).collect()));
    answers.push(reader.verified_len().map(|len| len.to_be_bytes().to_vec()));
    answers
}

/// Whether a reader of this object can seek, and read what it sought.
fn seeks(object: &[u8], target: SeekFrom) -> std::io::Result<Vec<u8>> {
    let mut reader = decryptor().reader(Cursor::new(object))?;
    reader.seek(target)?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain).map(|_| plain)
}

fn refuses_all(object: &[u8], what: &str) {
    if let Ok(reader) = decryptor().range_reader(object) {
        for (number, answer) in answers_at_the_end(object, &reader).into_iter().enumerate() {
            let error = answer.map(|bytes| bytes.len());
            assert!(
                matches!(error, Err(Error::ChunkAltered { .. })),
                "{what}, way {number}: {error:?}"
            );
        }
    }
}

#[test]
fn no_cut_passes_a_ranged_read_that_reaches_the_end() {
    for len in LENGTHS {
        let object = seal_fixed(&encryptor(), 1, 2, &plaintext(len));
        for cut in CHUNKS..object.len() {
            refuses_all(&object[..cut], &format!("{len} bytes, cut to {cut}"));
        }
    }
}

/// A cut that the length alone does not reveal: whole chunks, then 16 bytes in place of an empty final chunk.
#[test]
fn a_cut_object_with_a_forged_empty_final_chunk_passes_no_ranged_read_that_reaches_the_end() {
    let plain = plaintext(3 * C);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for chunks in 0..3 {
        for junk in [[0; 16], [0xA5; 16]] {
            let cut = [&object[..CHUNKS + chunks * SEALED], &junk].concat();
            let reader = decryptor().range_reader(cut.as_slice()).unwrap();
            assert_eq!(reader.claimed_len(), (chunks * C) as u64);
            refuses_all(&cut, &format!("{chunks} chunks"));
            for target in [SeekFrom::Start(0), SeekFrom::End(0), SeekFrom::Current(0)] {
                assert!(seeks(&cut, target).is_err());
                assert!(plain.ends_with(&seeks(&object, target).unwrap()));
            }
            // The chunks before the claimed end still verify.
            for end in 1..chunks * C {
                if end % 997 == 1 {
                    assert!(reader.read_range(..end as u64).unwrap() == plain[..end]);
                }
            }
        }
    }
}

#[test]
fn whole_objects_answer_every_way() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        let reader = decryptor().range_reader(object.as_slice()).unwrap();
        let mut answers = answers_at_the_end(&object, &reader);
        let len = len as u64;
        assert_eq!(answers.pop().unwrap().unwrap(), len.to_be_bytes());
        for past in [answers.remove(5), answers.pop().unwrap()] {
            assert!(matches!(past, Err(Error::RangeOutOfBounds { len: known, .. }) if known == len));
        }
        for start in [len, len / 2] {
            let resolved = [start, len].map(u64::to_be_bytes).concat();
            assert_eq!(answers.pop().unwrap().unwrap(), resolved);
        }
        for answer in answers {
            assert!(plain.ends_with(&answer.unwrap()));
        }
    }
}
