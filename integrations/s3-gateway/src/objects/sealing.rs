//! Sealing: one component for each part, and the end that names them.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::composite::{CompositeObject, padded_len};

use super::{CHUNK_SIZE, ObjectError};
use crate::backend::{Body, ByteStream};

/// A whole object to seal.
pub struct Plaintext {
    /// Its length in bytes.
    pub len: u64,
    /// Its bytes.
    pub bytes: ByteStream,
    /// Called once all bytes have been sealed: the manifest's note, or an error, after which nothing is stored.
    pub note: Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>,
}

impl std::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plaintext({} bytes)", self.len)
    }
}

/// The label of part `number`: receipts are bound to it.
#[must_use]
pub fn label(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

/// Seals a whole object as its only component. Its stored length is known before its bytes are.
///
/// # Errors
/// [`ObjectError::Sealed`] if it is too long.
pub fn seal(object: &CompositeObject, plaintext: Plaintext) -> Result<Body, ObjectError> {
    let label = label(1);
    let len = padded_len(CHUNK_SIZE, plaintext.len)?;
    let mut sealed = object
        .component(&label)?
        .seal_stream(exactly(plaintext.len, plaintext.bytes));
    let (object, mut note) = (object.clone(), Some(plaintext.note));
    let bytes = stream::poll_fn(move |cx| {
        sealed.poll_next_unpin(cx).map(|item| match item {
            Some(item) => Some(item),
            None => {
                let receipt = sealed.receipt()?;
                let note = note.take()?;
                let end = note().and_then(|note| Ok(object.complete(&[(label, receipt)], &note)?.bytes));
                Some(end.map(Bytes::from))
            }
        })
    });
    Ok(Body {
        len,
        bytes: bytes.boxed(),
    })
}

/// The bytes of a stream, which must be this many.
pub(crate) fn exactly(len: u64, bytes: ByteStream) -> ByteStream {
    let state = (bytes, len);
    stream::try_unfold(state, |(mut bytes, left)| async move {
        let Some(item) = bytes.try_next().await? else {
            return if left == 0 {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        };
        match left.checked_sub(item.len() as u64) {
            Some(left) => Ok(Some((item, (bytes, left)))),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the body is longer than announced",
            )),
        }
    })
    .boxed()
}
