//! The two copies of an attached header, when hostile storage puts another object's into one of them.

use std::fs::{File, OpenOptions};
use std::io::Read;

use sealstone::composite::Padding;
use sealstone::error::CompositeError;
use sealstone::{Decryptor, Error, Rewrap};
use sha2::{Digest, Sha256};

use super::{Stored, composite_error};
use crate::common::{C, decryptor, encryptor, plaintext};

const COPY: usize = 4096;

/// A plain object, a composite and a padded one: bytes and plaintext.
fn victims() -> [(Vec<u8>, Vec<u8>); 3] {
    let plain = plaintext(C + 7);
    let composite = Stored::seal(&[5, C]);
    let padded = encryptor().begin_composite(Padding::PlaintextLength).unwrap();
    let padded = Stored::join(&padded, &[9], b"");
    [
        (encryptor().seal(&plain).unwrap(), plain),
        (composite.bytes, composite.plain),
        (padded.bytes, padded.plain),
    ]
}

/// The object with one copy of its header replaced by that of `other`, of this generation.
fn with_foreign_copy(object: &[u8], other: &[u8], copy: usize, generation: u64) -> Vec<u8> {
    let mut foreign = other[..COPY].to_vec();
    foreign[12..20].copy_from_slice(&generation.to_be_bytes());
    let mut altered = object.to_vec();
    altered[copy * COPY..][..COPY].copy_from_slice(&sealed(foreign));
    altered
}

/// The copy with a checksum that is right, which needs no key.
fn sealed(mut copy: Vec<u8>) -> Vec<u8> {
    let checksum = Sha256::digest(&copy[..COPY - 32]);
    copy[COPY - 32..].copy_from_slice(&checksum);
    copy
}

fn foreign_headers() -> impl Iterator<Item = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let others = victims();
    let cases = victims().into_iter().flat_map(move |(object, plain)| {
        let others = others.clone().into_iter();
        others.flat_map(move |(other, _)| {
            let (object, plain) = (object.clone(), plain.clone());
            [(0, 0), (1, 0), (0, 5), (1, 5)].map(move |(copy, generation)| {
                (
                    with_foreign_copy(&object, &other, copy, generation),
                    object.clone(),
                    plain.clone(),
                )
            })
        })
    });
    cases.collect::<Vec<_>>().into_iter()
}

/// The other object is sealed for the same key under the same context: its header opens, and is another object's.
#[test]
fn a_foreign_copy_does_not_keep_readers_from_the_objects_own() {
    for (altered, _, plain) in foreign_headers() {
        assert!(decryptor().open(&altered).unwrap() == plain);
        assert_eq!(decryptor().verify(&altered).unwrap().plaintext_len, plain.len() as u64);
        let ranges = decryptor().range_reader(altered.as_slice()).unwrap();
        assert!(ranges.read_range(..).unwrap() == plain);
    }
}

/// Whatever a rewrap does with such a file, the object's own copy is not lost.
#[test]
fn a_rewrap_never_overwrites_an_objects_own_copy_by_a_foreign_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("object");
    let mut repaired = 0;
    for (altered, _, plain) in foreign_headers() {
        std::fs::write(&path, &altered).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let rewrapped = Rewrap::new(decryptor()).file(&file);
        repaired += usize::from(rewrapped.is_ok());
        let after = std::fs::read(&path).unwrap();
        if rewrapped.is_err() {
            assert!(after == altered, "nothing is written after an error");
        }
        assert!(decryptor().open(&after).unwrap() == plain);
    }
    assert!(repaired > 0, "what can be told apart is repaired");
}

/// Both copies are another object's.
#[test]
fn a_header_of_another_object_is_not_rewrapped() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("object");
    let (first, second) = (Stored::seal(&[5, C]), Stored::seal(&[5, C]));
    let exchanged = [&first.bytes[..2 * COPY], &second.bytes[2 * COPY..]].concat();
    std::fs::write(&path, &exchanged).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let other = std::sync::Arc::new(sealstone::RawKey::from_slice(&[8; 32]).unwrap());
    let refused = Rewrap::new(decryptor()).add_key(other).file(&file).map(drop);
    assert_eq!(composite_error(refused.unwrap_err()), CompositeError::ManifestAltered);
    assert!(std::fs::read(&path).unwrap() == exchanged);
}

/// Without any key, one byte of one copy makes a plain object's header claim to be composite.
#[test]
fn a_forged_flag_does_not_keep_a_plain_object_from_being_read_as_a_stream() {
    let plain = plaintext(C + 7);
    let object = encryptor().seal(&plain).unwrap();
    for (copy, flags, generation) in [(0, 1, 0_u64), (1, 1, 9), (0, 3, 9), (1, 3, 9)] {
        let mut forged = object[..COPY].to_vec();
        forged[11] = flags;
        forged[12..20].copy_from_slice(&generation.to_be_bytes());
        let mut altered = object.clone();
        altered[copy * COPY..][..COPY].copy_from_slice(&sealed(forged));
        let mut read = Vec::new();
        decryptor()
            .reader(altered.as_slice())
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == plain);
        let mut piped = Vec::new();
        decryptor().pipe(altered.as_slice(), &mut piped).unwrap();
        assert!(piped == plain);
    }
    // And a composite object does not become a stream by a forged plain copy.
    let stored = Stored::seal(&[5]);
    let mut forged = stored.bytes[..COPY].to_vec();
    forged[11] = 0;
    let mut altered = stored.bytes.clone();
    altered[..COPY].copy_from_slice(&sealed(forged));
    let refused = decryptor().reader(altered.as_slice()).map(drop);
    assert_eq!(composite_error(refused.unwrap_err()), CompositeError::NotSeekable);
    assert!(decryptor().open(&altered).unwrap() == stored.plain);
}

#[cfg(feature = "tokio")]
#[test]
fn nor_as_an_asynchronous_one() {
    use tokio::io::AsyncReadExt;

    let plain = plaintext(C + 7);
    let mut object = encryptor().seal(&plain).unwrap();
    let mut forged = object[..COPY].to_vec();
    forged[11] = 1;
    object[..COPY].copy_from_slice(&sealed(forged));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = runtime.block_on(async {
        let mut reader = decryptor().reader_async(object.as_slice()).await.unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.unwrap();
        read
    });
    assert!(read == plain);
}

#[cfg(feature = "tokio")]
#[test]
fn asynchronous_programs_choose_between_copies_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (altered, _, plain) in foreign_headers() {
        let opened = runtime.block_on(decryptor().open_async(altered.into()));
        assert!(opened.unwrap() == plain);
    }
}

/// The header is read once; the source then decides between its copies.
#[test]
fn a_header_that_was_read_before_is_unlocked_with_its_source() {
    let (first, second) = (Stored::seal(&[5, C]), Stored::seal(&[7]));
    let altered = with_foreign_copy(&first.bytes, &second.bytes, 0, 3);
    let header = Decryptor::read_header(&altered).unwrap();
    let unlocked = decryptor().unlock_at(header, &altered).unwrap();
    assert!(unlocked.open(&altered).unwrap() == first.plain);
    assert!(unlocked.object_header().faults()[0].is_some());
    // What is wrong with the source is not taken for a wrong copy.
    let header = Decryptor::read_header(&altered).unwrap();
    let empty = File::open("/dev/null").unwrap();
    assert!(matches!(
        decryptor().unlock_at(header, &empty),
        Err(Error::Truncated { .. })
    ));
}
