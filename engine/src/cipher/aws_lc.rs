//! The AWS-LC backend.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{KEY_LEN, NONCE_LEN, Suite, Unverified};

pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(suite: Suite, key: &[u8; KEY_LEN]) -> Self {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).expect("both algorithms take 32-byte keys");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8], out: &mut [u8], tag: &mut [u8]) {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plain, out, &[], tag)
            .expect("lengths agree, and no chunk reaches the AEAD's limit");
    }

    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8],
        out: &mut [u8],
    ) -> Result<(), Unverified> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| Unverified)
    }
}
