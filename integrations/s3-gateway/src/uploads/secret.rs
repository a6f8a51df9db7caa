//! What the parts of an upload are known by, without telling the store anything of their plaintext.
//!
//! ```text
//! etag      hex, with -1 after it, of the first 16 bytes of HMAC-SHA-256(secret, "etag" | number[2] | plaintext length[8] | checksum)
//! masked    checksum XOR HMAC-SHA-256(secret, "checksum" | salt[24])
//! ```
//!
//! The same bytes uploaded again under the same number have the same `ETag`, as in S3: a client that repeats a part may
//! name either response. A salt belongs to one sealing, so no mask is used twice. A checksum that the store changed gives
//! another `ETag` than the one that the client names.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sealstone::composite::Receipt;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::hex;

/// The secret of an upload.
#[derive(Clone)]
pub struct UploadSecret(Zeroizing<[u8; 32]>);

impl UploadSecret {
    /// A new secret.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret)?;
        Ok(Self(secret))
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// The `ETag` of a part with this checksum.
    pub(super) fn etag(&self, number: u16, plaintext_len: u64, checksum: &[u8]) -> String {
        let parts = [
            &b"etag"[..],
            &number.to_be_bytes(),
            &plaintext_len.to_be_bytes(),
            checksum,
        ];
        format!("{}-1", hex(&self.mac(&parts)[..16]))
    }

    /// A checksum as the store keeps it, or from it.
    pub(super) fn mask(&self, receipt: &Receipt, checksum: &[u8]) -> Vec<u8> {
        let mask = self.mac(&[b"checksum", receipt.salt()]);
        checksum.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for UploadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadSecret")
    }
}
