//! A detached header as object metadata: one pair of strings.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};

use super::Header;
use crate::error::{Error, Result};

/// The metadata key that a header stands under.
pub const METADATA_KEY: &str = "sealstone-header";
/// The most metadata that a header makes, key and value together, in bytes: what S3 holds.
pub const MAX_METADATA_LEN: usize = 2048;

impl Header {
    /// The header as object metadata: [`METADATA_KEY`], and its detached form in base64.
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

    /// Finds the header in object metadata, among whatever else is there. Stores change the case of keys, so that does
    /// not count.
    ///
    /// # Errors
    /// [`Error::NotSealstone`] if there is none; [`Error::HeaderDamaged`] if there are two, or one that is no base64;
    /// as [`Header::from_detached`].
    pub fn from_metadata(pairs: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> Result<Self> {
        let is_header = |key: &str| key.eq_ignore_ascii_case(METADATA_KEY);
        let mut headers = pairs.into_iter().filter(|(key, _)| is_header(key.as_ref()));
        let (_, value) = headers.next().ok_or(Error::NotSealstone { hint: None })?;
        if headers.next().is_some() {
            return Err(damaged("two of them in the metadata"));
        }
        let bytes = Base64::decode_vec(value.as_ref()).map_err(|_| damaged("metadata that is no base64"))?;
        Self::from_detached(&bytes)
    }
}

const fn damaged(reason: &'static str) -> Error {
    Error::HeaderDamaged { reason, offset: 0 }
}
