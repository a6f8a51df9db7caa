//! Headers among an object's attributes, and the keys that they lead to.

use std::borrow::Cow;

use bytes::Bytes;
use sealstone::format::{ATTACHED_LEN, COPY_LEN, METADATA_KEY, PREFIX_LEN, is_metadata_key};
use sealstone::{EncryptionContext, Header, ObjectHeader, Unlocked};

use super::super::object_store::path::Path;
use super::super::object_store::{Attribute, AttributeValue, Attributes, Extensions, GetOptions, ObjectStore, Result};
use super::EncryptedStore;
use super::body::{Body, ciphertext, failure};
use super::errors::{refused, shared, unshared};
use crate::error::StoreError;

/// Bytes of an attached header and of the payload's prefix after it.
pub(super) const START_LEN: usize = ATTACHED_LEN + PREFIX_LEN;
/// In ids of the cache: a version by its ETag, and any version.
const ETAG: &[u8] = b"etag";
const ANY: &[u8] = b"any";

fn is_header(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::Metadata(key) if is_metadata_key(key))
}

/// The attributes of an object with this header.
///
/// # Errors
/// If the caller's attributes have a header already, or this one is too long for metadata.
pub(super) fn with_header(
    location: &Path,
    mut attributes: Attributes,
    header: &Header,
    key: &'static str,
) -> Result<Attributes> {
    if attributes.iter().any(|(attribute, _)| is_header(attribute)) {
        return Err(refused(StoreError::ReservedMetadata {
            location: location.to_string(),
        }));
    }
    let metadata = header.to_metadata();
    let metadata = metadata.map_err(|error| refused(StoreError::sealstone(location, error)))?;
    for value in metadata.into_values() {
        attributes.insert(Attribute::Metadata(Cow::Borrowed(key)), value.into());
    }
    Ok(attributes)
}

/// Takes the header out of an object's attributes: the value, and the caller's attributes.
pub(super) fn take_header(attributes: &Attributes) -> (Option<AttributeValue>, Attributes) {
    let mut found = None;
    let mut rest = Attributes::with_capacity(attributes.len());
    for (attribute, value) in attributes {
        if is_header(attribute) {
            found = Some(value.clone());
        } else {
            rest.insert(attribute.clone(), value.clone());
        }
    }
    (found, rest)
}

impl<S: ObjectStore> EncryptedStore<S> {
    /// Parses the header that an object has in its metadata.
    ///
    /// # Errors
    /// If there is none, or it is not one of this store's.
    pub(super) fn parse_header(&self, location: &Path, value: Option<&AttributeValue>) -> Result<Header> {
        let value = value.ok_or_else(|| {
            refused(StoreError::NoHeader {
                location: location.to_string(),
            })
        })?;
        let header = Header::from_metadata([(METADATA_KEY, value.as_ref())]);
        let header = header.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        self.config.check(location.as_ref(), &header).map_err(refused)?;
        Ok(header)
    }

    /// Finds the key of an object whose header is in its metadata, as `value`.
    pub(super) async fn unlock_detached(
        &self,
        reading: &Reading<'_>,
        value: Option<&AttributeValue>,
    ) -> Result<Unlocked> {
        let id = reading.id(&[value.map_or("", AsRef::as_ref).as_bytes()])?;
        // Parsed only if the object is not cached, and outside the cache, for errors of their own.
        if let Some(unlocked) = self.unlocked.get(&id) {
            return Ok(unlocked);
        }
        let header = self.parse_header(reading.location, value)?;
        self.unlock_header(reading, &id, header.into()).await
    }

    /// The key of the version `e_tag` of an object whose header is attached, if it is cached.
    pub(super) fn cached(&self, reading: &Reading<'_>, e_tag: Option<&str>) -> Result<Option<Unlocked>> {
        let Some(e_tag) = e_tag else { return Ok(None) };
        Ok(self.unlocked.get(&reading.id(&[ETAG, e_tag.as_bytes()])?))
    }

    /// Whether any version of an object whose header is attached was opened lately.
    pub(super) fn is_known(&self, reading: &Reading<'_>) -> Result<bool> {
        Ok(self.unlocked.get(&reading.id(&[ANY])?).is_some())
    }

    /// Fetches the header of the version `e_tag`, or of any, and finds the key; returns the version too. Requests for one
    /// version share one fetch. No body that is still unread may be held meanwhile: a store can limit how many there are.
    pub(super) async fn unlock_attached(
        &self,
        reading: &Reading<'_>,
        e_tag: Option<String>,
    ) -> Result<(Unlocked, Option<String>)> {
        let Some(e_tag) = e_tag else {
            let (start, e_tag) = self.fetch_header(reading, None).await?;
            let unlocked = self.unlock_start(reading, e_tag.as_deref(), &start).await?;
            return Ok((unlocked, e_tag));
        };
        let unlock = || {
            let (this, e_tag) = (self.clone(), e_tag.clone());
            let reading = reading.clone().into_owned();
            async move {
                let reading = reading.borrowed();
                let unlocked = async {
                    let (start, _) = this.fetch_header(&reading, Some(e_tag)).await?;
                    this.unlock_start(&reading, None, &start).await
                };
                unlocked.await.map_err(shared)
            }
        };
        let id = reading.id(&[ETAG, e_tag.as_bytes()])?;
        let unlocked = self.unlocked.get_or_unlock_async(&id, unlock).await;
        let unlocked = unlocked.map_err(|error| unshared(reading.location, error))?;
        Ok((unlocked, Some(e_tag)))
    }

    /// Finds the key of an object that begins with `start`, and remembers that it is that of the version `e_tag`.
    pub(super) async fn unlock_start(
        &self,
        reading: &Reading<'_>,
        e_tag: Option<&str>,
        start: &[u8],
    ) -> Result<Unlocked> {
        let header = self.parse_attached(reading.location, start)?;
        let unlocked = self
            .unlock_header(reading, &reading.id(&significant(start))?, header)
            .await?;
        let mut names = vec![reading.id(&[ANY])?];
        if let Some(e_tag) = e_tag {
            names.push(reading.id(&[ETAG, e_tag.as_bytes()])?);
        }
        for id in names {
            let found = || std::future::ready(Ok(unlocked.clone()));
            let _ = self.unlocked.get_or_unlock_async(&id, found).await;
        }
        Ok(unlocked)
    }

    /// Parses the header that an object begins with.
    ///
    /// # Errors
    /// If it has none, or not one of this store's.
    pub(super) fn parse_attached(&self, location: &Path, start: &[u8]) -> Result<ObjectHeader> {
        let header = ObjectHeader::parse(start);
        let header = header.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        self.config.check(location.as_ref(), header.header()).map_err(refused)?;
        Ok(header)
    }

    async fn fetch_header(&self, reading: &Reading<'_>, e_tag: Option<String>) -> Result<(Bytes, Option<String>)> {
        let options = GetOptions {
            if_match: e_tag,
            extensions: reading.extensions.clone(),
            ..GetOptions::default()
        };
        self.fetch_start(reading.location, options).await
    }

    /// The bytes that an attached header takes, and the version that they are of.
    pub(super) async fn fetch_start(&self, location: &Path, options: GetOptions) -> Result<(Bytes, Option<String>)> {
        let options = GetOptions {
            range: Some((0..START_LEN as u64).into()),
            ..options
        };
        let found = self.store.get_opts(location, options).await?;
        let e_tag = found.meta.e_tag.clone();
        let start = Body::new(ciphertext(found.payload, found.range)).take(START_LEN).await;
        Ok((start.map_err(|error| failure(location, error))?, e_tag))
    }

    async fn unlock_header(&self, reading: &Reading<'_>, id: &[u8], header: ObjectHeader) -> Result<Unlocked> {
        let location = reading.location;
        let decryptor = self.config.decryptor(location.as_ref(), reading.context.clone());
        let unlock = || {
            let (decryptor, header) = (decryptor.clone(), header.clone());
            async move { decryptor.unlock_async(header).await }
        };
        let unlocked = self.unlocked.get_or_unlock_async(id, unlock).await;
        let unlocked = unlocked.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        // It may be the other copy that opened.
        self.config
            .check(location.as_ref(), unlocked.header())
            .map_err(refused)?;
        Ok(unlocked)
    }
}

/// An attached header without its padding, and the payload's first bytes: what decides which key opens the object.
fn significant(start: &[u8]) -> [&[u8]; 3] {
    let (copies, prefix) = start.split_at(start.len().min(ATTACHED_LEN));
    let (first, second) = copies.split_at(copies.len().min(COPY_LEN));
    let padding = |copy: &[u8]| copy.iter().rev().take_while(|byte| **byte == 0).count();
    [
        &first[..first.len() - padding(first)],
        &second[..second.len() - padding(second)],
        prefix,
    ]
}

/// What one call reads.
#[derive(Clone)]
pub(super) struct Reading<'a> {
    /// The path that the caller named, whatever the store reports: keys and contexts follow it.
    pub(super) location: &'a Path,
    pub(super) context: EncryptionContext,
    /// The caller's, for the inner store.
    pub(super) extensions: Extensions,
}

/// [`Reading`] for a future that others wait for too.
struct OwnedReading(Path, EncryptionContext, Extensions);

impl Reading<'_> {
    fn into_owned(self) -> OwnedReading {
        OwnedReading(self.location.clone(), self.context, self.extensions)
    }

    /// Identifies an object's version and what it is bound to: nothing else decides whether its key may be used.
    fn id(&self, version: &[&[u8]]) -> Result<Vec<u8>> {
        let context = self.context.canonical_bytes();
        let context = context.map_err(|error| refused(StoreError::sealstone(self.location, error)))?;
        let mut id = Vec::new();
        for part in [self.location.as_ref().as_bytes(), &context].iter().chain(version) {
            id.extend_from_slice(&(part.len() as u64).to_be_bytes());
            id.extend_from_slice(part);
        }
        Ok(id)
    }
}

impl OwnedReading {
    fn borrowed(&self) -> Reading<'_> {
        Reading {
            location: &self.0,
            context: self.1.clone(),
            extensions: self.2.clone(),
        }
    }
}
