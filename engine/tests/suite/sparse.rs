//! Zeros in the plaintext become holes in the output, with the same bytes.

use std::fs::{self, File};
use std::path::Path;

use crate::common::{C, decryptor, encryptor, executors, plaintext, seal_fixed, unlocked};
use sealstone::Error;
use sealstone::file::SparseFile;

const BLOCK: usize = 4096;

/// Data with `zeros` zero bytes, starting at `at`.
fn with_zeros(len: usize, at: usize, zeros: usize) -> Vec<u8> {
    let mut plain: Vec<u8> = plaintext(len).iter().map(|byte| byte | 1).collect();
    plain[at..(at + zeros).min(len)].fill(0);
    plain
}

/// Bytes that a file occupies on disk.
#[cfg(unix)]
fn taken(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap()) * 512
}

#[cfg(not(unix))]
fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Opens the plaintext's object into a sparse file, at offsets and in order.
fn open_both_ways(plain: &[u8], mut check: impl FnMut(&Path)) {
    let object = seal_fixed(&encryptor(), 1, 2, plain);
    let directory = tempfile::tempdir().unwrap();
    for (number, executor) in executors().into_iter().enumerate() {
        let decryptor = decryptor().with_executor(executor);
        let (at, in_order) = (
            directory.path().join(format!("at-{number}")),
            directory.path().join(format!("in-order-{number}")),
        );
        let file = File::create_new(&at).unwrap();
        let sparse = SparseFile::new(&file).unwrap();
        unlocked(&decryptor, object.as_slice())
            .open_at(object.as_slice(), &sparse)
            .unwrap();
        sparse.finish().unwrap();
        check(&at);
        let file = File::create_new(&in_order).unwrap();
        let mut sparse = SparseFile::new(&file).unwrap();
        decryptor.pipe(object.as_slice(), &mut sparse).unwrap();
        sparse.finish().unwrap();
        check(&in_order);
    }
}

#[test]
fn the_bytes_are_the_same_wherever_zeros_are() {
    const LEN: usize = 40 * C + 123;
    for (at, zeros) in [
        (0, 0),
        (0, LEN),
        (0, 10 * C),
        (BLOCK - 1, BLOCK + 1),
        (BLOCK, BLOCK),
        (BLOCK + 1, 2 * BLOCK),
        (17 * C + 5, 16 * C),
        (LEN - 123, 123),
        (LEN - 30 * C, LEN),
    ] {
        let plain = with_zeros(LEN, at, zeros);
        open_both_ways(&plain, |path| {
            assert!(fs::read(path).unwrap() == plain, "{zeros} zeros at {at}");
        });
    }
    for len in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK, C, 2 * C + 1] {
        let plain = vec![0; len];
        open_both_ways(&plain, |path| assert_eq!(fs::read(path).unwrap(), plain, "{len} zeros"));
    }
}

#[cfg(unix)]
#[test]
fn whole_blocks_of_zeros_take_no_room() {
    const LEN: usize = 64 * C;
    for zeros in [32 * C, LEN] {
        let plain = with_zeros(LEN, LEN - zeros, zeros);
        open_both_ways(&plain, |path| {
            let most = (LEN - zeros + 4 * BLOCK) as u64;
            assert!(taken(path) <= most, "{} of {most} bytes", taken(path));
        });
    }
}

#[test]
fn a_file_that_has_bytes_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"old").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    assert!(matches!(SparseFile::new(&file), Err(Error::Io { .. })));
}
