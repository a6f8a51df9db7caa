//! Streams of plaintext and ciphertext: readers, writers and asynchronous streams, and machines without I/O for callers
//! that move the bytes themselves, such as HTTP bodies, multipart uploads and other languages.
//!
//! ```text
//! EncryptWriter, AsyncEncryptWriter     plaintext written -> a sink
//! DecryptReader, AsyncDecryptReader     a source          -> verified plaintext read
//! SealStream, OpenStream                a stream          -> a stream
//! StreamSealer   push plaintext  -> pull the object's bytes  -> finish: the rest of them
//! StreamOpener   push the payload -> pull verified plaintext -> finish: the rest of it, or why it is incomplete
//! ```
//!
//! A machine is driven by its caller:
//!
//! ```
//! # use std::sync::Arc;
//! # use sealstone::{Decryptor, Encryptor, Error, RawKey};
//! # let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
//! let mut sealer = Encryptor::new(key.clone()).begin()?.sealer()?;
//! let mut object = Vec::new();
//! for mut piece in [&b"piece by "[..], b"piece"].map(bytes::Bytes::from_static) {
//!     while !piece.is_empty() {
//!         sealer.push(&mut piece)?;
//!         if sealer.is_full() {
//!             object.extend(sealer.pull()?.unwrap_or_default());
//!         }
//!     }
//! }
//! for sealed in sealer.finish() {
//!     object.extend(sealed?);
//! }
//! assert_eq!(Decryptor::new(key).open(&object)?, b"piece by piece");
//! # Ok::<(), Error>(())
//! ```

#[cfg(feature = "tokio")]
pub use crate::asynchronous::{
    AsyncComponentWriter, AsyncDecryptReader, AsyncEncryptWriter, ComponentSealStream, OpenStream, SealStream,
};
pub use crate::decrypt::DecryptReader;
pub use crate::encrypt::EncryptWriter;
pub use crate::machines::{OpenedRest, SealedRest, StreamOpener, StreamSealer};
