//! Finds the end of a sealed chunk that other bytes follow.
//!
//! ```text
//! sealed    | ciphertext ... | tag[16] | anything ...
//!           hash of 0, 1, 2, ... bytes, each compared with the 16 bytes after it
//! ```
//!
//! Opening every prefix would take quadratic time: a minute for chunks of 1 MiB. The universal hash that the tag is
//! computed from can be continued from one length to the next.

use aes::Aes256;
use aes::cipher::BlockCipherEncrypt;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ghash::GHash;
use ghash::universal_hash::{Block, KeyInit, UniversalHash};
use poly1305::Poly1305;
use zeroize::Zeroizing;

use super::{KEY_LEN, NONCE_LEN, Suite};
use crate::layout::TAG_LEN;

/// The length of the shortest prefix of `sealed` that ends with its own tag, without additional data.
pub(super) fn find(suite: Suite, key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<usize> {
    match suite {
        Suite::Aes256Gcm => {
            let aes = Aes256::new(key.into());
            let mut hash_key = Zeroizing::new([0; 16]);
            aes.encrypt_block((&mut *hash_key).into());
            let mut mask = Zeroizing::new([0; TAG_LEN]);
            mask[..NONCE_LEN].copy_from_slice(&nonce);
            mask[TAG_LEN - 1] = 1;
            aes.encrypt_block((&mut *mask).into());
            let lengths = |len: u64| u128::from(len * 8).to_be_bytes();
            find_tag(GHash::new((&*hash_key).into()), sealed, lengths, &mask)
        }
        Suite::ChaCha20Poly1305 => {
            let mut hash_key = Zeroizing::new([0; 32]);
            ChaCha20::new(key.into(), (&nonce).into()).apply_keystream(hash_key.as_mut_slice());
            let lengths = |len: u64| (u128::from(len) << 64).to_le_bytes();
            find_tag(Poly1305::new((&*hash_key).into()), sealed, lengths, &[0; TAG_LEN])
        }
    }
}

/// `lengths` returns the last block to hash, and `mask` is what the hash is XORed with to form the tag.
fn find_tag<H: UniversalHash + Clone>(
    mut hash: H,
    sealed: &[u8],
    lengths: impl Fn(u64) -> [u8; 16],
    mask: &[u8; TAG_LEN],
) -> Option<usize> {
    let mut hashed = 0;
    for (end, found) in sealed.windows(TAG_LEN).enumerate() {
        if end - hashed == TAG_LEN {
            hash.update_padded(&sealed[hashed..end]);
            hashed = end;
        }
        let mut whole = hash.clone();
        whole.update_padded(&sealed[hashed..end]);
        whole.update_padded(&lengths(end as u64));
        let mut expected = Block::<H>::default();
        for (byte, (found, mask)) in expected.iter_mut().zip(found.iter().zip(mask)) {
            *byte = found ^ mask;
        }
        if whole.verify(&expected).is_ok() {
            return Some(end + TAG_LEN);
        }
    }
    None
}
