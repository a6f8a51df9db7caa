//! Composite objects: components that are sealed apart, by any number of processes and in any order, and joined by a
//! manifest.
//!
//! ```text
//! coordinator   begin_composite --> header, commitment
//! workers         component(label) --> sealed component + receipt        any order, any process, any number of times
//! coordinator   complete(receipts in order) --> manifest
//! object        header | component 0 | component 1 | ... | manifest | its length
//! ```
//!
//! Every sealing of a component draws a new random salt and so has its own key: no retry can repeat a nonce. The sealed
//! manifest, written once, names the sealings that make up the object. This serves multipart uploads, whose parts
//! arrive in any order and may be uploaded again with other bytes, and jobs whose tasks may run twice.
//!
//! Hostile storage attacks those who write, too: it can replace the header that a sealer reads, or lie about the parts
//! that it stores. So a sealer compares the header with a commitment that it received over a trusted channel
//! ([`Unlocked::composite`]), and a completion takes authenticated receipts, never a listing. `FORMAT.md` has the
//! details.
//!
//! ```
//! # use std::sync::Arc;
//! # use sealstone::composite::Padding;
//! # use sealstone::{Decryptor, Encryptor, Error, RawKey};
//! # let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
//! let object = Encryptor::new(key.clone()).begin_composite(Padding::None)?;
//! // In any order, and again if need be.
//! let second = object.component(b"2")?.seal(b"apart")?;
//! let first = object.component(b"1")?.seal(b"sealed ")?;
//! let end = object.complete(&[(b"1", first.receipt), (b"2", second.receipt)], b"")?;
//!
//! let stored = [&object.header().to_attached()?[..], &first.bytes, &second.bytes, &end.bytes].concat();
//! assert_eq!(Decryptor::new(key).open(&stored)?, b"sealed apart");
//! # Ok::<(), Error>(())
//! ```
//!
//! [`Unlocked::composite`]: crate::Unlocked::composite

mod component;
mod keys;
mod manifest;
mod object;
mod opening;
mod padding;
mod receipt;

#[cfg(feature = "tokio")]
pub(crate) use self::component::ReceiptMaker;
pub use self::component::{ComponentRest, ComponentSealer, ComponentWriter, NewComponent, SealedComponent};
pub(crate) use self::keys::CompositeKeys;
pub use self::manifest::{MAX_COMPONENTS, MAX_NOTE_LEN, Manifest};
pub use self::object::{CompositeEnd, CompositeObject, Padding};
pub(crate) use self::opening::{manifest_tail, open_manifest, read_manifest};
pub use self::padding::{MIN_PADDED_COMPONENT_LEN, padded_len, plaintext_len_of_padded};
pub use self::receipt::Receipt;
