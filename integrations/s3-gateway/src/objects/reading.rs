//! Reading: the end of an object first, which says where its parts are.
//!
//! ```text
//! Ending::fetch --last 64 KiB--> Ending --open(Unlocked)--> OpenObject --read(range)--> plaintext
//! ```
//!
//! All requests of one read are for the version that the first one returned.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone::composite::Manifest;
use sealstone::error::CompositeError;
use sealstone::{Error, Unlocked};

use super::{Note, ObjectError};
use crate::backend::{Backend, BackendError, ByteStream, Location, StoredBytes, StoredObject, StoredRange, single};

/// How much of an object's end is fetched first: the manifest of all but the longest, and small objects whole.
const TAIL_LEN: u64 = 64 * 1024;

/// What an object of the store is, and its last bytes.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The stored object.
    pub stored: StoredObject,
    offset: u64,
    bytes: Bytes,
}

impl Ending {
    /// Fetches the end of the object at `at`.
    ///
    /// # Errors
    /// [`ObjectError::Store`]; [`ObjectError::OtherBytes`] if the store returns others than the last.
    pub async fn fetch(backend: &dyn Backend, at: &Location) -> Result<Self, ObjectError> {
        let fetched = backend.get(at, StoredRange::Suffix(TAIL_LEN), None).await?;
        let len = fetched.object.len;
        if fetched.range != (len.saturating_sub(TAIL_LEN)..len) {
            return Err(ObjectError::OtherBytes);
        }
        let (stored, range) = (fetched.object.clone(), fetched.range.clone());
        Ok(Self {
            stored,
            offset: range.start,
            bytes: collect(fetched).await?,
        })
    }

    /// The object, whose header was unlocked.
    ///
    /// # Errors
    /// [`ObjectError::Sealed`] if its end was altered; [`ObjectError::Store`].
    pub async fn open(
        self,
        backend: &dyn Backend,
        at: &Location,
        unlocked: &Unlocked,
    ) -> Result<OpenObject, ObjectError> {
        let len = self.stored.len;
        let unlocked = match unlocked.open_manifest(len, self.offset, &self.bytes) {
            Err(Error::NotFetched { start, end }) if end == self.offset || start < self.offset => {
                let etag = Some(&*self.stored.etag);
                let fetched = backend.get(at, StoredRange::Bytes(start..len), etag).await?;
                if fetched.range != (start..len) {
                    return Err(ObjectError::OtherBytes);
                }
                unlocked.open_manifest(len, start, &collect(fetched).await?)?
            }
            opened => opened?,
        };
        Ok(OpenObject { ending: self, unlocked })
    }
}

/// An object whose manifest was opened.
#[derive(Debug, Clone)]
pub struct OpenObject {
    ending: Ending,
    unlocked: Unlocked,
}

impl OpenObject {
    /// The stored object.
    #[must_use]
    pub const fn stored(&self) -> &StoredObject {
        &self.ending.stored
    }

    /// The unlocked object, with its manifest.
    pub const fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The length of the plaintext in bytes.
    ///
    /// # Errors
    /// [`ObjectError::Sealed`] if no such object has the stored length.
    pub fn plaintext_len(&self) -> Result<u64, ObjectError> {
        Ok(self.unlocked.plaintext_len(self.ending.stored.len)?)
    }

    /// The plaintext ranges of the parts.
    #[must_use]
    pub fn parts(&self) -> Vec<Range<u64>> {
        let manifest = self.unlocked.manifest();
        manifest
            .map(|manifest| manifest.plaintext_ranges().collect())
            .unwrap_or_default()
    }

    /// What the manifest says besides.
    #[must_use]
    pub fn note(&self) -> Note {
        let note = self
            .unlocked
            .manifest()
            .and_then(|manifest| Note::decode(manifest.note()));
        note.unwrap_or_default()
    }

    /// The plaintext of `range`. Its first bytes were verified when this returns; a later failure is an item. A read of
    /// the whole object verifies all of its bytes.
    ///
    /// # Errors
    /// [`ObjectError::Store`], [`ObjectError::Sealed`], [`ObjectError::OtherBytes`].
    pub async fn read(
        &self,
        backend: &dyn Backend,
        at: &Location,
        range: Range<u64>,
    ) -> Result<ByteStream, ObjectError> {
        let whole = range == (0..self.plaintext_len()?);
        let plaintext = if whole {
            self.read_whole(backend, at).await?
        } else {
            self.read_range(backend, at, range).await?
        };
        opened_first(plaintext).await
    }

    async fn read_whole(&self, backend: &dyn Backend, at: &Location) -> Result<ByteStream, ObjectError> {
        if self.ending.offset == 0 {
            let plaintext = self.unlocked.open_async(self.ending.bytes.clone()).await?;
            return Ok(single(plaintext));
        }
        self.check_padding(backend, at).await?;
        self.read_range(backend, at, 0..self.plaintext_len()?).await
    }

    /// Padding is in no chunk, so no range of plaintext covers it.
    async fn check_padding(&self, backend: &dyn Backend, at: &Location) -> Result<(), ObjectError> {
        let padding = self.unlocked.manifest().map(Manifest::padding).unwrap_or_default();
        let mut offset = padding.start;
        let mut bytes = match self.ending.slice(&padding) {
            Some(bytes) => single(bytes),
            None => self.fetch(backend, at, padding).await?,
        };
        while let Some(item) = bytes.try_next().await.map_err(from_io)? {
            if item.iter().any(|byte| *byte != 0) {
                return Err(Error::from(CompositeError::PaddingAltered { offset }).into());
            }
            offset += item.len() as u64;
        }
        Ok(())
    }

    async fn read_range(
        &self,
        backend: &dyn Backend,
        at: &Location,
        range: Range<u64>,
    ) -> Result<ByteStream, ObjectError> {
        let opener = self.unlocked.range(self.ending.stored.len, range)?;
        let needed = opener.ciphertext_range().clone();
        if needed.is_empty() {
            return Ok(stream::empty().boxed());
        }
        if let Some(sealed) = self.ending.slice(&needed) {
            return Ok(single(opener.open_async(sealed).await?));
        }
        let sealed = self.fetch(backend, at, needed).await?;
        Ok(opener.open_stream(sealed).boxed())
    }

    async fn fetch(&self, backend: &dyn Backend, at: &Location, range: Range<u64>) -> Result<ByteStream, ObjectError> {
        let etag = Some(&*self.ending.stored.etag);
        let fetched = backend.get(at, StoredRange::Bytes(range.clone()), etag).await?;
        if fetched.range != range {
            return Err(ObjectError::OtherBytes);
        }
        Ok(fetched.bytes)
    }
}

impl Ending {
    /// These bytes of the object, if they were fetched.
    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.offset)?).ok()?;
        (start <= end && end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}

/// The stream, whose first item was awaited, so that an error comes before a status line.
async fn opened_first(mut plaintext: ByteStream) -> Result<ByteStream, ObjectError> {
    match plaintext.try_next().await {
        Ok(first) => Ok(stream::iter(first.map(Ok)).chain(plaintext).boxed()),
        Err(error) => Err(from_io(error)),
    }
}

/// The typed error in an error of a stream.
fn from_io(error: io::Error) -> ObjectError {
    match error.downcast::<Error>() {
        Ok(error) => ObjectError::Sealed(error),
        Err(error) => ObjectError::Store(BackendError::Unavailable(error.to_string())),
    }
}

/// All bytes of a response, which must be as many as it says.
async fn collect(mut fetched: StoredBytes) -> Result<Bytes, ObjectError> {
    let len = fetched.range.end - fetched.range.start;
    let mut bytes = BytesMut::new();
    while let Some(item) = fetched.bytes.try_next().await.map_err(from_io)? {
        bytes.extend_from_slice(&item);
        if bytes.len() as u64 > len {
            return Err(ObjectError::OtherBytes);
        }
    }
    if (bytes.len() as u64) < len {
        return Err(ObjectError::OtherBytes);
    }
    Ok(bytes.freeze())
}
