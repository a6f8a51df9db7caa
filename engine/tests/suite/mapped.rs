//! A mapped file as the source of ranged reads: the same results as a slice, from verified chunks only.

use std::fs;

use crate::common::{C, CHUNKS, SEALED, decryptor, encryptor, plaintext, seal_fixed};
use sealstone::Error;
use sealstone::positioned::MappedFile;

#[test]
fn ranges_of_a_mapped_file_are_those_slices() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let plain = plaintext(20 * C + 5);
    fs::write(place.path(), seal_fixed(&encryptor(), 1, 2, &plain)).unwrap();
    let reader = decryptor()
        .range_reader(MappedFile::open(place.path()).unwrap())
        .unwrap();
    for (start, end) in [(0, 0), (0, 1), (C - 1, C + 1), (5 * C, 9 * C), (20 * C, 20 * C + 5)] {
        assert!(reader.read_range(start as u64..end as u64).unwrap() == plain[start..end]);
    }
    assert!(reader.read_suffix(7).unwrap() == plain[plain.len() - 7..]);
    assert!(matches!(
        reader.read_range(0..plain.len() as u64 + 1),
        Err(Error::RangeOutOfBounds { .. })
    ));
}

#[test]
fn an_altered_mapped_file_is_refused() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let mut object = seal_fixed(&encryptor(), 1, 2, &plaintext(3 * C));
    object[CHUNKS + SEALED] ^= 1;
    fs::write(place.path(), &object).unwrap();
    let mapped = MappedFile::open(place.path()).unwrap();
    assert!(matches!(
        decryptor().verify(&mapped),
        Err(Error::ChunkAltered { chunk: 1, .. })
    ));
    let reader = decryptor().range_reader(mapped).unwrap();
    assert!(reader.read_range(0..10).is_ok());
    assert!(reader.read_range(C as u64..C as u64 + 1).is_err());
}
