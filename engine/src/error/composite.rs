//! What goes wrong with composite objects, their components and their receipts.

use std::fmt;

/// Why a composite object could not be read, sealed or completed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompositeError {
    /// A composite object was to be read as a stream. Its manifest is at its end and must be read first.
    NotSeekable,
    /// The manifest of a composite object has not been read. Call
    /// [`Unlocked::load_manifest`](crate::Unlocked::load_manifest), or
    /// [`Unlocked::open_manifest`](crate::Unlocked::open_manifest) with bytes that you fetched.
    ManifestNotLoaded,
    /// If other bytes follow a composite object, its end cannot be found.
    NoEndSearch,
    /// The object is not composite.
    NotComposite,
    /// The manifest length, the payload's last 4 bytes, is impossible in this payload.
    ManifestLength {
        /// The length found, in bytes.
        len: u64,
        /// The greatest length that is possible here, in bytes.
        limit: u64,
    },
    /// The manifest does not verify under the object's data key.
    ManifestAltered,
    /// The manifest verifies, but its content is invalid. Its author is at fault.
    InvalidManifest {
        /// What is wrong.
        reason: &'static str,
        /// The number of the entry concerned, from 0, if it is one entry.
        component: Option<usize>,
    },
    /// The payload's length is not the one that the manifest requires.
    PayloadLength {
        /// The length that the manifest requires, in bytes.
        expected: u64,
        /// The payload's length, in bytes.
        found: u64,
    },
    /// A component's first 56 bytes are not those of the sealing that the manifest names.
    ComponentExchanged {
        /// The component's number, from 0.
        component: usize,
        /// Where it begins in the object, in bytes.
        offset: u64,
    },
    /// A chunk's tag does not verify: the chunk was altered, moved or cut.
    ChunkAltered {
        /// The component's number, from 0.
        component: usize,
        /// The chunk's index in the component, from 0.
        chunk: u64,
        /// Where its sealed bytes begin in the object, in bytes.
        offset: u64,
    },
    /// The padding is not zero.
    PaddingAltered {
        /// Where it begins in the object, in bytes.
        offset: u64,
    },
    /// The object was completed, and nothing more is sealed for it.
    Completed,
    /// The header's commitment is not the one that the sealer received over its trusted channel.
    HeaderExchanged,
    /// The bytes of a receipt do not parse.
    InvalidReceipt {
        /// What is wrong.
        reason: &'static str,
    },
    /// A receipt's MAC does not verify: the receipt was altered or belongs to another object.
    ReceiptAltered {
        /// The component that it was given for, from 0.
        component: usize,
    },
    /// A receipt carries another part's label.
    ReceiptOfAnotherPart {
        /// The component that it was given for, from 0.
        component: usize,
    },
    /// One sealing was listed twice.
    Duplicate {
        /// The component that repeats an earlier one, from 0.
        component: usize,
    },
    /// An object has 1 to 65,536 components.
    ComponentCount {
        /// The number given.
        count: usize,
    },
    /// In a padded object, every component but the last has at least 5 MiB of plaintext.
    ComponentTooShort {
        /// The component's number, from 0.
        component: usize,
        /// Its plaintext's length, in bytes.
        len: u64,
    },
    /// A note has at most 256 bytes.
    NoteTooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// The components and manifest of a padded object are longer than a padded payload of its plaintext.
    NoRoomForManifest {
        /// Bytes that components and manifest take.
        need: u64,
        /// Bytes that a padded payload of this plaintext has.
        limit: u64,
    },
    /// No padded object has this length.
    NotPaddedLength {
        /// The length, in bytes.
        len: u64,
    },
}

impl CompositeError {
    /// Whether the caller's request is at fault, and not the stored bytes.
    pub(super) const fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::NotSeekable
                | Self::ManifestNotLoaded
                | Self::NoEndSearch
                | Self::NotComposite
                | Self::Completed
                | Self::Duplicate { .. }
                | Self::ComponentCount { .. }
                | Self::ComponentTooShort { .. }
                | Self::NoteTooLong { .. }
                | Self::NoRoomForManifest { .. }
        )
    }
}

impl fmt::Display for CompositeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSeekable => f.write_str(
                "a composite object cannot be read from a pipe or stream, because its manifest is at its end: \
                 read it from a file, or in ranges",
            ),
            Self::ManifestNotLoaded => f.write_str(
                "the object is composite: its manifest has to be read before its length is known and before ranges are read",
            ),
            Self::NoEndSearch => f.write_str(
                "the end of a composite object cannot be searched for: nothing may follow it, or its length must be given",
            ),
            Self::NotComposite => f.write_str("not a composite object"),
            Self::ManifestLength { len, limit } => write!(
                f,
                "the object is damaged or truncated: its last 4 bytes claim a manifest of {len} bytes, and at most {limit} \
                 are possible"
            ),
            Self::ManifestAltered => f.write_str(
                "the manifest does not verify: it was altered, the object was truncated, or bytes were appended to it",
            ),
            Self::InvalidManifest { reason, component } => {
                write!(f, "the manifest is invalid: {reason}")?;
                component.map_or(Ok(()), |component| write!(f, " (component {component})"))
            }
            Self::PayloadLength { expected, found } => write!(
                f,
                "the payload has {found} bytes, and its manifest describes {expected}: components were removed or added"
            ),
            Self::ComponentExchanged { component, offset } => write!(
                f,
                "component {component} at offset {offset} is not the one that the manifest names: it was altered, moved or \
                 replaced"
            ),
            Self::ChunkAltered {
                component,
                chunk,
                offset,
            } => write!(
                f,
                "chunk {chunk} of component {component}, at offset {offset}, does not verify: it was altered, moved or cut"
            ),
            Self::PaddingAltered { offset } => write!(f, "the padding at offset {offset} is not zero: it was altered"),
            Self::Completed => f.write_str("the object is complete: nothing more is sealed for it; begin another"),
            Self::HeaderExchanged => f.write_str(
                "the header's commitment is not the expected one: the header was exchanged, and nothing was sealed under it",
            ),
            Self::InvalidReceipt { reason } => write!(f, "the receipt is invalid: {reason}"),
            Self::ReceiptAltered { component } => write!(
                f,
                "the receipt for component {component} does not verify: it was altered, or belongs to another object"
            ),
            Self::ReceiptOfAnotherPart { component } => {
                write!(f, "the receipt for component {component} carries another part's label")
            }
            Self::Duplicate { component } => write!(f, "component {component} repeats an earlier one"),
            Self::ComponentCount { count } => {
                write!(f, "an object has 1 to 65536 components, not {count}")
            }
            Self::ComponentTooShort { component, len } => write!(
                f,
                "component {component} has {len} bytes of plaintext; in a padded object all but the last have at least 5 MiB"
            ),
            Self::NoteTooLong { len } => write!(f, "the note has {len} bytes, and at most 256 fit"),
            Self::NoRoomForManifest { need, limit } => write!(
                f,
                "components and manifest take {need} bytes, and a padded object of this plaintext has {limit}: use fewer \
                 components"
            ),
            Self::NotPaddedLength { len } => write!(f, "no padded object has a length of {len} bytes"),
        }
    }
}
