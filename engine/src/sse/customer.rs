//! A customer's key, as three request headers bring it.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::error::SseError;
use super::names;
use crate::header::Header;
use crate::provider::{KeyMatch, KeyProvider, RawKey};

/// A key that came with a request. Wiped with its last clone, never printed, never stored.
#[derive(Clone)]
pub struct CustomerKey {
    key: Arc<RawKey>,
    md5: String,
}

impl CustomerKey {
    /// The key of a request with these values of [`names::CUSTOMER_ALGORITHM`], [`names::CUSTOMER_KEY`] and
    /// [`names::CUSTOMER_KEY_MD5`]; `None` if it has none of the three. Wipe `key` afterwards.
    ///
    /// Whether the connection is one that nobody can listen to is for the caller to check.
    ///
    /// # Errors
    /// [`SseError::CustomerHeaderMissing`] if it has some of them; [`SseError::CustomerAlgorithm`],
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
        let key = RawKey::from_base64(key).ok_or(SseError::CustomerKeyInvalid)?;
        let computed = Base64::encode_string(&Md5::digest(key.expose()));
        if !bool::from(computed.as_bytes().ct_eq(md5.as_bytes())) {
            return Err(SseError::CustomerKeyMd5);
        }
        Ok(Some(Self {
            key: Arc::new(key),
            md5: computed,
        }))
    }

    /// The key's MD5 in base64, which S3 answers with.
    #[must_use]
    pub fn md5(&self) -> &str {
        &self.md5
    }

    pub(super) fn provider(&self) -> Arc<RawKey> {
        self.key.clone()
    }

    /// Whether the object was sealed with this key, by the fingerprint that its header tells.
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
