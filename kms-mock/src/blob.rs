//! The ciphertext blob: a secret wrapped under a key's material.
//!
//! ```text
//! version[1] | key id[16] | start of the material id[16] | nonce[24] | ciphertext of padding[79] and secret | tag[16]
//!
//! version      1, or 2 for a multi-region key
//! ciphertext   XAES-256-GCM (c2sp.org/XAES-256-GCM) under the material
//! AAD          label | version | key id | start of the material id | string key ARN | pairs[2] | (string, string)...
//! string       len[2] bytes; context pairs are sorted by key
//! ```
//!
//! XAES-256-GCM derives a key for each random nonce of 24 bytes: the number of blobs under one material needs no bound.
//!
//! The ARN of a multi-region key is bound without its region: each of the related keys opens the blob. The padding
//! makes a blob as long as the real service's, so that programs that store blobs are tested with realistic sizes: 152
//! bytes plus the secret, 184 for a data key of 32.
//!
//! This code is shared with nothing, least of all with the engine that is tested against this mock: a fault in common
//! code would cancel out.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::{Key, KeyId, Material, MaterialId};

/// The pairs that a blob is bound to.
pub(crate) type ContextPairs = BTreeMap<String, String>;

const VERSION: u8 = 1;
const MULTI_REGION_VERSION: u8 = 2;
const MATERIAL_PREFIX_LEN: usize = 16;
const HEADER_LEN: usize = 1 + 16 + MATERIAL_PREFIX_LEN;
const NONCE_LEN: usize = 24;
const PADDING_LEN: usize = 79;
const LABEL: &[u8] = b"sealstone kms-mock blob";

/// Wraps `secret` under `material` of `key`; `None` if the random generator fails.
pub(crate) fn wrap(key: &Key, material: &Material, context: &ContextPairs, secret: &[u8]) -> Option<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    header[0] = if key.place.id.is_multi_region {
        MULTI_REGION_VERSION
    } else {
        VERSION
    };
    header[1..17].copy_from_slice(key.place.id.uuid.as_bytes());
    header[17..].copy_from_slice(&material.id.0[..MATERIAL_PREFIX_LEN]);

    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).ok()?;

    let mut padded = Zeroizing::new(vec![0; PADDING_LEN + secret.len()]);
    padded[PADDING_LEN..].copy_from_slice(secret);
    let aad = Aad::from(associated_data(&header, key, context)?);
    let (cipher, gcm_nonce) = derive(&material.secret, &nonce)?;
    let tag = cipher.seal_in_place_separate_tag(gcm_nonce, aad, &mut padded).ok()?;
    Some([&header[..], &nonce, &padded, tag.as_ref()].concat())
}

/// The parts of a blob, not verified yet.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    header: &'a [u8; HEADER_LEN],
    nonce: &'a [u8; NONCE_LEN],
    /// With the tag at its end.
    sealed: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Splits `bytes`; `None` if they are too short or of another version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        matches!(header[0], VERSION | MULTI_REGION_VERSION).then_some(Self { header, nonce, sealed })
    }

    /// The key that it claims to be wrapped under.
    pub(crate) fn key_id(&self) -> KeyId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.header[1..17]);
        KeyId {
            is_multi_region: self.header[0] == MULTI_REGION_VERSION,
            uuid: Uuid::from_bytes(id),
        }
    }

    /// Whether it claims to be wrapped under the material with this id.
    pub(crate) fn is_under(&self, material: &MaterialId) -> bool {
        self.header[17..] == material.0[..MATERIAL_PREFIX_LEN]
    }

    /// Unwraps it; `None` if the key, the context or any byte differs.
    pub(crate) fn unwrap(&self, key: &Key, material: &Material, context: &ContextPairs) -> Option<Secret> {
        let mut padded = Zeroizing::new(self.sealed.to_vec());
        let aad = Aad::from(associated_data(self.header, key, context)?);
        let (cipher, gcm_nonce) = derive(&material.secret, self.nonce)?;
        let len = cipher.open_in_place(gcm_nonce, aad, &mut padded).ok()?.len();
        padded.truncate(len);
        (len >= PADDING_LEN).then_some(Secret { padded })
    }
}

/// The secret of a blob, wiped on drop.
pub(crate) struct Secret {
    padded: Zeroizing<Vec<u8>>,
}

impl Secret {
    pub(crate) fn expose(&self) -> &[u8] {
        &self.padded[PADDING_LEN..]
    }
}

/// The key and nonce of AES-256-GCM that XAES-256-GCM derives.
fn derive(key: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> Option<(LessSafeKey, Nonce)> {
    let (left, right) = nonce.split_at(12);
    let cmac_key = cmac::Key::new(cmac::AES_256, key).ok()?;
    let mut derived = Zeroizing::new([0; 32]);
    for (counter, half) in (1..).zip(derived.as_chunks_mut::<16>().0) {
        let tag = cmac::sign(&cmac_key, &[&[0, counter, b'X', 0], left].concat()).ok()?;
        half.copy_from_slice(tag.as_ref());
    }
    let cipher = UnboundKey::new(&AES_256_GCM, &*derived).ok()?;
    Some((LessSafeKey::new(cipher), Nonce::try_assume_unique_for_key(right).ok()?))
}

/// `None` if a string or the number of pairs has no encoding, which the limits on requests exclude.
fn associated_data(header: &[u8; HEADER_LEN], key: &Key, context: &ContextPairs) -> Option<Vec<u8>> {
    let arn = if key.place.id.is_multi_region {
        let local = key.arn.splitn(5, ':').nth(4).unwrap_or_default();
        &format!("arn:aws:kms::{local}")
    } else {
        &key.arn
    };
    let mut out = [LABEL, header].concat();
    put_string(&mut out, arn)?;
    out.extend_from_slice(&u16::try_from(context.len()).ok()?.to_be_bytes());
    for (key, value) in context {
        put_string(&mut out, key)?;
        put_string(&mut out, value)?;
    }
    Some(out)
}

/// With its length first, so that two different lists of strings never encode alike.
fn put_string(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{KeyManager, Place, Region};

    fn key(region: &str, id: KeyId) -> Key {
        let place = Place {
            region: Region::parse(region).unwrap(),
            id,
        };
        let material = Material::random(id.uuid, None).unwrap();
        Key::new(place, "000000000000", KeyManager::Customer, Duration::ZERO, material)
    }

    fn pairs(pairs: &[(&str, &str)]) -> ContextPairs {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_blob_opens_under_its_own_key_material_and_context_only() {
        let id = KeyId::random(false);
        let (own, other) = (key("us-east-1", id), key("us-east-1", KeyId::random(false)));
        let elsewhere = key("eu-west-1", id);
        let context = pairs(&[("a", "bc"), ("d", "")]);
        for len in [0, 1, 32, 4096] {
            let secret = vec![7; len];
            let blob = wrap(&own, own.current(), &context, &secret).unwrap();
            assert_eq!(blob.len(), 152 + len, "the length of the real service's");
            let blob = Blob::parse(&blob).unwrap();
            assert_eq!(blob.unwrap(&own, own.current(), &context).unwrap().expose(), secret);
            for context in [&[("ab", "c"), ("d", "")][..], &[("a", "bcd")], &[("a", "bc")], &[]] {
                assert!(
                    blob.unwrap(&own, own.current(), &pairs(context)).is_none(),
                    "{context:?}"
                );
            }
            assert!(blob.unwrap(&own, other.current(), &context).is_none());
            assert!(blob.unwrap(&other, own.current(), &context).is_none());
            assert!(blob.unwrap(&elsewhere, own.current(), &context).is_none());
        }
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_refused() {
        let key = key("us-east-1", KeyId::random(false));
        let blob = wrap(&key, key.current(), &pairs(&[]), b"secret").unwrap();
        let opens = |bytes: &[u8]| {
            let blob = Blob::parse(bytes);
            blob.is_some_and(|blob| blob.unwrap(&key, key.current(), &pairs(&[])).is_some())
        };
        assert!(opens(&blob));
        for bit in 0..blob.len() * 8 {
            let mut altered = blob.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!opens(&altered), "bit {bit}");
        }
        for len in 0..blob.len() {
            assert!(!opens(&blob[..len]), "{len} bytes");
        }
    }

    #[test]
    fn a_multi_region_blob_opens_in_each_region_and_two_blobs_differ() {
        let id = KeyId::random(true);
        let (primary, replica) = (key("us-east-1", id), key("eu-west-1", id));
        let [one, two] = [(); 2].map(|()| wrap(&primary, primary.current(), &pairs(&[]), b"secret").unwrap());
        let opened = Blob::parse(&one)
            .unwrap()
            .unwrap(&replica, primary.current(), &pairs(&[]));
        assert_eq!(opened.unwrap().expose(), b"secret");
        assert_ne!(one[HEADER_LEN..], two[HEADER_LEN..]);
    }

    /// The two vectors of the specification.
    #[test]
    fn derived_keys_are_those_of_xaes_256_gcm() {
        for (key, aad, sealed) in [
            (1, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let (cipher, nonce) = derive(&[key; 32], b"ABCDEFGHIJKLMNOPQRSTUVWX").unwrap();
            let mut text = b"XAES-256-GCM".to_vec();
            cipher
                .seal_in_place_append_tag(nonce, Aad::from(aad), &mut text)
                .unwrap();
            let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, sealed);
        }
    }

    #[test]
    fn a_context_without_an_encoding_wraps_nothing() {
        let key = key("us-east-1", KeyId::random(false));
        let long = "x".repeat(1 << 16);
        assert!(wrap(&key, key.current(), &pairs(&[("a", &long)]), b"secret").is_none());
    }
}
