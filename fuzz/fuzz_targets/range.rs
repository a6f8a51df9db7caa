//! A range of an object that was altered or has another length is the requested slice, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealstone::ChunkSize;
use sealstone_fuzz::{Altered, Object, decryptor};

const LENGTHS: [usize; 4] = [0, 100, 16 * 1024, 3 * 16 * 1024 + 9];

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    len: u8,
    flips: Vec<(u32, u8)>,
    /// How much shorter or longer the object has become.
    grown: i16,
    ranges: Vec<(u32, u16)>,
    piece: u16,
}

fuzz_target!(|input: Input| {
    let len = LENGTHS[usize::from(input.len) % LENGTHS.len()];
    let object = Object::cached(0, ChunkSize::KiB16, len);
    let bytes = object.payload();
    // Not salt and commitment, which a reader of ranges need not read.
    let flips = input
        .flips
        .iter()
        .take(4)
        .map(|&(at, mask)| (56 + u64::from(at) % (bytes.len() as u64 - 56), mask));
    let source = Altered {
        bytes,
        flips: flips.collect(),
        len: (bytes.len() as u64).saturating_add_signed(input.grown.into()),
        piece: usize::from(input.piece).max(1),
    };
    let sound = source.flips.iter().all(|&(_, mask)| mask == 0) && input.grown == 0;
    let reader = decryptor()
        .unlock(object.header.clone())
        .expect("the object's own key")
        .range_reader(source);
    let Ok(reader) = reader else {
        assert!(!sound);
        return;
    };
    if let Ok(verified) = reader.verified_len() {
        assert_eq!(verified, len as u64);
    }
    for &(start, count) in input.ranges.iter().take(4) {
        let start = start as usize % (len + 20);
        let end = start + usize::from(count);
        match reader.read_range(start as u64..end as u64) {
            // No byte is requested, so this does not verify the end.
            Ok(read) if read.is_empty() => assert!(start == end && (start <= len || !sound)),
            Ok(read) => assert_eq!(read, object.plaintext[start..end]),
            Err(error) => assert!(!sound || end > len, "{start}..{end} of {len}: {error}"),
        }
    }
});
