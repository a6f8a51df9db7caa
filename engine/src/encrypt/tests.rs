//! Verified writes, in each way of sealing: a chunk is altered after it was sealed.

use std::fs::File;
use std::io::Write;

use bytes::Bytes;

use super::*;
use crate::decrypt::Decryptor;
use crate::error::Error;
use crate::keys::RawKey;

const C: usize = 16 * 1024;

fn key() -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[7; 32]).unwrap())
}

fn verifying(executor: Executor) -> Encryptor {
    Encryptor::new(key()).with_executor(executor).with_verify_writes(true)
}

/// An object whose chunk `chunk` will be altered.
fn sabotaged(encryptor: &Encryptor, chunk: u64) -> NewObject {
    let mut object = encryptor.begin().unwrap();
    object.sealer.sabotaged = Some(chunk);
    object
}

fn executors() -> Vec<Executor> {
    vec![
        Executor::serial(),
        #[cfg(feature = "threads")]
        Executor::threads(3).unwrap(),
    ]
}

fn assert_wrong<T>(result: Result<T>, expected: u64) {
    match result {
        Err(Error::SealedWrongly { chunk }) => assert_eq!(chunk, expected),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("chunk {expected} was released"),
    }
}

#[test]
fn verified_writes_give_the_same_objects() {
    for executor in executors() {
        for len in [0, 1, C - 1, C, 33 * C + 5] {
            let plaintext = vec![0x5A; len];
            let object = verifying(executor.clone()).seal(&plaintext).unwrap();
            assert!(Decryptor::new(key()).open(&object).unwrap() == plaintext);
        }
    }
}

#[test]
fn a_wrongly_sealed_chunk_is_not_released_from_memory() {
    let plaintext = vec![0x5A; 33 * C + 5];
    for executor in executors() {
        let encryptor = verifying(executor);
        let len = usize::try_from(encryptor.object_len(plaintext.len() as u64).unwrap()).unwrap();
        for chunk in [0, 15, 16, 33] {
            let mut out = vec![0; len];
            assert_wrong(sabotaged(&encryptor, chunk).seal_into(&plaintext, &mut out), chunk);
            let chunk_start = 8192 + 56 + usize::try_from(chunk).unwrap() * (C + 16);
            assert_eq!(out[chunk_start..][..21], [0; 21]);
        }
    }
}

#[test]
fn a_wrongly_sealed_chunk_is_not_released_into_a_stream() {
    let plaintext = vec![0x5A; 33 * C + 5];
    for executor in executors() {
        for chunk in [0, 15, 16, 33] {
            let object = sabotaged(&verifying(executor.clone()), chunk);
            let mut sink = Vec::new();
            let mut writer = object.writer(&mut sink).unwrap();
            let written = writer.write_all(&plaintext).map_err(Error::io("writing"));
            // The call that meets the error returns it, and so does every later one.
            assert_wrong(written.and_then(|()| writer.finish().map(drop)), chunk);
            let batch_start = 8192 + 56 + usize::try_from(chunk / 16).unwrap() * 16 * (C + 16);
            assert!(sink.len() <= batch_start, "{chunk}: {}", sink.len());
        }
    }
}

#[test]
fn a_wrongly_sealed_chunk_is_not_released_into_a_file() {
    let source = vec![0x5A; 33 * C + 5];
    for executor in executors() {
        for chunk in [0, 15, 16, 33] {
            let target: File = tempfile::tempfile().unwrap();
            assert_wrong(
                sabotaged(&verifying(executor.clone()), chunk).seal_at(&source, &target),
                chunk,
            );
        }
    }
}

/// Without verifying, the object is written and does not open.
#[test]
fn without_verifying_the_fault_is_found_by_the_reader_only() {
    let object = sabotaged(&Encryptor::new(key()), 1);
    let mut out = vec![0; 8192 + 56 + 2 * C + 2 * 16 + 16];
    object.seal_into(&vec![0x5A; 2 * C], &mut out).unwrap();
    let opened = Decryptor::new(key()).open(&out);
    assert!(matches!(opened, Err(Error::ChunkAltered { chunk: 1, .. })));
}

/// Writes pieces of these lengths, in turn, as slices or as shared buffers.
fn written(executor: &Executor, plain: &[u8], lens: &[usize], shared: bool) -> Vec<u8> {
    let encryptor = Encryptor::new(key()).with_executor(executor.clone());
    let object = crate::hazmat::begin(&encryptor, &DataKey::from_slice(&[3; 32]).unwrap(), [4; 24]).unwrap();
    let mut writer = object.detach().1.writer(Vec::new()).unwrap();
    let mut rest = plain;
    for len in lens.iter().cycle() {
        let (piece, after) = rest.split_at((*len).min(rest.len()));
        if shared {
            writer.write_bytes(Bytes::copy_from_slice(piece)).unwrap();
        } else {
            writer.write_all(piece).unwrap();
        }
        rest = after;
        if rest.is_empty() {
            return writer.finish().unwrap();
        }
    }
    unreachable!("the lengths are those of something")
}

#[test]
fn however_it_is_written_the_payload_is_the_same() {
    for len in [0, 1, 16 * C, 40 * C + 5] {
        let plain: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let expected = written(&Executor::serial(), &plain, &[1000], false);
        for executor in executors() {
            for lens in [
                &[C][..],
                &[4 * C],
                &[16 * C],
                &[4 * C + 1, 3],
                &[100, 20 * C],
                &[len + 1],
            ] {
                for shared in [false, true] {
                    assert!(
                        written(&executor, &plain, lens, shared) == expected,
                        "{executor:?} {len} {lens:?} {shared}"
                    );
                }
            }
        }
    }
}
