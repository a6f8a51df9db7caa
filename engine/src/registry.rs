//! The key providers that the format specifies: their ids, and how many of their slots a header may have.
//!
//! A header is held to this whether or not the provider is compiled in.

pub(crate) const RAW: &str = "raw";
#[cfg(feature = "key-ring")]
pub(crate) const LOCAL: &str = "local";
pub(crate) const PASSPHRASE: &str = "passphrase";
pub(crate) const INTERMEDIATE: &str = "intermediate";

/// How many slots of one provider a header may have, where that is fewer than of all providers together.
pub(crate) struct SlotLimit {
    pub(crate) count: usize,
    /// The limited slots, in the plural.
    pub(crate) kind: &'static str,
    /// What is wrong with a header over the limit.
    pub(crate) exceeded: &'static str,
}

/// The limit on slots of this provider, if it has one of its own.
pub(crate) fn slot_limit(provider: &str) -> Option<&'static SlotLimit> {
    /// Each passphrase slot costs a reader a run of Argon2id.
    const PASSPHRASES: SlotLimit = SlotLimit {
        count: 1,
        kind: "passphrase slots",
        exceeded: "more than one passphrase slot",
    };
    (provider == PASSPHRASE).then_some(&PASSPHRASES)
}
