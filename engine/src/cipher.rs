//! The AEAD implementations.
//!
//! ```text
//! sealed chunk = AEAD(content key, nonce = base nonce XOR chunk index, AAD = empty, plaintext) = ciphertext | tag[16]
//! ```

mod end;
mod rustcrypto;
pub(crate) mod xaes;

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;

use std::fmt;

use crate::data_key::ContentKeys;
use crate::layout::{ChunkIndex, TAG_LEN};
use crate::secret::Secret;
use crate::suite::{KEY_LEN, NONCE_LEN, Suite};

/// The implementation of the AEAD. All backends produce the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// AWS-LC, the fastest one. Needs the feature `aws-lc-rs` and a platform that AWS-LC supports.
    #[cfg(feature = "aws-lc-rs")]
    AwsLc,
    /// The RustCrypto crates: portable, without C.
    RustCrypto,
}

impl Backend {
    /// The backends of this build, the default one first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "aws-lc-rs")]
        Self::AwsLc,
        Self::RustCrypto,
    ];

    /// The backend's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLc => "aws-lc-rs",
            Self::RustCrypto => "rustcrypto",
        }
    }
}

/// The first of [`Backend::ALL`].
impl Default for Backend {
    fn default() -> Self {
        Self::ALL[0]
    }
}

/// A tag did not verify; the output was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unverified;

/// One AEAD under one key, in any backend.
enum Aead {
    #[cfg(feature = "aws-lc-rs")]
    AwsLc(aws_lc::Key),
    RustCrypto(rustcrypto::Key),
}

impl Aead {
    fn new(backend: Backend, suite: Suite, key: &[u8; KEY_LEN]) -> Self {
        match backend {
            #[cfg(feature = "aws-lc-rs")]
            Backend::AwsLc => Self::AwsLc(aws_lc::Key::new(suite, key)),
            Backend::RustCrypto => Self::RustCrypto(rustcrypto::Key::new(suite, key)),
        }
    }

    /// Seals `plain` into `out`, which has room for it and the tag.
    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8], out: &mut [u8]) {
        let (ciphertext, tag) = out.split_at_mut(plain.len());
        match self {
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLc(key) => key.seal(nonce, aad, plain, ciphertext, tag),
            Self::RustCrypto(key) => key.seal(nonce, aad, plain, ciphertext, tag),
        }
    }

    /// Opens `sealed` into `out`, which has room for the plaintext. Clears `out` if the tag does not verify.
    fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<(), Unverified> {
        let result = match sealed.len().checked_sub(TAG_LEN) {
            Some(len) if len == out.len() => {
                let (ciphertext, tag) = sealed.split_at(len);
                match self {
                    #[cfg(feature = "aws-lc-rs")]
                    Self::AwsLc(key) => key.open(nonce, aad, ciphertext, tag, out),
                    Self::RustCrypto(key) => key.open(nonce, aad, ciphertext, tag, out),
                }
            }
            _ => Err(Unverified),
        };
        if result.is_err() {
            out.fill(0);
        }
        result
    }
}

/// Seals and opens the chunks of one payload. Stateless: the caller chooses the chunk, from any thread.
pub(crate) struct ChunkCipher {
    aead: Aead,
    base_nonce: [u8; NONCE_LEN],
    /// For finding a chunk's end, which no AEAD implementation offers. The AEAD's key schedule contains this key
    /// anyway.
    key: Secret<KEY_LEN>,
    suite: Suite,
}

impl ChunkCipher {
    pub(crate) fn new(backend: Backend, suite: Suite, keys: &ContentKeys) -> Self {
        Self {
            aead: Aead::new(backend, suite, keys.key()),
            base_nonce: *keys.base_nonce(),
            key: Secret::init_with(|key| *key = *keys.key()),
            suite,
        }
    }

    /// Seals `plain` as chunk `index` into `out`, whose length is that of `plain` plus 16 bytes.
    pub(crate) fn seal(&self, index: ChunkIndex, plain: &[u8], out: &mut [u8]) {
        self.aead.seal(self.nonce(index), &[], plain, out);
    }

    /// Opens `sealed` as chunk `index` into `out`, whose length is that of `sealed` minus 16 bytes. Zeroes `out` if the
    /// tag does not verify.
    pub(crate) fn open(&self, index: ChunkIndex, sealed: &[u8], out: &mut [u8]) -> Result<(), Unverified> {
        self.aead.open(self.nonce(index), &[], sealed, out)
    }

    /// The length of the shortest prefix of `sealed` that opens as chunk `index`, found in one pass.
    pub(crate) fn find_end(&self, index: ChunkIndex, sealed: &[u8]) -> Option<usize> {
        let end = end::find(self.suite, self.key.expose(), self.nonce(index), sealed)?;
        let mut plain = vec![0; end - TAG_LEN];
        let opened = self.open(index, &sealed[..end], &mut plain);
        plain.fill(0);
        opened.ok().map(|()| end)
    }

    fn nonce(&self, index: ChunkIndex) -> [u8; NONCE_LEN] {
        let mut nonce = self.base_nonce;
        for (byte, index_byte) in nonce[NONCE_LEN - 8..].iter_mut().zip(index.get().to_be_bytes()) {
            *byte ^= index_byte;
        }
        nonce
    }
}

impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkCipher(..)")
    }
}

#[cfg(test)]
mod tests;
