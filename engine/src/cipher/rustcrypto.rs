//! The RustCrypto backend.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use chacha20poly1305::ChaCha20Poly1305;

use super::{KEY_LEN, NONCE_LEN, Suite, Unverified};

pub(super) enum Key {
    Aes256Gcm(Box<Aes256Gcm>),
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
}

impl Key {
    pub(super) fn new(suite: Suite, key: &[u8; KEY_LEN]) -> Self {
        match suite {
            Suite::Aes256Gcm => Self::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
            Suite::ChaCha20Poly1305 => Self::ChaCha20Poly1305(Box::new(ChaCha20Poly1305::new(key.into()))),
        }
    }

    pub(super) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8], out: &mut [u8], tag: &mut [u8]) {
        let nonce = Nonce::from(nonce);
        let buffer = InOutBuf::new(plain, out).expect("lengths agree");
        let sealed = match self {
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(&nonce, aad, buffer),
            Self::ChaCha20Poly1305(key) => key.encrypt_inout_detached(&nonce, aad, buffer),
        };
        tag.copy_from_slice(&sealed.expect("no chunk reaches the AEAD's limit"));
    }

    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8],
        out: &mut [u8],
    ) -> Result<(), Unverified> {
        let nonce = Nonce::from(nonce);
        let tag = Tag::try_from(tag).map_err(|_| Unverified)?;
        let buffer = InOutBuf::new(ciphertext, out).map_err(|_| Unverified)?;
        let opened = match self {
            Self::Aes256Gcm(key) => key.decrypt_inout_detached(&nonce, aad, buffer, &tag),
            Self::ChaCha20Poly1305(key) => key.decrypt_inout_detached(&nonce, aad, buffer, &tag),
        };
        opened.map_err(|_| Unverified)
    }
}
