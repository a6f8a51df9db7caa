//! Objects that other bytes follow, as on a device or in a padded file: refused, with the offset where the object ends.

use std::io::Read;

use crate::common::{C, decryptor, encryptor, executors, plaintext, seal_fixed, unlocked};
use sealstone::{Backend, ChunkSize, Decryptor, Encryptor, Error, Suite, Unlocked};

/// What containers are padded with: zeros, as on new disks, ones, or earlier content.
fn padding(kind: usize, len: usize) -> Vec<u8> {
    match kind {
        0 => vec![0; len],
        1 => vec![0xFF; len],
        _ => plaintext(len + 5)[5..].to_vec(),
    }
}

fn find_end(decryptor: &Decryptor, object: &[u8]) -> Result<u64, Error> {
    decryptor.unlock(Decryptor::read_header(object)?)?.find_end(object)
}

/// Opens a padded object in every way that reads all of it. Each must report the end.
fn assert_named(decryptor: &Decryptor, padded: &[u8], end: usize, what: &str) {
    assert_unlocked_named(&unlocked(decryptor, padded), padded, end, what);
    let verified = decryptor.verify(padded).unwrap_err();
    assert!(
        matches!(verified, Error::TrailingData { offset } if offset == end as u64),
        "{verified}"
    );
}

fn assert_unlocked_named(unlocked: &Unlocked, padded: &[u8], end: usize, what: &str) {
    let check = |error: Error, how: &str| {
        assert!(
            matches!(error, Error::TrailingData { offset } if offset == end as u64),
            "{what}, {how}: {error}"
        );
    };
    let payload = &padded[usize::try_from(unlocked.object_header().payload_start()).unwrap()..];
    check(unlocked.open(padded).unwrap_err(), "in memory");
    check(
        unlocked.open_into(padded, &mut vec![0; padded.len()]).unwrap_err(),
        "into a buffer",
    );
    check(unlocked.verify(padded).unwrap_err(), "at offsets");
    check(unlocked.pipe(payload, std::io::sink()).unwrap_err(), "as a stream");
    let mut reader = unlocked.reader(payload).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    check(Error::from_io("reading", error), "by a reader");
    assert_eq!(unlocked.find_end(padded).unwrap(), end as u64, "{what}");
}

#[test]
fn the_end_is_named_before_padding_of_any_length() {
    for len in [0, 1, 100, C - 1, C, 2 * C + 100, 40 * C + 5] {
        let object = seal_fixed(&encryptor(), 1, 2, &plaintext(len));
        assert_eq!(find_end(&decryptor(), object.as_slice()).unwrap(), object.len() as u64);
        for extra in [1, 15, 16, 512, C - 17, C + 16, 3 * C, 50 * C + 9] {
            for kind in 0..3 {
                let padded = [object.as_slice(), &padding(kind, extra)].concat();
                assert_named(
                    &decryptor(),
                    &padded,
                    object.len(),
                    &format!("{len} and {extra} of {kind}"),
                );
            }
        }
    }
}

#[test]
fn every_setting_names_the_end() {
    for size in ChunkSize::ALL {
        for suite in Suite::ALL {
            let encryptor = encryptor().with_chunk_size(size).with_suite(suite);
            // The final chunk ends within a block, at a block's end, or is empty.
            for rest in [1003, 16 * 37, 0] {
                let object = seal_fixed(&encryptor, 1, 2, &plaintext(size.bytes() + rest));
                let padded = [object.as_slice(), &padding(2, size.bytes() + 99)].concat();
                for &backend in Backend::ALL {
                    let end = find_end(&decryptor().with_backend(backend), padded.as_slice());
                    assert_eq!(
                        end.unwrap(),
                        object.len() as u64,
                        "{size:?} {suite:?} {backend:?} {rest}"
                    );
                }
            }
        }
    }
}

/// The search covers a whole chunk in one pass, whatever its length.
#[test]
fn a_final_chunk_that_is_nearly_full_is_found() {
    for suite in Suite::ALL {
        let encryptor = encryptor().with_chunk_size(ChunkSize::KiB256).with_suite(suite);
        let object = seal_fixed(&encryptor, 1, 2, &plaintext(256 * 1024 - 1));
        let padded = [object.as_slice(), &padding(2, 1)].concat();
        assert_eq!(find_end(&decryptor(), padded.as_slice()).unwrap(), object.len() as u64);
    }
}

#[test]
fn every_executor_names_the_end() {
    let object = seal_fixed(&encryptor(), 1, 2, &plaintext(70 * C + 3));
    let padded = [object.as_slice(), &padding(0, 200 * C)].concat();
    for executor in executors() {
        assert_named(
            &decryptor().with_executor(executor),
            &padded,
            object.len(),
            "by any executor",
        );
    }
}

#[test]
fn the_end_of_a_payload_alone_is_named() {
    let encryptor: Encryptor = encryptor();
    let object = encryptor.begin().unwrap();
    let header = object.header().clone();
    let mut payload = Vec::new();
    object
        .detach()
        .1
        .pipe(plaintext(C + 9).as_slice(), &mut payload)
        .unwrap();
    let padded = [payload.as_slice(), &[0; 5000]].concat();
    assert_unlocked_named(&decryptor().unlock(header).unwrap(), &padded, payload.len(), "detached");
}

#[test]
fn an_object_that_is_altered_or_cut_has_no_other_end() {
    let plain = plaintext(20 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for at in [8192 + 56, 8192 + 56 + 7 * (C + 16) + 5, object.len() - 1] {
        let mut altered = object.clone();
        altered[at] ^= 1;
        let chunk = (at - 8192 - 56) / (C + 16);
        for executor in executors() {
            let error = decryptor()
                .with_executor(executor)
                .verify(altered.as_slice())
                .unwrap_err();
            assert!(
                matches!(error, Error::ChunkAltered { chunk: found, .. } if found == chunk as u64),
                "{error}"
            );
        }
        // Not all chunks were opened for this.
        let end = find_end(&decryptor(), altered.as_slice());
        assert!(matches!(end, Err(Error::ChunkAltered { .. })) || matches!(end, Ok(len) if len == object.len() as u64));
    }
    let boundary = 8192 + 56 + 3 * (C + 16);
    for cut in [8192 + 56, boundary, boundary + 15] {
        assert!(
            matches!(find_end(&decryptor(), &object[..cut]), Err(Error::Truncated { .. })),
            "{cut}"
        );
    }
}
