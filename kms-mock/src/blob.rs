//! The ciphertext blob: a secret wrapped under a key's material.
//!
//! ```text
//! version[1] | key id[16] | material id, its start[16] | XAES-256-GCM( padding[79] | secret )
//!
//! version   1, or 2 for a multi-region key
//! AAD       label | all before the wrap | len[2] key ARN | canonical context
//! ```
//!
//! The ARN of a multi-region key is bound without its region: each of the related keys opens it. The padding makes a
//! blob as long as the real service's, so that what stores blobs is tested with honest sizes: 152 bytes and the secret,
//! 184 for a data key of 32.

use sealstone::{EncryptionContext, hazmat};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::{Key, KeyId, Material, MaterialId};

const VERSION: u8 = 1;
const MULTI_REGION_VERSION: u8 = 2;
const MATERIAL_PREFIX_LEN: usize = 16;
const HEADER_LEN: usize = 1 + 16 + MATERIAL_PREFIX_LEN;
const PADDING_LEN: usize = 79;
const LABEL: &[u8] = b"sealstone kms-mock blob";

/// Wraps `secret` under `material` of `key`; `None` if the random generator fails.
pub(crate) fn wrap(key: &Key, material: &Material, context: &EncryptionContext, secret: &[u8]) -> Option<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    header[0] = if key.place.id.is_multi_region {
        MULTI_REGION_VERSION
    } else {
        VERSION
    };
    header[1..17].copy_from_slice(key.place.id.uuid.as_bytes());
    header[17..].copy_from_slice(&material.id.0[..MATERIAL_PREFIX_LEN]);

    let mut padded = Zeroizing::new(vec![0; PADDING_LEN + secret.len()]);
    padded[PADDING_LEN..].copy_from_slice(secret);
    let wrapped = hazmat::wrap_secret(&material.secret, &aad(&header, key, context)?, &padded).ok()?;
    Some([&header[..], &wrapped].concat())
}

/// What a blob says of itself, not verified yet.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    header: &'a [u8; HEADER_LEN],
    wrapped: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Reads the header; `None` if there is none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, wrapped) = bytes.split_first_chunk()?;
        matches!(header[0], VERSION | MULTI_REGION_VERSION).then_some(Self { header, wrapped })
    }

    /// The key that it says it is wrapped under.
    pub(crate) fn key_id(&self) -> KeyId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.header[1..17]);
        KeyId {
            is_multi_region: self.header[0] == MULTI_REGION_VERSION,
            uuid: Uuid::from_bytes(id),
        }
    }

    /// Whether it says that it is wrapped under the material of this id.
    pub(crate) fn is_under(&self, material: &MaterialId) -> bool {
        self.header[17..] == material.0[..MATERIAL_PREFIX_LEN]
    }

    /// Unwraps it; `None` if the key, the context or a byte of it differ.
    pub(crate) fn unwrap(&self, key: &Key, material: &Material, context: &EncryptionContext) -> Option<Secret> {
        let padded = hazmat::unwrap_secret(&material.secret, &aad(self.header, key, context)?, self.wrapped)?;
        (padded.len() >= PADDING_LEN).then_some(Secret { padded })
    }
}

/// What a blob held: wiped when dropped.
pub(crate) struct Secret {
    padded: Zeroizing<Vec<u8>>,
}

impl Secret {
    pub(crate) fn expose(&self) -> &[u8] {
        &self.padded[PADDING_LEN..]
    }
}

/// `None` for a context that has no encoding, which no request gets as far as here with.
fn aad(header: &[u8; HEADER_LEN], key: &Key, context: &EncryptionContext) -> Option<Vec<u8>> {
    let arn = if key.place.id.is_multi_region {
        let local = key.arn.splitn(5, ':').nth(4).unwrap_or_default();
        &format!("arn:aws:kms::{local}")
    } else {
        &key.arn
    };
    let arn_len = u16::try_from(arn.len()).unwrap_or(u16::MAX);
    let context = context.canonical_bytes().ok()?;
    Some([LABEL, header, &arn_len.to_be_bytes(), arn.as_bytes(), &context].concat())
}
