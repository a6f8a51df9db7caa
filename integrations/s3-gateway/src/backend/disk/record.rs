//! What is stored of an object beside its payload, and how a file begins.
//!
//! ```text
//! sealed     header[8192] | payload                     record in a file, whose name is the object's `record_name`
//! other      magic[8] | length[4] | record | payload
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use sealstone::format::{ATTACHED_LEN, Header, ObjectHeader, is_metadata_key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{damaged, failed};
use crate::backend::{Attributes, BackendError, StoredObject, Tags, hex};

/// The first bytes of an object that is not sealed, or whose header does not fit into a file.
const MAGIC: &[u8; 8] = b"\x89SSGW\r\n\x01";
const FRAME_LEN: usize = MAGIC.len() + 4;
/// The largest record that is read.
pub(super) const MAX_RECORD: u64 = 4 << 20;

/// What is stored of an object beside its payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) etag: String,
    /// The payload's length.
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    /// The record of the version before this one, which a crash may have left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// The digest of the header that the file had when this record was stored. If it still has, the new header in
    /// `attributes` has not reached the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) supersedes: Option<String>,
}

impl Record {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackendError> {
        let bytes = serde_json::to_vec(self).map_err(|error| BackendError::Other(error.into()))?;
        // A longer one would not be read.
        if bytes.len() as u64 > MAX_RECORD {
            return Err(BackendError::Denied("the attributes have more than 4 MiB".to_owned()));
        }
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, BackendError> {
        serde_json::from_slice(bytes).map_err(|error| damaged(path, error))
    }

    pub(super) fn into_stored(self) -> StoredObject {
        StoredObject {
            etag: self.etag,
            len: self.len,
            modified: self.modified,
            attributes: self.attributes,
        }
    }

    /// Takes over the header of the file, if another program has rewrapped it there.
    pub(super) fn refresh(&mut self, found: &Header) -> Result<(), sealstone::Error> {
        let own = Header::from_metadata(&self.attributes.metadata);
        let is_known = own.is_ok_and(|own| own == *found) || self.supersedes == Some(digest(found)?);
        if !is_known {
            self.attributes.metadata.retain(|name, _| !is_metadata_key(name));
            self.attributes.metadata.extend(found.to_metadata()?);
        }
        Ok(())
    }
}

/// Identifies a header.
pub(super) fn digest(header: &Header) -> Result<String, sealstone::Error> {
    Ok(hex(&Sha256::digest(header.to_detached()?)[..16]))
}

/// The header that the attributes contain, encoded as the beginning of a file; `None` if the object is not sealed.
pub(super) fn attached(attributes: &Attributes) -> Option<(Header, Vec<u8>)> {
    let header = Header::from_metadata(&attributes.metadata).ok()?;
    let bytes = header.to_attached().ok()?;
    Some((header, bytes))
}

/// The file name of the record of a sealed object: of the object's key, and of what a rewrap does not change in its file.
/// So the replacement of the file switches to another record at the same moment.
pub(super) fn record_name(key: &str, commitment: &[u8], len: u64) -> String {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(commitment);
    hash.update(len.to_be_bytes());
    hex(&hash.finalize())
}

/// The name of a file's record, unless the first copy of its header is damaged. Without checking anything, which the
/// record does: another object has no record of that name.
pub(super) fn likely_record_name(key: &str, file: &File) -> io::Result<Option<String>> {
    const COMMITMENT: std::ops::Range<usize> = 44..76;
    let mut start = [0; COMMITMENT.end];
    let len = file.metadata()?.len().checked_sub(ATTACHED_LEN as u64);
    let is_sealed = read_at(file, &mut start, 0)? == start.len() && start.starts_with(&sealstone::format::MAGIC);
    Ok(len
        .filter(|_| is_sealed)
        .map(|len| record_name(key, &start[COMMITMENT], len)))
}

/// The beginning of a file that contains its record.
pub(super) fn frame(record: &Record) -> Result<Vec<u8>, BackendError> {
    let json = record.to_bytes()?;
    let len = u32::try_from(json.len()).map_err(|error| BackendError::Other(error.into()))?;
    Ok([MAGIC.as_slice(), &len.to_be_bytes(), &json].concat())
}

/// How a file begins.
pub(super) enum Start {
    Sealed(Box<ObjectHeader>),
    Framed { record: Box<Record>, payload: u64 },
}

impl Start {
    pub(super) fn read(file: &File, path: &Path) -> Result<Self, BackendError> {
        let mut bytes = vec![0; ATTACHED_LEN];
        let len = read_at(file, &mut bytes, 0).map_err(|error| failed(&error, path))?;
        bytes.truncate(len);
        let Some((frame, rest)) = bytes
            .split_at_checked(FRAME_LEN)
            .filter(|(frame, _)| frame.starts_with(MAGIC))
        else {
            let header = ObjectHeader::parse(&bytes).map_err(|error| damaged(path, error))?;
            return Ok(Self::Sealed(Box::new(header)));
        };
        let len = frame[MAGIC.len()..]
            .iter()
            .fold(0, |len, &byte| len << 8 | u64::from(byte));
        if len > MAX_RECORD {
            return Err(damaged(path, "its record is too long"));
        }
        let payload = FRAME_LEN as u64 + len;
        let record = match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(json) => Record::parse(json, path)?,
            None => {
                let mut json = vec![0; usize::try_from(len).map_err(|error| damaged(path, error))?];
                let exact = file.read_exact_at(&mut json, FRAME_LEN as u64);
                exact.map_err(|error| failed(&error, path))?;
                Record::parse(&json, path)?
            }
        };
        Ok(Self::Framed {
            record: Box::new(record),
            payload,
        })
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
