//! Headers among an object's attributes, and the keys that they lead to.

use std::borrow::Cow;

use sealstone::format::{ATTACHED_LEN, METADATA_KEY, PREFIX_LEN};
use sealstone::{EncryptionContext, Header, ObjectHeader, Unlocked};

use super::super::object_store::path::Path;
use super::super::object_store::{Attribute, AttributeValue, Attributes, GetOptions, ObjectMeta, ObjectStore, Result};
use super::EncryptedStore;
use super::errors::{refused, shared, unshared};
use crate::config::HeaderPlace;
use crate::error::StoreError;

/// Bytes of an attached header and of the payload's prefix after it.
const START_LEN: u64 = (ATTACHED_LEN + PREFIX_LEN) as u64;

fn is_header(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::Metadata(key) if key.eq_ignore_ascii_case(METADATA_KEY))
}

/// The attributes of an object with this header.
///
/// # Errors
/// If the caller's attributes have a header already, or this one is too long for metadata.
pub(super) fn with_header(location: &Path, mut attributes: Attributes, header: &Header) -> Result<Attributes> {
    if attributes.iter().any(|(attribute, _)| is_header(attribute)) {
        return Err(refused(StoreError::ReservedMetadata {
            location: location.to_string(),
        }));
    }
    let metadata = header.to_metadata();
    let metadata = metadata.map_err(|error| refused(StoreError::sealstone(location, error)))?;
    for (key, value) in metadata {
        attributes.insert(Attribute::Metadata(Cow::Owned(key)), value.into());
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

    /// Finds the key of an object with its header in `value`, or in its first bytes.
    pub(super) async fn unlock(
        &self,
        meta: &ObjectMeta,
        value: Option<&AttributeValue>,
        context: EncryptionContext,
    ) -> Result<Unlocked> {
        match self.config.place {
            HeaderPlace::Metadata => self.unlock_detached(&meta.location, value, context).await,
            HeaderPlace::Attached => self.unlock_attached(meta, context).await,
        }
    }

    async fn unlock_detached(
        &self,
        location: &Path,
        value: Option<&AttributeValue>,
        context: EncryptionContext,
    ) -> Result<Unlocked> {
        let id = id(location, value.map_or("", AsRef::as_ref), &context)?;
        // Parsed only if the object is not cached, and outside the cache, for errors of their own.
        if let Some(unlocked) = self.unlocked.get(&id) {
            return Ok(unlocked);
        }
        let header = self.parse_header(location, value)?;
        let decryptor = self.config.decryptor(location.as_ref(), context);
        let unlock = || {
            let (decryptor, header) = (decryptor.clone(), header.clone());
            async move { decryptor.unlock_async(header).await }
        };
        let unlocked = self.unlocked.get_or_unlock_async(&id, unlock).await;
        unlocked.map_err(|error| refused(StoreError::sealstone(location, error)))
    }

    async fn unlock_attached(&self, meta: &ObjectMeta, context: EncryptionContext) -> Result<Unlocked> {
        let location = &meta.location;
        let Some(e_tag) = &meta.e_tag else {
            // A store without versions: nothing tells whether a cached key is this object's.
            let header = self.fetch_header(meta).await?;
            return self.unlock_header(location, header, context).await;
        };
        let id = id(location, e_tag, &context)?;
        if let Some(unlocked) = self.unlocked.get(&id) {
            return Ok(unlocked);
        }
        let unlock = || {
            let (this, meta, context) = (self.clone(), meta.clone(), context.clone());
            async move {
                let unlocked = async {
                    let header = this.fetch_header(&meta).await?;
                    this.unlock_header(&meta.location, header, context).await
                };
                unlocked.await.map_err(shared)
            }
        };
        let unlocked = self.unlocked.get_or_unlock_async(&id, unlock).await;
        unlocked.map_err(|error| unshared(location, error))
    }

    /// Fetches an attached header, of the version that `meta` is of.
    async fn fetch_header(&self, meta: &ObjectMeta) -> Result<ObjectHeader> {
        let options = GetOptions {
            range: Some((0..START_LEN).into()),
            if_match: meta.e_tag.clone(),
            version: meta.version.clone(),
            ..GetOptions::default()
        };
        let start = self.store.get_opts(&meta.location, options).await?;
        let start = start.bytes().await?;
        self.parse_attached(&meta.location, &start)
    }

    pub(super) fn parse_attached(&self, location: &Path, start: &[u8]) -> Result<ObjectHeader> {
        let header = ObjectHeader::parse(start);
        let header = header.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        self.config.check(location.as_ref(), header.header()).map_err(refused)?;
        Ok(header)
    }

    pub(super) async fn unlock_header(
        &self,
        location: &Path,
        header: ObjectHeader,
        context: EncryptionContext,
    ) -> Result<Unlocked> {
        let decryptor = self.config.decryptor(location.as_ref(), context);
        let unlocked = decryptor.unlock_async(header).await;
        let unlocked = unlocked.map_err(|error| refused(StoreError::sealstone(location, error)))?;
        // It may be the other copy that opened.
        self.config
            .check(location.as_ref(), unlocked.header())
            .map_err(refused)?;
        Ok(unlocked)
    }
}

/// Identifies an object's version and what it is bound to: nothing else decides whether its key may be used.
fn id(location: &Path, version: &str, context: &EncryptionContext) -> Result<Vec<u8>> {
    let context = context.canonical_bytes();
    let context = context.map_err(|error| refused(StoreError::sealstone(location, error)))?;
    let location = location.as_ref();
    let mut id = Vec::with_capacity(16 + location.len() + version.len() + context.len());
    for part in [location.as_bytes(), version.as_bytes()] {
        id.extend_from_slice(&(part.len() as u64).to_be_bytes());
        id.extend_from_slice(part);
    }
    id.extend_from_slice(&context);
    Ok(id)
}
