//! A key-encryption key that the caller supplies, as with S3's SSE-C.
//!
//! ```text
//! key id = hex of the first 16 bytes of HMAC-SHA-512(key, "sealstone/raw-key-id@v1")
//! ```
//!
//! The key id is a fingerprint, so a wrong key is detected before anything is unwrapped.

use std::fs::File;
use std::path::Path;

use base64ct::{Base64, Encoding};
use hmac::Mac;

use super::{BoxFuture, KeyMatch, KeyProvider, wrap};
use crate::context::EncryptionContext;
use crate::data_key::{DataKey, hmac_sha512};
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::hex;
use crate::registry;
use crate::secret::{Secret, read_wiped};
use crate::suite::KEY_LEN;

const ID: &str = RawKey::ID;
const BASE64_LEN: usize = 44;
const HEX_LEN: usize = 2 * KEY_LEN;

/// A 32-byte key-encryption key that the caller supplies. Wiped when dropped, never printed.
#[derive(Debug)]
pub struct RawKey {
    key: Secret<KEY_LEN>,
    fingerprint: String,
}

impl RawKey {
    /// The provider id of raw keys.
    pub const ID: &'static str = registry::RAW;

    /// Copies a key from `bytes`; `None` unless there are exactly 32. The caller wipes `bytes`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::copy_from(bytes).map(Self::new)
    }

    /// Reads a key from a file of 32 raw bytes, 64 hex digits, or the standard base64 of 32 bytes. Text may end with a line
    /// break; raw bytes may not.
    ///
    /// # Errors
    /// Class `NotFound` if the file does not exist; `Denied` if access is denied; `Configuration` if reading fails for
    /// another reason or the file holds anything else.
    pub fn from_file(path: &Path) -> Result<Self, ProviderError> {
        let bytes = File::open(path)
            .and_then(|file| read_wiped(file, HEX_LEN + 2))
            .map_err(|error| super::file_failed(ID, "read the raw key", path, error))?;
        decode(&bytes).map(Self::new).ok_or_else(|| {
            let message = format!(
                "{} does not hold a raw key: 32 bytes, 64 hex digits or {BASE64_LEN} characters of base64",
                path.display()
            );
            ProviderError::new(ProviderErrorClass::Configuration, ID, message)
        })
    }

    /// The key id in slots: 32 hex digits that reveal nothing about the key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn new(key: Secret<KEY_LEN>) -> Self {
        let mac = hmac_sha512(key.expose())
            .chain_update(b"sealstone/raw-key-id@v1")
            .finalize()
            .into_bytes();
        let fingerprint = hex::encode(&mac[..16]);
        Self { key, fingerprint }
    }

    fn mismatch(&self, slot: &WrappedKey) -> Option<String> {
        (slot.key_id != self.fingerprint).then(|| {
            format!(
                "wrong key: this raw key is {}, but the object was sealed with {}",
                self.fingerprint, slot.key_id
            )
        })
    }
}

impl KeyProvider for RawKey {
    fn id(&self) -> &str {
        ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match self.mismatch(slot) {
            None => KeyMatch::Yes,
            reason => KeyMatch::No(reason),
        }
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move { wrap::wrap_data_key(&self.key, ID, &self.fingerprint, context, data_key) })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            let failed = self.mismatch(wrapped);
            let failed = failed.as_deref().unwrap_or(wrap::ALTERED_OR_OTHER_CONTEXT);
            wrap::unwrap_data_key(&self.key, wrapped, context, failed)
        })
    }
}

/// 32 raw bytes are used as they are, even if the last one is a line feed.
fn decode(bytes: &[u8]) -> Option<Secret<KEY_LEN>> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() == BASE64_LEN {
        return decode_base64(text);
    }
    let mut decoded = bytes.len() == KEY_LEN;
    let key = Secret::init_with(|key| match text.len() {
        _ if decoded => key.copy_from_slice(bytes),
        HEX_LEN => decoded = hex::decode_into(text, key),
        _ => {}
    });
    decoded.then_some(key)
}

/// 44 characters are the base64 of 31 to 33 bytes.
fn decode_base64(text: &[u8]) -> Option<Secret<KEY_LEN>> {
    let mut decoded = false;
    let key = Secret::init_with(|key| decoded = Base64::decode(text, key).is_ok_and(|key| key.len() == KEY_LEN));
    decoded.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Conformance;

    fn from_file(content: impl AsRef<[u8]>) -> Result<RawKey, ProviderError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        RawKey::from_file(file.path())
    }

    #[test]
    fn a_raw_key_conforms() {
        let [key, other, twin] = [7, 8, 7].map(|byte| RawKey::from_slice(&[byte; 32]).unwrap());
        Conformance::new(&key, &other).with_twin(&twin).assert();
    }

    #[test]
    fn a_file_holds_the_same_key_in_each_form() {
        let bytes: Vec<u8> = (0xE0..=0xFF).collect();
        let expected = RawKey::from_slice(&bytes).unwrap();
        let hex = hex::encode(&bytes);
        let base64 = "4OHi4+Tl5ufo6err7O3u7/Dx8vP09fb3+Pn6+/z9/v8=";
        let forms = [&hex, &hex.to_uppercase(), base64];
        let texts = forms
            .iter()
            .flat_map(|form| ["", "\n", "\r\n"].map(|end| format!("{form}{end}").into_bytes()));
        for content in texts.chain([bytes]) {
            assert_eq!(from_file(&content).unwrap().key.expose(), expected.key.expose());
        }
    }

    #[test]
    fn raw_bytes_may_look_like_text_with_a_line_end() {
        let content = [&[b'a'; 31][..], b"\n"].concat();
        assert_eq!(from_file(&content).unwrap().key.expose(), content.as_slice());
    }

    #[test]
    fn any_other_file_is_refused_saying_what_is_accepted() {
        let hex = "ab".repeat(32);
        for content in [
            "",
            "a passphrase\n",
            &"x".repeat(31),
            &"x".repeat(33),
            &format!("{}\n", "x".repeat(32)),
            &hex[1..],
            &format!("{hex}\n\n"),
            &format!("{hex} and more"),
            &"zz".repeat(32),
            &"=".repeat(44),
            // Base64 of 33 bytes, and of 32 bytes with unused bits set.
            &"A".repeat(44),
            &format!("{}B=", "A".repeat(42)),
        ] {
            let error = from_file(content).unwrap_err();
            assert_eq!(error.class, ProviderErrorClass::Configuration, "{content}");
            assert!(error.message.contains("64 hex digits"), "{error}");
            assert!(
                content.is_empty() || !error.message.contains(content.trim_end()),
                "{error}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = RawKey::from_file(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::NotFound);
        assert!(error.message.contains("no/such/file"), "{error}");
    }

    #[test]
    fn a_wrong_key_is_recognized_by_its_fingerprint() {
        let (right, wrong) = (
            RawKey::from_slice(&[1; 32]).unwrap(),
            RawKey::from_slice(&[2; 32]).unwrap(),
        );
        let context = EncryptionContext::new();
        let wrapped = pollster::block_on(right.generate_key(&context)).unwrap().wrapped;
        let KeyMatch::No(Some(reason)) = wrong.matches(&wrapped) else {
            panic!("another key does not match");
        };
        assert!(reason.contains(right.fingerprint()) && reason.contains(wrong.fingerprint()));
        let error = pollster::block_on(wrong.unwrap_key(&wrapped, &context)).unwrap_err();
        assert_eq!(
            (error.class, error.message),
            (ProviderErrorClass::BadCiphertext, reason)
        );
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let key = RawKey::from_slice(&[0xAB; 32]).unwrap();
        let expected = format!("RawKey {{ key: Secret<32>(..), fingerprint: {:?} }}", key.fingerprint());
        assert_eq!(format!("{key:?}"), expected);
        assert!(RawKey::from_slice(&[0; 31]).is_none());
    }
}
