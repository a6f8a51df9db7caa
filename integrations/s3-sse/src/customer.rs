//! A customer's key, sent in three request headers.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use md5::{Digest, Md5};
use sealstone::keys::KeyMatch;
use sealstone::{Header, KeyProvider, RawKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::SseError;
use crate::names;

/// A key that came with a request. It is wiped with its last clone, and never printed or stored.
#[derive(Clone)]
pub struct CustomerKey {
    key: Arc<RawKey>,
    md5: String,
}

impl CustomerKey {
    /// The key of a request with these values of [`names::CUSTOMER_ALGORITHM`], [`names::CUSTOMER_KEY`] and
    /// [`names::CUSTOMER_KEY_MD5`]; `None` if all three are absent. Wipe `key` afterwards.
    ///
    /// The caller checks that the connection is encrypted.
    ///
    /// # Errors
    /// [`SseError::CustomerHeaderMissing`] if only some are present; [`SseError::CustomerAlgorithm`],
    /// [`SseError::CustomerKeyInvalid`], [`SseError::CustomerKeyMd5`].
    pub fn from_headers(
        algorithm: Option<&str>,
        key: Option<&str>,
        md5: Option<&str>,
    ) -> Result<Option<Self>, SseError> {
        if [algorithm, key, md5] == [None; 3] {
            return Ok(None);
        }
        let key = key.ok_or(SseError::CustomerHeaderMissing(names::CUSTOMER_KEY))?;
        let algorithm = algorithm.ok_or(SseError::CustomerHeaderMissing(names::CUSTOMER_ALGORITHM))?;
        if algorithm != names::AES256 {
            return Err(SseError::CustomerAlgorithm);
        }
        let md5 = md5.ok_or(SseError::CustomerHeaderMissing(names::CUSTOMER_KEY_MD5))?;
        let key = decode(key).ok_or(SseError::CustomerKeyInvalid)?;
        let computed = Base64::encode_string(&Md5::digest(*key));
        if !bool::from(computed.as_bytes().ct_eq(md5.as_bytes())) {
            return Err(SseError::CustomerKeyMd5);
        }
        let key = RawKey::from_slice(&*key).ok_or(SseError::CustomerKeyInvalid)?;
        Ok(Some(Self {
            key: Arc::new(key),
            md5: computed,
        }))
    }

    /// The key's MD5 in base64, which S3 returns.
    #[must_use]
    pub fn md5(&self) -> &str {
        &self.md5
    }

    pub(super) fn provider(&self) -> Arc<RawKey> {
        self.key.clone()
    }

    /// Whether the object was sealed under this key, according to the fingerprint in its header.
    pub(super) fn fits(&self, header: &Header) -> bool {
        header
            .slots()
            .iter()
            .any(|slot| self.key.matches(slot) == KeyMatch::Yes)
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey({})", self.key.fingerprint())
    }
}

/// The 32 bytes that `text` is the base64 of.
fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let len = Base64::decode(text, &mut *key).ok()?.len();
    (len == key.len()).then_some(key)
}
