//! Reads length-prefixed fields from hostile bytes: each step is checked, and no allocation relies on a claimed length.

use crate::error::{Error, Result};

/// A read position in the bytes of a header. Integers are big-endian.
#[derive(Debug)]
pub(crate) struct WireReader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> WireReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The error for this position.
    pub(crate) const fn damaged(&self, reason: &'static str) -> Error {
        Error::HeaderDamaged {
            reason,
            offset: self.offset,
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.rest();
        if len > rest.len() {
            return Err(self.damaged("a field reaches past the end"));
        }
        self.offset += len;
        Ok(&rest[..len])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes after a 16-bit length.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// UTF-8 after a 16-bit length.
    pub(crate) fn prefixed_str(&mut self) -> Result<&'a str> {
        let bytes = self.prefixed()?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("text that is not UTF-8"))
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }
}

/// The longest field that [`put_prefixed`] encodes, in bytes.
pub(crate) const MAX_FIELD_LEN: usize = u16::MAX as usize;

/// Appends `bytes` after their 16-bit length.
///
/// # Errors
/// [`Error::HeaderTooLarge`] if there are more than [`MAX_FIELD_LEN`] of them.
pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    let len = u16::try_from(bytes.len()).map_err(|_| Error::HeaderTooLarge {
        need: bytes.len(),
        limit: MAX_FIELD_LEN,
    })?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
