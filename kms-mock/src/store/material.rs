//! Key materials: the versions of a key that rotation adds to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::persist;
use crate::error::KmsError;

/// 32 secret bytes and their id. Rotation keeps old materials for decryption.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Material {
    pub(crate) id: MaterialId,
    #[serde(with = "persist::secret")]
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// When and how it replaced another material. `None` for a key's first material.
    pub(crate) rotation: Option<MaterialRotation>,
}

/// How a material became the current one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaterialRotation {
    #[serde(rename = "type")]
    pub(crate) kind: RotationType,
    #[serde(with = "persist::millis")]
    pub(crate) date: Duration,
}

/// What caused a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RotationType {
    Automatic,
    OnDemand,
}

/// The `KeyMaterialId`: 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaterialId(pub(crate) [u8; 32]);

impl Material {
    /// A random material.
    ///
    /// # Errors
    /// `KMSInternalException` if the random generator fails.
    pub(crate) fn random(key: Uuid, rotation: Option<MaterialRotation>) -> Result<Self, KmsError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| KmsError::internal("The random generator failed."))?;
        Ok(Self::new(key, secret, rotation))
    }

    /// The same bytes in the same key have the same id, so that a seeded key opens what it wrapped before a restart.
    pub(crate) fn new(key: Uuid, secret: Zeroizing<[u8; 32]>, rotation: Option<MaterialRotation>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sealstone kms-mock key material");
        hash.update(key.as_bytes());
        hash.update(*secret);
        Self {
            id: MaterialId(hash.finalize().into()),
            secret,
            rotation,
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("id", &self.id)
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}

impl MaterialId {
    fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (digits, byte) in text.chunks_mut(2).zip(self.0) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MaterialId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaterialId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a key material id must be 64 hex digits"))
    }
}
