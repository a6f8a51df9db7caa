//! Small objects of the gateway's own, sealed under the ring: settings of buckets, and uploads in progress.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sealstone::{Decryptor, EncryptionContext, Encryptor, ExpectedContext, KeyRing};
use zeroize::Zeroizing;

use crate::backend::{Attributes, Backend, BackendError, Body, Condition, Location, StoredRange, Tags, single};
use crate::objects::ObjectError;

/// The longest, in bytes, when sealed. S3's limit for a policy, the longest of all, is 20 KB.
const MAX_LEN: u64 = 64 * 1024;

/// Reads and opens an object, in this context only.
///
/// # Errors
/// [`ObjectError::Store`]; [`ObjectError::Sealed`] if it was altered, or is another one; [`ObjectError::OtherBytes`].
pub(crate) async fn read(
    backend: &dyn Backend,
    at: &Location,
    ring: &Arc<KeyRing>,
    context: EncryptionContext,
) -> Result<Zeroizing<Vec<u8>>, ObjectError> {
    let mut stored = backend.get(at, StoredRange::Bytes(0..MAX_LEN), None).await?;
    let mut sealed = Vec::new();
    while let Some(item) = stored.bytes.try_next().await.map_err(BackendError::Body)? {
        sealed.extend_from_slice(&item);
        if sealed.len() as u64 > MAX_LEN {
            return Err(ObjectError::OtherBytes);
        }
    }
    let decryptor = Decryptor::new(ring.clone()).with_context(ExpectedContext::Contains(context));
    Ok(Zeroizing::new(decryptor.open(&sealed)?))
}

/// Seals and stores an object.
///
/// # Errors
/// [`ObjectError::Store`], [`ObjectError::Sealed`].
pub(crate) async fn write(
    backend: &dyn Backend,
    at: &Location,
    ring: &Arc<KeyRing>,
    context: EncryptionContext,
    plain: &[u8],
) -> Result<(), ObjectError> {
    let sealed = Encryptor::new(ring.clone()).with_context(context).seal(plain)?;
    let body = Body {
        len: sealed.len() as u64,
        bytes: single(sealed.into()),
    };
    let (attributes, tags) = (Attributes::default(), Tags::new());
    backend.put(at, body, attributes, tags, Condition::None).await?;
    Ok(())
}
