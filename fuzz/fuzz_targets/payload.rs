//! A stream with an altered payload returns a true beginning, then a permanent error; unaltered, it returns everything.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use sealstone::ChunkSize;
use sealstone_fuzz::{Edit, Grid, Object, Pieces, decryptor, executor};

/// Lengths on both sides of a chunk's end.
const LENGTHS: [usize; 6] = [0, 1, 100, 16 * 1024 - 1, 16 * 1024, 2 * 16 * 1024 + 9];
const SEALED: usize = 16 * 1024 + 16;

fuzz_target!(|input: (u8, u8, u16, Vec<Edit>)| {
    let (len, setting, piece, edits) = input;
    let len = LENGTHS[usize::from(len) % LENGTHS.len()];
    let object = Object::cached(0, ChunkSize::KiB16, len);
    let other = Object::cached(1, ChunkSize::KiB16, len);
    let mut payload = object.payload().to_vec();
    let grid = Grid {
        start: 56,
        step: SEALED,
    };
    for edit in edits.iter().take(4) {
        edit.apply(&mut payload, other.payload(), grid);
    }
    let source = Pieces {
        bytes: &payload,
        piece: usize::from(piece).max(1),
    };
    let unlocked = decryptor()
        .unlock(object.header.clone())
        .expect("the object's own key")
        .with_executor(executor(setting % 8 == 0));

    let mut given = Vec::new();
    let ended = unlocked.reader(source).map_or(false, |mut reader| {
        let ended = reader.read_to_end(&mut given).is_ok();
        assert!(ended || reader.read(&mut [0; 1]).is_err(), "the error is permanent");
        ended
    });
    assert!(object.plaintext.starts_with(&given), "a true beginning");
    assert_eq!(ended, payload == object.payload(), "a clean end is that of the object");
    assert!(!ended || given == object.plaintext);
});
