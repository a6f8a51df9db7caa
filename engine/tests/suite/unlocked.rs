//! An unlocked object: one key call for any number of reads, and ranges as streams of what the caller fetches.

use std::io::Read;
use std::sync::Arc;

use sealstone::{Decryptor, Error, Executor, RawKey, Unlocked, UnlockedCache};

use crate::common::{C, CHUNKS, Counting, SEALED, decryptor, encryptor, executors, plaintext, seal_fixed, unlocked};

#[test]
fn every_reading_after_the_first_needs_no_key() {
    let plain = plaintext(5 * C + 3);
    let object = encryptor().seal(&plain).unwrap();
    let counting = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let unlocked = unlocked(&Decryptor::new(counting.clone()), &object);
    let payload = &object[CHUNKS - 56..];
    for _ in 0..3 {
        assert!(unlocked.open(&object).unwrap() == plain);
        let mut read = Vec::new();
        unlocked.reader(payload).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == plain);
        let ranges = unlocked.range_reader(object.as_slice()).unwrap();
        assert!(ranges.read_range(C as u64..).unwrap() == plain[C..]);
        assert_eq!(unlocked.verify(object.as_slice()).unwrap(), plain.len() as u64);
        assert_eq!(unlocked.find_end(object.as_slice()).unwrap(), object.len() as u64);
        assert!(ranged(&unlocked, &object, 3, C + 9, 1000) == plain[3..C + 9]);
    }
    let threads = [1, 2].map(|_| {
        let (unlocked, object) = (unlocked.clone(), object.clone());
        std::thread::spawn(move || unlocked.open(&object).unwrap())
    });
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == plain));
    assert_eq!(counting.calls(), 1);
    assert!(!format!("{unlocked:?}").contains("7, 7, 7, 7"), "no key in Debug");
}

/// Reads a range of `object` in steps of `step` bytes from a source that returns as many.
fn ranged(unlocked: &Unlocked, object: &[u8], start: usize, end: usize, step: usize) -> Vec<u8> {
    let range = unlocked.range(object.len() as u64, start as u64..end as u64).unwrap();
    let fetch = range.ciphertext_range();
    let fetch = usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap();
    // Bytes after the range are not read.
    let mut reader = range.reader(
        object[fetch.start..]
            .chunks(step)
            .fold(Box::new(std::io::empty()) as Box<dyn Read>, |before, piece| {
                Box::new(before.chain(piece))
            }),
    );
    let mut read = Vec::new();
    let mut buffer = vec![0; step];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return read,
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn a_range_is_the_same_for_every_boundary_step_and_executor() {
    let boundaries = |len: usize| {
        let near = [
            0,
            1,
            C - 1,
            C,
            C + 1,
            2 * C,
            17 * C - 1,
            17 * C,
            len / 2,
            len.saturating_sub(1),
            len,
        ];
        near.into_iter().filter(move |&at| at <= len)
    };
    for len in [0, 1, C, 2 * C + 5, 34 * C, 40 * C + 123] {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        for executor in [Executor::serial()]
            .into_iter()
            .chain(executors().into_iter().skip(2).take(1))
        {
            let unlocked = unlocked(&decryptor(), &object).with_executor(executor);
            for start in boundaries(len) {
                for end in boundaries(len).filter(|&end| end >= start) {
                    for step in [4000, 70_000] {
                        let read = ranged(&unlocked, &object, start, end, step);
                        assert!(read == plain[start..end], "{len}: {start}..{end} in steps of {step}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_fetched_are_the_chunks_that_hold_the_range() {
    let object = seal_fixed(&encryptor(), 1, 2, &plaintext(10 * C + 5));
    let unlocked = unlocked(&decryptor(), &object);
    let fetched = |start: usize, end: usize| {
        let range = unlocked.range(object.len() as u64, start as u64..end as u64).unwrap();
        let fetch = range.ciphertext_range();
        assert_eq!(*range.plaintext_range(), start as u64..end as u64);
        (fetch.start - CHUNKS as u64, fetch.end - fetch.start)
    };
    assert_eq!(fetched(0, 1), (0, SEALED as u64));
    assert_eq!(fetched(C - 1, C + 1), (0, 2 * SEALED as u64));
    assert_eq!(fetched(10 * C, 10 * C + 5), (10 * SEALED as u64, 21));
    assert_eq!(fetched(7, 7).1, 0);
    let out = unlocked.range(object.len() as u64, 5..10 * C as u64 + 6);
    assert!(matches!(out, Err(Error::RangeOutOfBounds { start: 5, len, .. }) if len == 10 * C as u64 + 5));
    let reversed = (std::ops::Bound::Included(9), std::ops::Bound::Excluded(8));
    assert!(matches!(
        unlocked.range(object.len() as u64, reversed),
        Err(Error::RangeOutOfBounds { .. })
    ));
    assert!(matches!(unlocked.range(100, ..), Err(Error::Truncated { .. })));
}

#[test]
fn a_range_refuses_what_is_altered_cut_or_of_another_length() {
    let plain = plaintext(10 * C + 5);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for executor in executors() {
        let unlocked = unlocked(&decryptor(), &object).with_executor(executor);
        let read = |object_len: usize, range: std::ops::Range<usize>, source: &[u8]| {
            let range = unlocked.range(object_len as u64, range.start as u64..range.end as u64)?;
            let fetch = range.ciphertext_range();
            let mut read = Vec::new();
            let mut reader = range.reader(&source[usize::try_from(fetch.start).unwrap().min(source.len())..]);
            let error = reader
                .read_to_end(&mut read)
                .map_err(|error| Error::from_io("reading", error));
            assert!(plain[range.plaintext_range().start.try_into().unwrap()..].starts_with(&read));
            if error.is_err() {
                assert!(reader.read(&mut [0; 1]).is_err(), "the error is permanent");
            }
            error.map(|_| read)
        };
        let len = object.len();
        assert!(read(len, 3..3 * C, &object).unwrap() == plain[3..3 * C]);
        let mut altered = object.clone();
        altered[CHUNKS + 2 * SEALED + 5] ^= 1;
        assert!(matches!(
            read(len, 3..3 * C, &altered),
            Err(Error::ChunkAltered { chunk: 2, .. })
        ));
        assert!(read(len, 3..2 * C, &altered).is_ok(), "chunk 2 is not part of it");
        // Cut within the range, and between its chunks.
        for cut in [CHUNKS + SEALED + 100, CHUNKS + 2 * SEALED] {
            assert!(
                matches!(read(len, 3..3 * C, &object[..cut]), Err(Error::Truncated { .. })),
                "{cut}"
            );
        }
        // Storage claims a shorter object: the last chunk of the claimed object does not open as a final one.
        let claimed = CHUNKS + 3 * SEALED + 500;
        assert!(read(claimed, 3 * C..3 * C + 484, &object).is_err());
        assert!(
            read(claimed, 0..C, &object).is_ok(),
            "a range before the end says nothing about it"
        );
        // Or longer.
        assert!(
            read(
                len + SEALED,
                10 * C..11 * C + 5,
                &[object.as_slice(), &vec![0; SEALED]].concat()
            )
            .is_err()
        );
    }
}

#[test]
fn a_cache_asks_once_for_each_object_and_again_after_a_failure() {
    let plain = plaintext(2 * C);
    let objects = [1, 2].map(|_| encryptor().seal(&plain).unwrap());
    let counting = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let cache = UnlockedCache::new(Decryptor::new(counting.clone()));
    let header = |object: &Vec<u8>| Decryptor::read_header(object).unwrap();
    for _ in 0..3 {
        for object in &objects {
            assert!(cache.unlock(header(object)).unwrap().open(object).unwrap() == plain);
        }
    }
    assert_eq!(counting.calls(), 2);
    // Detached, the same header belongs to another source.
    let detached = cache.unlock(header(&objects[0]).header().clone()).unwrap();
    assert!(detached.open(&objects[0][8192..]).unwrap() == plain);
    assert_eq!(counting.calls(), 3);

    let mut failing = Counting::new(RawKey::from_slice(&[7; 32]).unwrap());
    failing.fails = Some(sealstone::error::ProviderErrorClass::Unavailable);
    let failing = Arc::new(failing);
    let cache = UnlockedCache::new(Decryptor::new(failing.clone()));
    for calls in 1..4 {
        assert!(cache.unlock(header(&objects[0])).is_err());
        assert_eq!(failing.calls(), calls);
    }
}
