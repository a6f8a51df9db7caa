//! The AEAD that seals an object's chunks: its name, its id in a header, its sizes.

/// Bytes of an AEAD key.
pub(crate) const KEY_LEN: usize = 32;
/// Bytes of an AEAD nonce.
pub(crate) const NONCE_LEN: usize = 12;

/// The AEAD that chunks are sealed with, as the header stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Suite {
    /// AES-256-GCM, the default.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305, for processors without AES instructions.
    ChaCha20Poly1305,
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The byte that identifies it in a header.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// The suite with this id.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// The AEAD's name in the IANA registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
            Self::ChaCha20Poly1305 => "AEAD_CHACHA20_POLY1305",
        }
    }
}
