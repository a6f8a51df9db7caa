//! The immutable part of a header, and the labels that bind keys to it.
//!
//! ```text
//! core = suite[1] | log2 of the chunk size[1] | flags[1]      flags: bit 0 composite, bit 1 padded (only with bit 0)
//! ```

use crate::layout::ChunkSize;
use crate::suite::Suite;

/// What the payload consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PayloadKind {
    /// One run of chunks.
    #[default]
    Plain,
    /// Components that were sealed apart, and a manifest that says which they are.
    Composite,
    /// As [`PayloadKind::Composite`], with padding that makes the payload's length a function of the plaintext's:
    /// [`padded_len`](crate::composite::padded_len).
    PaddedComposite,
}

impl PayloadKind {
    const ALL: [Self; 3] = [Self::Plain, Self::Composite, Self::PaddedComposite];

    /// The flags that stand for it in a header.
    #[must_use]
    pub const fn flags(self) -> u8 {
        match self {
            Self::Plain => 0b00,
            Self::Composite => 0b01,
            Self::PaddedComposite => 0b11,
        }
    }

    /// The kind that `flags` stand for.
    #[must_use]
    pub fn from_flags(flags: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.flags() == flags)
    }

    /// Whether the payload has components and a manifest.
    #[must_use]
    pub const fn is_composite(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// The parameters that every key of an object is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Core {
    pub(crate) suite: Suite,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) kind: PayloadKind,
}

/// What a key is derived for. A key of one purpose does not open data of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The header's commitment, and the chunks of a plain payload.
    Object,
    Component,
    Manifest,
    Receipt,
}

impl Core {
    /// The bytes in the header.
    pub(crate) const fn to_bytes(self) -> [u8; 3] {
        [self.suite.id(), self.chunk_size.log2(), self.kind.flags()]
    }

    /// The `context` input of C2SP chunked encryption, or the HKDF info of a receipt key.
    pub(crate) fn context(self, purpose: Purpose) -> Vec<u8> {
        let label: &[u8] = match purpose {
            Purpose::Object => b"sealstone/object@v1",
            Purpose::Component => b"sealstone/component@v1",
            Purpose::Manifest => b"sealstone/manifest@v1",
            Purpose::Receipt => b"sealstone/receipt@v1",
        };
        [label, &self.to_bytes()].concat()
    }
}
