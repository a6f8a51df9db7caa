//! A detached header as object metadata: one pair of strings.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};

use super::Header;
use crate::error::{Error, Result};

/// The metadata key of a header.
pub const METADATA_KEY: &str = "sealstone-header";
/// The metadata key of a header in stores whose metadata names are identifiers, without hyphens, such as Azure.
pub const METADATA_IDENTIFIER: &str = "sealstone_header";
/// Whether `key` is the metadata key of a header, in any case and spelling.
#[must_use]
pub fn is_metadata_key(key: &str) -> bool {
    [METADATA_KEY, METADATA_IDENTIFIER]
        .iter()
        .any(|own| key.eq_ignore_ascii_case(own))
}

/// The largest metadata of a header, key and value together, in bytes: S3's limit.
pub const MAX_METADATA_LEN: usize = 2048;

impl Header {
    /// The header as object metadata: [`METADATA_KEY`] and the detached header in base64. In stores whose metadata names
    /// are identifiers, the value's key is [`METADATA_IDENTIFIER`].
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`] if key and value are longer than [`MAX_METADATA_LEN`].
    pub fn to_metadata(&self) -> Result<BTreeMap<String, String>> {
        let value = Base64::encode_string(&self.to_detached()?);
        let need = METADATA_KEY.len() + value.len();
        if need > MAX_METADATA_LEN {
            return Err(Error::HeaderTooLarge {
                need,
                limit: MAX_METADATA_LEN,
            });
        }
        Ok(BTreeMap::from([(METADATA_KEY.to_owned(), value)]))
    }

    /// Finds the header in object metadata among other pairs. Keys are compared without regard to case, because stores
    /// change it.
    ///
    /// # Errors
    /// [`Error::NotSealstone`] if the metadata has no header; [`Error::HeaderDamaged`] if it has two, or one that is
    /// not base64; as [`Header::from_detached`].
    pub fn from_metadata(pairs: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> Result<Self> {
        let mut headers = pairs.into_iter().filter(|(key, _)| is_metadata_key(key.as_ref()));
        let (_, value) = headers.next().ok_or(Error::NotSealstone { hint: None })?;
        if headers.next().is_some() {
            return Err(damaged("the metadata has two headers"));
        }
        let bytes = Base64::decode_vec(value.as_ref()).map_err(|_| damaged("metadata that is not base64"))?;
        Self::from_detached(&bytes)
    }
}

const fn damaged(reason: &'static str) -> Error {
    Error::HeaderDamaged { reason, offset: 0 }
}
