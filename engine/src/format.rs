//! What an object consists of: its header, its payload's layout, and the limits of both. `FORMAT.md` is the specification.
//!
//! ```text
//! object = header | payload
//! ```
//!
//! [`Header`] and [`ObjectHeader`] parse and encode headers; [`Layout`] converts between plaintext and ciphertext offsets.

pub use crate::header::{
    ATTACHED_LEN, COPY_LEN, CopyFault, Header, MAGIC, MAX_DETACHED_LEN, MAX_METADATA_LEN, MAX_SLOTS,
    METADATA_IDENTIFIER, METADATA_KEY, ObjectHeader, PayloadKind, VERSION, WrappedKey, is_metadata_key,
};
pub use crate::layout::{
    COMMITMENT_LEN, ChunkIndex, ChunkSize, Layout, MAX_CHUNKS, MAX_PLAINTEXT_LEN, PREFIX_LEN, SALT_LEN, TAG_LEN,
};
pub use crate::suite::Suite;
