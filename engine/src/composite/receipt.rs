//! Receipts: a sealer's report of a sealed component, from which a coordinator makes the manifest.
//!
//! ```text
//! receipt = salt[24] | plaintext length[8] | len[2] label | mac[32]
//! mac     = the first 32 bytes of HMAC-SHA-512(receipt key, everything before)
//! ```
//!
//! Receipts pass through untrusted hands. A store that could change a length, or exchange two parts' receipts, would
//! move authenticated bytes to other offsets; the MAC prevents both.

use std::fmt;

use hmac::Mac;
use subtle::ConstantTimeEq;

use crate::data_key::hmac_sha512;
use crate::error::{CompositeError, Error, Result};
use crate::layout::SALT_LEN;
use crate::secret::Secret;
use crate::wire::MAX_FIELD_LEN;

const MAC_LEN: usize = 32;
/// Bytes of a receipt without its label.
const FIXED_LEN: usize = SALT_LEN + 8 + 2 + MAC_LEN;

/// Identifies one sealing of a component, with its plaintext length. It contains no secret. It is verified by
/// [`CompositeObject::complete`](crate::composite::CompositeObject::complete).
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    salt: [u8; SALT_LEN],
    plaintext_len: u64,
    label: Vec<u8>,
    mac: [u8; MAC_LEN],
}

impl Receipt {
    pub(super) fn new(key: &Secret<32>, salt: [u8; SALT_LEN], plaintext_len: u64, label: Vec<u8>) -> Self {
        let mut receipt = Self {
            salt,
            plaintext_len,
            label,
            mac: [0; MAC_LEN],
        };
        receipt.mac = receipt.mac(key);
        receipt
    }

    /// Parses a receipt: `bytes` is all of it. Its MAC is not verified yet.
    ///
    /// # Errors
    /// [`CompositeError::InvalidReceipt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let invalid = |reason| Error::from(CompositeError::InvalidReceipt { reason });
        let short = || invalid("it is too short");
        let (salt, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (plaintext_len, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (label_len, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (label, mac) = rest.split_last_chunk().ok_or_else(short)?;
        if usize::from(u16::from_be_bytes(*label_len)) != label.len() {
            return Err(invalid("its label's length is not that of its bytes"));
        }
        Ok(Self {
            salt: *salt,
            plaintext_len: u64::from_be_bytes(*plaintext_len),
            label: label.to_vec(),
            mac: *mac,
        })
    }

    /// The receipt as bytes, to be sent or stored: 66 bytes and the label.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.before_mac();
        bytes.extend_from_slice(&self.mac);
        bytes
    }

    /// The label that the component was sealed under.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The component's plaintext length in bytes. A receipt that was parsed may lie until it is verified.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The salt, which no other sealing has.
    #[must_use]
    pub const fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// Whether this is a receipt of the object with this receipt key.
    pub(super) fn verifies(&self, key: &Secret<32>) -> bool {
        self.mac(key).ct_eq(&self.mac).into()
    }

    fn before_mac(&self) -> Vec<u8> {
        let label_len = u16::try_from(self.label.len()).expect("labels are checked when a component begins");
        let mut bytes = Vec::with_capacity(FIXED_LEN + self.label.len());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.plaintext_len.to_be_bytes());
        bytes.extend_from_slice(&label_len.to_be_bytes());
        bytes.extend_from_slice(&self.label);
        bytes
    }

    fn mac(&self, key: &Secret<32>) -> [u8; MAC_LEN] {
        let mut mac = hmac_sha512(key.expose());
        mac.update(&self.before_mac());
        let full = mac.finalize().into_bytes();
        *full.first_chunk().expect("SHA-512 has 64 bytes")
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("label", &String::from_utf8_lossy(&self.label))
            .field("plaintext_len", &self.plaintext_len)
            .finish_non_exhaustive()
    }
}

/// # Errors
/// [`CompositeError::InvalidReceipt`] for a label over 65,535 bytes.
pub(super) fn check_label(label: &[u8]) -> Result<()> {
    if label.len() > MAX_FIELD_LEN {
        let reason = "its label is longer than 65,535 bytes";
        return Err(CompositeError::InvalidReceipt { reason }.into());
    }
    Ok(())
}
