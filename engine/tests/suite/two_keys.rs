//! AES-GCM does not commit to its key: one chunk can be made to verify under two keys. The commitment prevents such a
//! chunk from having two plaintexts.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use crate::common::oracle::{self, ContentKeys, Header, Slot};
use crate::field::{ghash, invert, multiply, square};
use aes::Aes256;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use sealstone::format::VERSION;
use sealstone::hazmat::{self, PayloadParameters};
use sealstone::{Backend, ChunkSize, DataKey, Decryptor, Error, RawKey, Suite};

const CORE: [u8; 3] = [1, 14, 0];
const SALT: [u8; 24] = [3; 24];
/// Two data keys, and the keys of two slot holders.
const DATA_KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const HOLDERS: [[u8; 32]; 2] = [[11; 32], [12; 32]];

#[test]
fn a_two_key_chunk_is_refused_at_the_commitment() {
    let keys = DATA_KEYS.map(|key| oracle::derive(&key, CORE, &SALT, &oracle::payload_context(CORE)));
    assert_ne!(keys[0].commitment, keys[1].commitment);
    let chunk = chunk_of_two_keys(&keys, b"Pay 100 to Alice, and not a penny to anybody else. ");

    // Without a commitment, both keys open the chunk, each to a different plaintext.
    let plaintexts = [&keys[0], &keys[1]].map(|keys| open_gcm(keys, &chunk).expect("verifies under both keys"));
    assert!(plaintexts[0].starts_with(b"Pay 100 to Alice"));
    assert_ne!(plaintexts[0], plaintexts[1]);

    for committed in [0, 1] {
        let payload = [&SALT[..], &keys[committed].commitment, &chunk].concat();
        for sent in [0, 1] {
            // The data key alone,
            for &backend in Backend::ALL {
                let parameters = PayloadParameters {
                    suite: Suite::Aes256Gcm,
                    chunk_size: ChunkSize::KiB16,
                    context: &oracle::payload_context(CORE),
                    backend,
                };
                let data_key = DataKey::from_slice(&DATA_KEYS[sent]).unwrap();
                let opened = hazmat::open_payload(&data_key, parameters, &payload);
                judge(opened, committed == sent, &plaintexts[sent]);
            }
            // and in a slot.
            let object = object(&payload, &[slot(0, sent)]);
            for opened in every_way(0, &object) {
                judge(opened, committed == sent, &plaintexts[sent]);
            }
        }
        // The attack itself: an object for two holders, with a data key for each.
        let object = object(&payload, &[slot(0, 0), slot(1, 1)]);
        for holder in [0, 1] {
            for opened in every_way(holder, &object) {
                judge(opened, committed == holder, &plaintexts[holder]);
            }
        }
    }
}

/// Either the plaintext of the committed key, or the commitment's own error rather than that of a chunk.
fn judge(opened: sealstone::Result<Vec<u8>>, committed: bool, plaintext: &[u8]) {
    match opened {
        Ok(opened) => assert!(committed && opened == plaintext),
        Err(error) => assert!(
            !committed && matches!(error, Error::CommitmentMismatch { .. }),
            "{error}"
        ),
    }
}

fn every_way(holder: usize, object: &[u8]) -> [sealstone::Result<Vec<u8>>; 2] {
    let decryptor = Decryptor::new(Arc::new(RawKey::from_slice(&HOLDERS[holder]).unwrap()));
    let streamed = decryptor.reader(object).map(|mut reader| {
        let mut plaintext = Vec::new();
        reader.read_to_end(&mut plaintext).unwrap();
        plaintext
    });
    [decryptor.open(object), streamed]
}

fn slot(holder: usize, data_key: usize) -> Slot {
    let kek = &HOLDERS[holder];
    let context = oracle::canonical(&BTreeMap::new());
    oracle::wrap(
        kek,
        &[9; 24],
        "raw",
        &oracle::raw_key_id(kek),
        &context,
        &DATA_KEYS[data_key],
    )
}

fn object(payload: &[u8], slots: &[Slot]) -> Vec<u8> {
    let header = Header {
        version: VERSION,
        core: CORE,
        generation: 0,
        salt: SALT,
        commitment: payload[24..56].try_into().unwrap(),
        context: BTreeMap::new(),
        slots: slots.to_vec(),
    };
    [header.attached(), payload.to_vec()].concat()
}

fn open_gcm(keys: &ContentKeys, sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, tag) = sealed.split_last_chunk::<16>()?;
    let mut plain = body.to_vec();
    Aes256Gcm::new((&keys.key).into())
        .decrypt_inout_detached(
            (&keys.base_nonce).into(),
            &[],
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(plain)
}

/// A sealed chunk 0 that verifies under both keys, and begins with `text` under the first.
///
/// A tag is linear in each block of the ciphertext: `tag = S + sum of X_i H^(m+1-i)`, over the blocks X_1 to X_m of
/// ciphertext and lengths, where S and H depend on the key. Let T be the tag when the last ciphertext block, X_(m-1),
/// is zero: the tags agree if that block is `(T_1 + T_2) / (H_1^2 + H_2^2)`.
fn chunk_of_two_keys(keys: &[ContentKeys; 2], text: &[u8]) -> Vec<u8> {
    let mut ciphertext = keystream_sealed(&keys[0], text);
    ciphertext.resize(text.len().next_multiple_of(16) + 16, 0);
    let (blocks, _) = ciphertext.as_chunks_mut::<16>();
    let (solved, rest) = blocks.split_last_mut().expect("one block is for the solution");
    assert_eq!(*solved, [0; 16]);
    let squares = [&keys[0], &keys[1]].map(|keys| square(hash_key(keys)));
    let with_zero = [rest.to_vec(), vec![*solved]].concat();
    let tags = [&keys[0], &keys[1]].map(|keys| tag(keys, &with_zero));
    let solution = multiply(tags[0] ^ tags[1], invert(squares[0] ^ squares[1]));
    *solved = solution.to_be_bytes();
    let tag = tag(&keys[0], blocks);
    ciphertext.extend(tag.to_be_bytes());
    ciphertext
}

/// The bytes that open to `text` under `keys`, without a tag.
fn keystream_sealed(keys: &ContentKeys, text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    let cipher = Aes256Gcm::new((&keys.key).into());
    cipher
        .encrypt_inout_detached((&keys.base_nonce).into(), &[], sealed.as_mut_slice().into())
        .expect("a short message");
    sealed
}

/// The GCM tag of whole blocks of ciphertext without AAD, as a number.
fn tag(keys: &ContentKeys, ciphertext: &[[u8; 16]]) -> u128 {
    let h = hash_key(keys);
    let lengths = ciphertext.len() as u128 * 128;
    let blocks = ciphertext.iter().map(|block| u128::from_be_bytes(*block));
    let hash = ghash(h, blocks.chain([lengths]));
    let mut counter = [0; 16];
    counter[..12].copy_from_slice(&keys.base_nonce);
    counter[15] = 1;
    hash ^ encrypt(keys, counter)
}

fn hash_key(keys: &ContentKeys) -> u128 {
    encrypt(keys, [0; 16])
}

fn encrypt(keys: &ContentKeys, mut block: [u8; 16]) -> u128 {
    Aes256::new((&keys.key).into()).encrypt_block((&mut block).into());
    u128::from_be_bytes(block)
}
