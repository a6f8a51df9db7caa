//! Parts sealed in any order and on several threads are the object that one writer would have sealed, and no chunk
//! index is ever assigned twice.

use std::io::Write;
use std::num::NonZeroU64;

use bytes::Bytes;

use crate::common::{C, LENGTHS, data_key, decryptor, encryptor, plaintext, seal_fixed};
use proptest::prelude::*;
use sealstone::error::PartError;
use sealstone::format::ATTACHED_LEN;
use sealstone::parts::{EqualParts, PartSealer, SealedPart};
use sealstone::{Error, NewObject, hazmat};

const DATA: u8 = 1;
const SALT: u8 = 2;

fn begin() -> NewObject {
    hazmat::begin(&encryptor(), &data_key(DATA), [SALT; 24]).unwrap()
}

/// The payload as one writer seals it.
fn serial(plain: &[u8]) -> Vec<u8> {
    seal_fixed(&encryptor(), DATA, SALT, plain).split_off(ATTACHED_LEN)
}

/// The plaintexts of the parts; at least one.
fn cut(plain: &[u8], part_len: usize) -> Vec<&[u8]> {
    let parts: Vec<_> = plain.chunks(part_len).collect();
    if parts.is_empty() { vec![&[]] } else { parts }
}

/// Seals every part, from the last to the first, on several threads.
fn seal_on_threads(sealer: &PartSealer, parts: &[&[u8]], threads: usize) -> Vec<SealedPart> {
    let mut sealed: Vec<SealedPart> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    let mine = (0..parts.len()).rev().filter(|number| number % threads == worker);
                    mine.map(|number| {
                        let writer = sealer.part(number as u64).unwrap();
                        writer.seal(parts[number]).unwrap()
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    sealed.sort_by_key(SealedPart::number);
    sealed
}

fn join(parts: &[SealedPart]) -> Vec<u8> {
    let mut joined = Vec::new();
    for (number, part) in (0..).zip(parts) {
        assert_eq!(part.number(), number);
        assert_eq!(part.offset(), joined.len() as u64);
        assert_eq!(part.is_last(), number == parts.len() as u64 - 1);
        joined.extend_from_slice(part.bytes());
    }
    joined
}

#[test]
fn parts_of_any_order_and_thread_are_the_serial_object() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let expected = serial(&plain);
        for part_chunks in [1, 2, 16, 17] {
            let parts = cut(&plain, part_chunks * C);
            let known = |object: NewObject| {
                let sealer = object.parts((part_chunks * C) as u64).unwrap();
                sealer.with_plaintext_len(len as u64).unwrap()
            };
            for threads in [1, 3] {
                let sealer = known(begin());
                let header = sealer.header().to_attached().unwrap();
                let object = join(&seal_on_threads(&sealer, &parts, threads));
                assert_eq!(sealer.finish().unwrap(), len as u64);
                assert!(object[..ATTACHED_LEN] == header);
                assert!(object[ATTACHED_LEN..] == expected, "{len} bytes, {part_chunks} chunks");
            }
        }
    }
}

#[test]
fn of_an_unknown_length_the_last_part_is_named_when_it_is_sealed() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let sealer = begin().detach().1.parts(2 * C as u64).unwrap();
        let parts = cut(&plain, 2 * C);
        let writers: Vec<_> = (0..parts.len()).map(|part| sealer.part(part as u64).unwrap()).collect();
        let mut sealed: Vec<_> = writers
            .into_iter()
            .zip(&parts)
            .map(|(mut writer, part)| {
                part.chunks(1000).for_each(|piece| writer.write_all(piece).unwrap());
                if writer.number() == parts.len() as u64 - 1 {
                    writer.finish_last().unwrap()
                } else {
                    writer.finish().unwrap()
                }
            })
            .collect();
        sealed.sort_by_key(SealedPart::number);
        assert_eq!(sealer.finish().unwrap(), len as u64);
        assert!(join(&sealed) == serial(&plain), "{len} bytes");
    }
}

#[test]
fn an_empty_last_part_after_full_ones_is_the_final_chunk_alone() {
    let plain = plaintext(4 * C);
    let sealer = begin().parts(2 * C as u64).unwrap();
    let last = sealer.part(2).unwrap().seal_last(&[]).unwrap();
    assert_eq!(last.bytes().len(), 16);
    let second = sealer.part(1).unwrap().seal(&plain[2 * C..]).unwrap();
    assert_eq!(second.bytes().len() as u64, sealer.sealed_part_len());
    let first = sealer.part(0).unwrap().seal(&plain[..2 * C]).unwrap();
    sealer.finish().unwrap();
    let object = join(&[first, second, last]);
    assert!(object[ATTACHED_LEN..] == serial(&plain));
    assert!(decryptor().open(&object).unwrap() == plain);
}

#[test]
fn a_part_is_handed_out_once() {
    let sealer = begin().parts(C as u64).unwrap();
    let part = sealer.part(3).unwrap();
    let taken =
        |number| matches!(sealer.part(number), Err(Error::Part(PartError::Duplicate { part })) if part == number);
    assert!(taken(3));
    part.seal(&[0; C]).unwrap();
    assert!(taken(3));
    // Handed out, dropped, and lost.
    drop(sealer.part(5).unwrap());
    assert!(taken(5));
    assert!(sealer.part(5).is_err());
}

#[test]
fn of_many_threads_that_want_one_part_one_gets_it() {
    let sealer = begin().parts(C as u64).unwrap();
    for number in 0..50 {
        let got: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| sealer.part(number).is_ok())).collect();
            workers
                .into_iter()
                .map(|worker| usize::from(worker.join().unwrap()))
                .sum()
        });
        assert_eq!(got, 1);
    }
}

#[test]
fn no_part_follows_the_last_so_that_its_final_chunk_has_its_own_index() {
    let full = vec![1; C];
    // A full last part ends with a chunk whose index would be the first one of part 1.
    let sealer = begin().parts(C as u64).unwrap();
    sealer.part(0).unwrap().seal_last(&full).unwrap();
    let after = Error::Part(PartError::AfterLast { part: 1, last: 0 });
    assert_eq!(sealer.part(1).unwrap_err().to_string(), after.to_string());
    assert_eq!(sealer.finish().unwrap(), C as u64);

    let sealer = begin().parts(C as u64).unwrap();
    let later = sealer.part(1).unwrap();
    let refused = sealer.part(0).unwrap().seal_last(&full).unwrap_err();
    assert_eq!(refused.to_string(), after.to_string());
    later.seal(&full).unwrap();
    assert!(sealer.finish().is_err());

    let two_last = begin().parts(C as u64).unwrap();
    two_last.part(4).unwrap().seal_last(&full).unwrap();
    assert!(two_last.part(2).unwrap().seal_last(&full).is_err());
    let known = begin()
        .parts(C as u64)
        .unwrap()
        .with_plaintext_len(2 * C as u64)
        .unwrap();
    assert!(known.part(2).is_err());
    assert!(known.part(0).unwrap().seal_last(&full).is_err());
}

#[test]
fn a_part_that_does_not_fill_its_place_is_refused_and_lost() {
    let sealer = begin().parts(2 * C as u64).unwrap();
    let length = |error: &Error| matches!(error, Error::Part(PartError::Length { .. }));
    assert!(length(&sealer.part(0).unwrap().seal(&[0; 2 * C - 1]).unwrap_err()));
    assert!(length(&sealer.part(1).unwrap().seal(&[0; 2 * C + 1]).unwrap_err()));
    assert!(length(&sealer.part(2).unwrap().seal_last(&[0; 2 * C + 1]).unwrap_err()));
    let mut sticky = sealer.part(3).unwrap();
    assert!(sticky.write(&[0; 2 * C + 1]).is_err());
    assert!(sticky.write(&[]).is_err());
    assert!(length(&sticky.finish().unwrap_err()));
    assert!(matches!(
        sealer.finish(),
        Err(Error::Part(PartError::Missing { part: 0 }))
    ));

    let known = begin()
        .parts(C as u64)
        .unwrap()
        .with_plaintext_len(C as u64 + 5)
        .unwrap();
    assert!(length(&known.part(1).unwrap().seal(&[0; 4]).unwrap_err()));
}

#[test]
fn an_object_with_a_missing_part_does_not_finish() {
    let missing = |sealer: PartSealer| match sealer.finish() {
        Err(Error::Part(PartError::Missing { part })) => part,
        other => panic!("{other:?}"),
    };
    let sealer = || begin().parts(C as u64).unwrap();
    assert_eq!(missing(sealer()), 0);

    let gap = sealer();
    gap.part(0).unwrap().seal(&[0; C]).unwrap();
    gap.part(2).unwrap().seal_last(&[0; 3]).unwrap();
    assert_eq!(missing(gap), 1);

    let endless = sealer();
    endless.part(0).unwrap().seal(&[0; C]).unwrap();
    assert_eq!(missing(endless), 1);

    let unsealed = sealer();
    let writer = unsealed.part(0).unwrap();
    assert_eq!(missing(unsealed), 0);
    drop(writer);
}

#[test]
fn part_lengths_are_whole_chunks() {
    for wrong in [0, 1, C as u64 - 1, C as u64 + 1, 1 << 52, u64::MAX] {
        let refused = begin().parts(wrong);
        assert!(matches!(refused, Err(Error::Part(PartError::Size { .. }))), "{wrong}");
    }
    let sealer = begin().parts(C as u64).unwrap();
    assert!(matches!(sealer.part(1 << 38), Err(Error::ObjectTooLarge)));
    assert!(matches!(sealer.part(u64::MAX), Err(Error::ObjectTooLarge)));
    sealer.part((1 << 38) - 1).unwrap().seal_last(&[7; C - 1]).unwrap();
}

#[test]
fn a_length_is_fixed_before_the_first_part_only() {
    let sealer = begin().parts(C as u64).unwrap();
    let writer = sealer.part(0).unwrap();
    assert!(sealer.with_plaintext_len(5).is_err());
    drop(writer);
    let sealer = begin().parts(C as u64).unwrap();
    drop(sealer.part(0).unwrap());
    assert!(sealer.with_plaintext_len(5).is_err());
}

#[test]
fn a_retry_sends_the_same_bytes() {
    let sealer = begin().parts(C as u64).unwrap();
    let part = sealer.part(0).unwrap().seal_last(&[3; 100]).unwrap();
    let retry = part.clone();
    assert_eq!(part, retry);
    // Shared, neither sealed nor copied again.
    assert_eq!(part.bytes().as_ptr(), retry.into_bytes().as_ptr());
}

/// Every chunk of every part is opened under each index: each index was used once, at its own position.
#[test]
fn each_chunk_index_is_used_once() {
    let (chunk_count, part_chunks) = (11, 3);
    let plain = plaintext((chunk_count - 1) * C + 7);
    let sealer = begin().detach().1.parts((part_chunks * C) as u64).unwrap();
    let parts = cut(&plain, part_chunks * C);
    let sealed: Vec<_> = [3, 1, 0, 2]
        .map(|number: usize| match sealer.part(number as u64).unwrap() {
            part if number == 3 => part.seal_last(parts[number]).unwrap(),
            part => part.seal(parts[number]).unwrap(),
        })
        .to_vec();
    let keys = crate::common::oracle::derive(
        &[DATA; 32],
        [1, 14, 0],
        &[SALT; 24],
        &crate::common::oracle::payload_context([1, 14, 0]),
    );
    let mut used = Vec::new();
    for part in &sealed {
        let skip = if part.number() == 0 { 56 } else { 0 };
        for (at, chunk) in part.bytes()[skip..].chunks(C + 16).enumerate() {
            let indices = (0..20).filter(|&index| {
                let mut nonce = keys.base_nonce;
                nonce[11] ^= index;
                crate::common::oracle::open(1, &keys.key, &nonce, &[], chunk).is_some()
            });
            let indices: Vec<_> = indices.collect();
            let place = usize::try_from(part.number()).unwrap() * part_chunks + at;
            assert_eq!(indices, [u8::try_from(place).unwrap()]);
            used.extend(indices);
        }
    }
    used.sort_unstable();
    assert!(used.into_iter().map(usize::from).eq(0..chunk_count));
}

/// Sealed parts of `part_chunks` chunks, in the order of `keys`.
fn shuffled(plain: &[u8], part_chunks: usize, keys: &[u32]) -> Vec<SealedPart> {
    let part_len = part_chunks * C;
    let sealer = begin().detach().1.parts(part_len as u64).unwrap();
    let sealer = sealer.with_plaintext_len(plain.len() as u64).unwrap();
    let parts = cut(plain, part_len).into_iter().enumerate();
    let mut sealed: Vec<_> = parts
        .map(|(number, part)| sealer.part(number as u64).unwrap().seal(part).unwrap())
        .collect();
    sealer.finish().unwrap();
    sealed.sort_by_key(|part| keys[usize::try_from(part.number()).unwrap() % keys.len()]);
    sealed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn equal_parts_are_equal_and_the_same_bytes(
        len in 0..12 * C,
        part_chunks in 1usize..4,
        equal_len in 1000u64..100_000,
        keys in proptest::collection::vec(any::<u32>(), 12),
    ) {
        let plain = plaintext(len);
        let object = serial(&plain);
        let mut equal = EqualParts::new(NonZeroU64::new(equal_len).unwrap());
        let mut parts: Vec<SealedPart> = Vec::new();
        for part in shuffled(&plain, part_chunks, &keys) {
            parts.extend(equal.add(part).unwrap());
        }
        prop_assert_eq!(equal.finish().unwrap(), object.len() as u64);
        parts.sort_by_key(SealedPart::number);
        prop_assert!(join(&parts) == object);
        let (last, others) = parts.split_last().unwrap();
        prop_assert!(others.iter().all(|part| part.bytes().len() as u64 == equal_len));
        prop_assert!(last.bytes().len() as u64 <= equal_len);
    }
}

#[test]
fn equal_parts_meet_both_sides_of_the_object_length() {
    let plain = plaintext(3 * C);
    let object_len = serial(&plain).len() as u64;
    for equal_len in [1, object_len - 1, object_len, object_len + 1, u64::from(u32::MAX)] {
        let mut equal = EqualParts::new(NonZeroU64::new(equal_len).unwrap());
        let mut count = 0;
        for part in shuffled(&plain, 1, &[0]) {
            count += equal.add(part).unwrap().len() as u64;
        }
        assert_eq!(count, object_len.div_ceil(equal_len));
        assert_eq!(equal.finish().unwrap(), object_len);
    }
}

#[test]
fn equal_parts_refuse_a_part_twice_and_name_what_is_missing() {
    let mut sealed = shuffled(&plaintext(4 * C), 1, &[0]);
    let equal_len = NonZeroU64::new(C as u64).unwrap();
    let mut equal = EqualParts::new(equal_len);
    equal.add(sealed[1].clone()).unwrap();
    let again = equal.add(sealed[1].clone());
    assert!(matches!(again, Err(Error::Part(PartError::Duplicate { part: 1 }))));
    let last = sealed.pop().unwrap();
    equal.add(last).unwrap();
    assert!(matches!(
        equal.finish(),
        Err(Error::Part(PartError::Missing { part: 0 }))
    ));
    let nothing = EqualParts::new(equal_len).finish();
    assert!(matches!(nothing, Err(Error::Part(PartError::Missing { part: 0 }))));
}

#[test]
fn running_parts_of_any_length_join_to_what_one_writer_makes() {
    for len in LENGTHS {
        let plain = plaintext(len);
        for chunks in [[1, 1, 1], [1, 5, 2], [40, 1, 3]] {
            // With and without the header.
            let attached = chunks[0] == 40;
            let object = if attached { begin() } else { begin().detach().1 };
            let mut running = object.running_parts().unwrap();
            let mut rest = plain.as_slice();
            let mut claimed = Vec::new();
            for chunks in chunks.iter().cycle() {
                let Some((piece, after)) = rest.split_at_checked(chunks * C) else {
                    break;
                };
                claimed.push((running.next_part(*chunks as u64).unwrap(), piece));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            claimed.push((running.last_part(rest.len()).unwrap(), rest));
            // Sealed on threads, the last one first.
            let mut sealed: Vec<SealedPart> = std::thread::scope(|scope| {
                let threads: Vec<_> = claimed
                    .into_iter()
                    .rev()
                    .map(|(part, piece)| {
                        assert_eq!(part.plaintext_len(), piece.len());
                        // In one piece, or in buffers of 30,000 bytes with an empty one among them.
                        scope.spawn(move || match part.number() % 2 {
                            0 => part.seal(piece).unwrap(),
                            _ => {
                                let mut buffers = vec![Bytes::new()];
                                buffers.extend(piece.chunks(30_000).map(Bytes::copy_from_slice));
                                part.seal_scattered(&buffers).unwrap()
                            }
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            sealed.sort_by_key(SealedPart::number);
            let mut offset = 0;
            for part in &sealed {
                assert_eq!(part.offset(), offset);
                offset += part.bytes().len() as u64;
            }
            assert!(sealed.last().unwrap().is_last());
            let joined = join(&sealed).split_off(if attached { ATTACHED_LEN } else { 0 });
            assert!(joined == serial(&plain), "{len} bytes");
        }
    }
}

#[test]
fn a_running_part_takes_its_own_length_only() {
    let mut running = begin().running_parts().unwrap();
    assert!(matches!(running.next_part(0), Err(Error::Part(PartError::Size { .. }))));
    assert!(running.next_part(u64::MAX).is_err());
    let part = running.next_part(2).unwrap();
    let short = part.seal(&[0; C]);
    assert!(
        matches!(short, Err(Error::Part(PartError::Length { part: 0, need, have: 16384 })) if need == 2 * C as u64)
    );
    let last = running.last_part(5).unwrap();
    assert_eq!((last.number(), last.plaintext_offset()), (1, 2 * C as u64));
    assert!(last.seal(b"longer").is_err());
}
