//! The names of keys: id and region.
//!
//! ```text
//! 1234abcd-12ab-34cd-56ef-1234567890ab    a key of one region
//! mrk-1234abcd12ab34cd56ef1234567890ab    related keys in several regions
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

const MULTI_REGION: &str = "mrk-";
const MAX_REGION_LEN: usize = 64;

/// A region, such as `us-east-1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Region(Arc<str>);

impl Region {
    /// Accepts any word of letters, digits and hyphens.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_one = (1..=MAX_REGION_LEN).contains(&text.len()) && text.bytes().all(word);
        is_one.then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last part of a key's ARN. Ordered as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId {
    pub(crate) is_multi_region: bool,
    pub(crate) uuid: Uuid,
}

impl KeyId {
    /// The first id in this order.
    pub(crate) const FIRST: Self = Self {
        is_multi_region: false,
        uuid: Uuid::nil(),
    };

    pub(crate) fn random(is_multi_region: bool) -> Self {
        let uuid = Uuid::new_v4();
        Self { is_multi_region, uuid }
    }
}

/// The text is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAKeyId;

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let (digits, len) = match text.strip_prefix(MULTI_REGION) {
            Some(digits) => (digits, 32),
            None => (text, 36),
        };
        // Only these forms: `Uuid` parses others too.
        let uuid = Some(digits).filter(|digits| digits.len() == len);
        Ok(Self {
            is_multi_region: len == 32,
            uuid: uuid.and_then(|digits| Uuid::try_parse(digits).ok()).ok_or(NotAKeyId)?,
        })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_multi_region {
            write!(f, "{MULTI_REGION}{}", self.uuid.simple())
        } else {
            write!(f, "{}", self.uuid.hyphenated())
        }
    }
}

/// A key's region and id. Related keys have one id in several regions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) region: Region,
    pub(crate) id: KeyId,
}

impl Place {
    pub(crate) fn arn(&self, account: &str) -> String {
        format!("arn:aws:kms:{}:{account}:key/{}", self.region, self.id)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a region"))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|NotAKeyId| de::Error::custom("not a key id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_their_own_forms_only() {
        for id in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
        ] {
            assert_eq!(id.parse::<KeyId>().unwrap().to_string(), id);
        }
        for other in [
            "",
            "1234abcd12ab34cd56ef1234567890ab",
            "{1234abcd-12ab-34cd-56ef-1234567890ab}",
            "mrk-1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234",
            "mrk-",
            "mrk-é234abcd12ab34cd56ef1234567890a",
        ] {
            assert!(other.parse::<KeyId>().is_err(), "{other}");
        }
    }

    #[test]
    fn ids_are_ordered_as_their_texts_are() {
        let mut ids: Vec<KeyId> = (0..100).map(|number| KeyId::random(number % 2 == 0)).collect();
        ids.sort();
        assert!(ids.is_sorted_by_key(ToString::to_string));
        assert!(KeyId::FIRST <= ids[0]);
    }
}
