//! The object header: parse and encode. Nothing in it needs to be trusted; `FORMAT.md` says why, part by part.
//!
//! ```text
//!   0   8  magic 89 53 53 54 0D 0A 1A 0A
//!   8   1  version
//!   9   3  core: suite, log2 of the chunk size, flags
//!  12   8  generation, counted up by each rewrite
//!  20  24  salt        of the payload that the header belongs to
//!  44  32  commitment  of the same
//!  76      encryption context, then slots: count[1] | (provider | key id | wrapped key, each after its length[2]) ...
//!          zero padding (attached only)
//! -32  32  SHA-256 of everything before
//! ```
//!
//! An attached header is two copies of 4 KiB before the payload; a detached header is one copy without padding.

mod core;
mod metadata;
mod object;
mod slot;

use sha2::{Digest, Sha256};

pub use self::core::PayloadKind;
pub(crate) use self::core::{Core, Purpose};
pub use self::metadata::{MAX_METADATA_LEN, METADATA_IDENTIFIER, METADATA_KEY, is_metadata_key};
pub use self::object::{CopyFault, ObjectHeader};
pub(crate) use self::slot::check_slots;
pub use self::slot::{MAX_SLOTS, WrappedKey};

use crate::context::StoredContext;
use crate::error::{Error, Result, TransferDamage};
use crate::layout::{COMMITMENT_LEN, ChunkSize, Layout, PREFIX_LEN, SALT_LEN};
use crate::suite::Suite;
use crate::wire::WireReader;

/// The first bytes of every header.
pub const MAGIC: [u8; 8] = [0x89, b'S', b'S', b'T', 0x0D, 0x0A, 0x1A, 0x0A];
/// The format version that this build writes and reads.
pub const VERSION: u8 = 1;
/// Bytes of one attached header copy.
pub const COPY_LEN: usize = 4096;
/// Bytes of an attached header: both copies. The payload begins here.
pub const ATTACHED_LEN: usize = 2 * COPY_LEN;
/// The largest detached header, in bytes.
pub const MAX_DETACHED_LEN: usize = 64 * 1024;

const CHECKSUM_LEN: usize = 32;

/// The content of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(crate) suite: Suite,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) kind: PayloadKind,
    pub(crate) generation: u64,
    pub(crate) salt: [u8; SALT_LEN],
    pub(crate) commitment: [u8; COMMITMENT_LEN],
    pub(crate) context: StoredContext,
    pub(crate) slots: Vec<WrappedKey>,
}

impl Header {
    /// The AEAD of the chunks.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The chunk size.
    #[must_use]
    pub const fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// What the payload consists of.
    #[must_use]
    pub const fn payload_kind(&self) -> PayloadKind {
        self.kind
    }

    /// The salt that the commitment is derived with.
    #[must_use]
    pub const fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// The commitment to the data key. A rewrap keeps it; no other object has it.
    #[must_use]
    pub const fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    pub(crate) const fn core(&self) -> Core {
        Core {
            suite: self.suite,
            chunk_size: self.chunk_size,
            kind: self.kind,
        }
    }

    /// The sizes and offsets of the payload, or of each component.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        Layout::new(self.chunk_size)
    }

    /// How many times the header was rewritten.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The encryption context, without the values that are not stored.
    #[must_use]
    pub const fn context(&self) -> &StoredContext {
        &self.context
    }

    /// The wrapped copies of the data key.
    #[must_use]
    pub fn slots(&self) -> &[WrappedKey] {
        &self.slots
    }

    /// The `context` input of C2SP chunked encryption. Besides the data key, another implementation needs it to read
    /// the payload.
    #[must_use]
    pub fn payload_context(&self) -> Vec<u8> {
        self.core().context(Purpose::Object)
    }

    /// The payload's first 56 bytes, as the header repeats them; `None` for a composite payload, which begins with its
    /// first component.
    #[must_use]
    pub fn payload_prefix(&self) -> Option<[u8; PREFIX_LEN]> {
        (!self.kind.is_composite()).then(|| self.salt_and_commitment())
    }

    pub(crate) fn salt_and_commitment(&self) -> [u8; PREFIX_LEN] {
        let mut prefix = [0; PREFIX_LEN];
        prefix[..SALT_LEN].copy_from_slice(&self.salt);
        prefix[SALT_LEN..].copy_from_slice(&self.commitment);
        prefix
    }

    /// Checks that a payload beginning with `prefix` is the one this header belongs to. Of a composite payload the first
    /// bytes say nothing: its manifest does, when it is opened.
    ///
    /// # Errors
    /// [`Error::HeaderOfAnotherPayload`].
    pub fn check_payload(&self, prefix: &[u8; PREFIX_LEN]) -> Result<()> {
        match self.payload_prefix() {
            Some(own) if own != *prefix => Err(Error::HeaderOfAnotherPayload),
            _ => Ok(()),
        }
    }

    /// Encodes the header alone, without padding, for object metadata or a sidecar file.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`] over 64 KiB.
    pub fn to_detached(&self) -> Result<Vec<u8>> {
        let mut bytes = self.fields()?;
        check_fits(bytes.len(), MAX_DETACHED_LEN)?;
        append_checksum(&mut bytes);
        Ok(bytes)
    }

    /// Encodes both copies of the header, as they precede the payload in a file: 8 KiB.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`] if one copy takes more than 4 KiB.
    pub fn to_attached(&self) -> Result<Vec<u8>> {
        let mut bytes = self.fields()?;
        check_fits(bytes.len(), COPY_LEN)?;
        bytes.resize(COPY_LEN - CHECKSUM_LEN, 0);
        append_checksum(&mut bytes);
        bytes.extend_from_within(..);
        Ok(bytes)
    }

    /// Parses a detached header, which must fill `bytes`.
    ///
    /// # Errors
    /// [`Error::NotSealstone`], [`Error::UnsupportedVersion`], [`Error::HeaderTruncated`], [`Error::HeaderDamaged`],
    /// [`Error::HeaderTooLarge`].
    pub fn from_detached(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_DETACHED_LEN {
            return Err(Error::HeaderTooLarge {
                need: bytes.len(),
                limit: MAX_DETACHED_LEN,
            });
        }
        let (header, padding) = parse(bytes)?;
        if padding == 0 {
            Ok(header)
        } else {
            Err(Error::HeaderDamaged {
                reason: "bytes after the slots",
                offset: bytes.len() - CHECKSUM_LEN - padding,
            })
        }
    }

    fn fields(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(COPY_LEN);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.core().to_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.commitment);
        self.context.encode(&mut out)?;
        slot::encode_slots(&self.slots, &mut out)?;
        Ok(out)
    }
}

const fn check_fits(fields_len: usize, limit: usize) -> Result<()> {
    let need = fields_len + CHECKSUM_LEN;
    if need > limit {
        return Err(Error::HeaderTooLarge { need, limit });
    }
    Ok(())
}

fn append_checksum(bytes: &mut Vec<u8>) {
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
}

/// Parses one copy that fills `bytes`. Returns the header and the number of padding bytes.
fn parse(bytes: &[u8]) -> Result<(Header, usize)> {
    check_start(bytes)?;
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Error::HeaderTruncated {
        have: bytes.len(),
        need: MAGIC.len() + 1 + CHECKSUM_LEN,
    })?;
    if Sha256::digest(content).as_slice() != checksum {
        return Err(Error::HeaderDamaged {
            reason: "its checksum does not match",
            offset: content.len(),
        });
    }
    let mut reader = WireReader::new(content);
    reader.take(MAGIC.len() + 1)?;
    let suite = Suite::from_id(reader.u8()?).ok_or_else(|| reader.damaged("an unknown suite"))?;
    let chunk_size = ChunkSize::from_log2(reader.u8()?).ok_or_else(|| reader.damaged("an unknown chunk size"))?;
    let kind = PayloadKind::from_flags(reader.u8()?).ok_or_else(|| reader.damaged("an unknown flag"))?;
    let header = Header {
        suite,
        chunk_size,
        kind,
        generation: reader.u64()?,
        salt: reader.array()?,
        commitment: reader.array()?,
        context: StoredContext::parse(&mut reader)?,
        slots: slot::parse_slots(&mut reader)?,
    };
    if reader.rest().iter().any(|&byte| byte != 0) {
        return Err(reader.damaged("padding that is not zero"));
    }
    Ok((header, reader.rest().len()))
}

/// Checks magic and version.
fn check_start(bytes: &[u8]) -> Result<()> {
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if start.is_empty() || !MAGIC.starts_with(start) {
        return Err(Error::NotSealstone { hint: mangled(bytes) });
    }
    match bytes.get(MAGIC.len()) {
        Some(&VERSION) => Ok(()),
        Some(&version) => Err(Error::UnsupportedVersion { version }),
        None => Err(Error::HeaderTruncated {
            have: bytes.len(),
            need: ATTACHED_LEN,
        }),
    }
}

/// How an object was changed in transit, if `bytes` begin like a changed object.
fn mangled(bytes: &[u8]) -> Option<TransferDamage> {
    let name = &MAGIC[1..4];
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"iVNTVA0KGg") {
        Some(TransferDamage::Base64)
    } else if bytes.starts_with(&[0xFF, 0xFE])
        || bytes.starts_with(&[0xFE, 0xFF])
        || bytes[..].starts_with(b"\x89\0S\0S\0T")
    {
        Some(TransferDamage::Utf16)
    } else if bytes.starts_with(&MAGIC[..4]) {
        Some(TransferDamage::LineEnds)
    } else if [&b"\xC2\x89"[..], b"\x09", b"\xEF\xBF\xBD", b"?"]
        .iter()
        .any(|lead| bytes.strip_prefix(*lead).is_some_and(|rest| rest.starts_with(name)))
    {
        Some(TransferDamage::Text)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
