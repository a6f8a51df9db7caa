//! The key providers that the format specifies: their ids, and how many of their slots a header may have.
//!
//! The limits apply to a header whether or not the provider is compiled in.

pub(crate) const RAW: &str = "raw";
#[cfg(feature = "key-ring")]
pub(crate) const LOCAL: &str = "local";
pub(crate) const PASSPHRASE: &str = "passphrase";
pub(crate) const INTERMEDIATE: &str = "intermediate";

/// A limit on the slots of one provider, below the limit on all slots.
pub(crate) struct SlotLimit {
    pub(crate) count: usize,
    /// The limited slots, in the plural.
    pub(crate) kind: &'static str,
    /// What is wrong with a header over the limit.
    pub(crate) exceeded: &'static str,
}

/// The limit on slots of this provider, if it has one.
pub(crate) fn slot_limit(provider: &str) -> Option<&'static SlotLimit> {
    /// Each passphrase slot costs a reader a run of Argon2id.
    const PASSPHRASES: SlotLimit = SlotLimit {
        count: 1,
        kind: "passphrase slots",
        exceeded: "more than one passphrase slot",
    };
    (provider == PASSPHRASE).then_some(&PASSPHRASES)
}
