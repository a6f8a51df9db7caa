//! Small objects in memory, headers detached: what a storage engine does with each of many. Without any client of a key service, which
//! would be linked into every bench.

use sealstone::{Decryptor, EncryptionContext, Encryptor, ExpectedContext, Header, Result};

/// A detached header and a payload.
pub type SmallObject = (Vec<u8>, Vec<u8>);

/// The context of object `number`: each has its own.
#[must_use]
pub fn context(number: usize) -> EncryptionContext {
    EncryptionContext::new()
        .with("bucket", "benches")
        .with("path", number.to_string())
}

/// Seals object `number`.
///
/// # Errors
/// As sealing has them.
pub fn seal(encryptor: &Encryptor, number: usize, plaintext: &[u8]) -> Result<SmallObject> {
    let object = encryptor.clone().with_context(context(number)).begin()?;
    let header = object.header().to_detached()?;
    let mut payload = vec![0; plaintext.len() + 56 + 16 * (plaintext.len() / (16 * 1024) + 1)];
    let written = object.seal_payload_into(plaintext, &mut payload)?;
    payload.truncate(written);
    Ok((header, payload))
}

/// Opens object `number`, which fills `plaintext`.
///
/// # Errors
/// As opening has them.
///
/// # Panics
/// If it is shorter.
pub fn open(decryptor: &Decryptor, number: usize, object: &SmallObject, plaintext: &mut [u8]) -> Result<()> {
    let (header, payload) = object;
    let decryptor = decryptor
        .clone()
        .with_context(ExpectedContext::Exact(context(number)))
        .with_detached_header(Header::from_detached(header)?);
    let len = decryptor.open_into(payload, plaintext)?;
    assert_eq!(len, plaintext.len(), "the object's length");
    Ok(())
}
