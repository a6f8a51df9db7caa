//! Keys that exist from the start.
//!
//! ```json
//! {"keys": [
//!     {"alias": "alias/demo"},
//!     {"alias": "alias/fixed",
//!      "region": "eu-west-1",
//!      "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab",
//!      "description": "the same key after every start, so that it opens what was wrapped before",
//!      "material": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
//!      "rotation": true}
//! ]}
//! ```
//!
//! `region` defaults to the mock's. `material` is 32 bytes, in base64 or as 64 hex digits. An alias that the state file
//! already contains is left alone.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::persist::secret;
use super::{KeyId, Region};

/// A key and its alias.
pub(crate) struct Seed {
    /// Begins with `alias/`.
    pub(crate) alias: String,
    /// The mock's region if `None`.
    pub(crate) region: Option<Region>,
    /// Random, if none.
    pub(crate) key_id: Option<KeyId>,
    pub(crate) description: String,
    /// Random, if none.
    pub(crate) material: Option<Zeroizing<[u8; 32]>>,
    /// Whether it rotates every year.
    pub(crate) rotation: bool,
}

/// Why a seed file is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeedError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    alias: String,
    region: Option<Region>,
    key_id: Option<String>,
    #[serde(default)]
    description: String,
    material: Option<String>,
    #[serde(default)]
    rotation: bool,
}

impl Seed {
    /// A random key with this alias.
    pub(crate) fn of_alias(alias: &str) -> Self {
        Self {
            alias: alias.to_owned(),
            region: None,
            key_id: None,
            description: String::new(),
            material: None,
            rotation: false,
        }
    }

    /// Reads a seed file.
    ///
    /// # Errors
    /// [`SeedError`], which names the entry.
    pub(crate) fn parse_file(text: &[u8]) -> Result<Vec<Self>, SeedError> {
        let place = |error: serde_json::Error| {
            SeedError(format!(
                "it must be {{\"keys\": [...]}}: line {} column {}",
                error.line(),
                error.column()
            ))
        };
        let file: SeedFile = serde_json::from_slice(text).map_err(place)?;
        let entries = file.keys.into_iter().enumerate();
        entries
            .map(|(index, value)| {
                let alias = value
                    .get("alias")
                    .and_then(|alias| alias.as_str())
                    .unwrap_or("no alias");
                let name = format!("key {} ({alias})", index + 1);
                Self::of_entry(value).map_err(|reason| SeedError(format!("{name}: {reason}")))
            })
            .collect()
    }

    fn of_entry(value: serde_json::Value) -> Result<Self, String> {
        // serde's message may contain a value, and that may be the material.
        let entry: Entry = serde_json::from_value(value).map_err(|_| {
            "it must have an alias, may have region, keyId, description, material and rotation, and nothing else"
                .to_owned()
        })?;
        let key_id = entry
            .key_id
            .map(|id| id.parse().map_err(|_| format!("{id} is no key id")));
        let material = entry.material.map(Zeroizing::new).map(|text| {
            secret::parse(&text)
                .or_else(|| parse_hex(&text))
                .ok_or("its material must be 32 bytes, in base64 or as 64 hex digits")
        });
        Ok(Self {
            alias: entry.alias,
            region: entry.region,
            key_id: key_id.transpose()?,
            description: entry.description,
            material: material.transpose()?,
            rotation: entry.rotation,
        })
    }
}

fn parse_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(secret)
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("alias", &self.alias)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SeedError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_in_full() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        for material in ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", hex] {
            let text = format!(
                r#"{{"keys": [{{"alias": "alias/demo"}}, {{"alias": "alias/fixed", "keyId":
                    "1234abcd-12ab-34cd-56ef-1234567890ab", "description": "d", "material": "{material}",
                    "rotation": true}}]}}"#
            );
            let seeds = Seed::parse_file(text.as_bytes()).unwrap();
            assert_eq!(seeds[0].alias, "alias/demo");
            assert!(seeds[0].material.is_none() && seeds[0].key_id.is_none() && !seeds[0].rotation);
            assert_eq!(
                seeds[1].key_id.unwrap().to_string(),
                "1234abcd-12ab-34cd-56ef-1234567890ab"
            );
            assert_eq!(seeds[1].material.as_ref().unwrap()[..3], [0, 1, 2]);
            assert!(seeds[1].rotation && seeds[1].description == "d");
        }
    }

    #[test]
    fn an_error_names_the_entry_and_shows_no_material() {
        for (entry, needle) in [
            (
                r#"{"alias": "alias/b", "material": "c2VjcmV0"}"#,
                "key 2 (alias/b): its material",
            ),
            (
                r#"{"alias": "alias/b", "keyId": "x"}"#,
                "key 2 (alias/b): x is no key id",
            ),
            (r#"{"keyId": "x"}"#, "key 2 (no alias): it must have"),
            (
                r#"{"alias": "alias/b", "materiel": "c2VjcmV0"}"#,
                "key 2 (alias/b): it must have",
            ),
            (
                r#"{"alias": "alias/b", "rotation": "c2VjcmV0"}"#,
                "key 2 (alias/b): it must have",
            ),
            (r#"7"#, "key 2 (no alias): it must have"),
            (r#"{"#, "it must be {\"keys\""),
        ] {
            let text = format!(r#"{{"keys": [{{"alias": "alias/a"}}, {entry}]}}"#);
            let error = Seed::parse_file(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(needle), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
