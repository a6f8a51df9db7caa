//! A store's settings, and what follows from them for one object.

use std::time::Duration;

use sealstone::format::{ATTACHED_LEN, Header, METADATA_IDENTIFIER, METADATA_KEY, PayloadKind};
use sealstone::{ChunkSize, Decryptor, EncryptionContext, Encryptor, Executor, ExpectedContext, Suite};

use crate::context::{ObjectContext, joined};
use crate::error::StoreError;
use crate::keys::{KeyPolicy, is_under};
use crate::sizes::Sizes;

/// Where a store's objects have their headers. All of them have it in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderPlace {
    /// In the object's metadata, of which it takes up to 2 KB, all that S3 allows: a range takes one request.
    Metadata,
    /// In the object's metadata, under a name without a hyphen, which stores like Azure refuse.
    MetadataIdentifier,
    /// In front of the payload, for stores without metadata: the first range of an object takes one request more.
    Attached,
}

impl HeaderPlace {
    /// The metadata key of headers, if they are in the metadata.
    pub(crate) const fn metadata_key(self) -> Option<&'static str> {
        match self {
            Self::Metadata => Some(METADATA_KEY),
            Self::MetadataIdentifier => Some(METADATA_IDENTIFIER),
            Self::Attached => None,
        }
    }
}

/// Which copies a store makes by itself with all of an object, its metadata included. The others are read and written
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerCopies {
    /// All copies.
    All,
    /// Those that replace what is there. `S3CopyIfNotExists::Multipart` drops metadata from the others.
    Replacing,
    /// None.
    None,
}

/// What the inner store can do, as a probe has found out or the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Where objects have their headers. For the objects of one bucket or folder, it must not change.
    pub header_place: HeaderPlace,
    /// Which copies the store makes by itself.
    pub server_copies: ServerCopies,
}

impl Capabilities {
    /// What the caller knows.
    #[must_use]
    pub const fn new(header_place: HeaderPlace, server_copies: ServerCopies) -> Self {
        Self {
            header_place,
            server_copies,
        }
    }
}

/// A store's settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) keys: KeyPolicy,
    pub(crate) context: EncryptionContext,
    /// The context key whose value is the object's path.
    pub(crate) path_key: Option<String>,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) suite: Suite,
    pub(crate) executor: Executor,
    /// Prefixes of objects that are not encrypted.
    pub(crate) plaintext: Vec<String>,
    /// The length of an upload's parts, in stored bytes, if they must be equal.
    pub(crate) equal_parts: Option<u64>,
    pub(crate) cache_age: Duration,
    pub(crate) cached_objects: usize,
    pub(crate) place: HeaderPlace,
    pub(crate) copies: ServerCopies,
}

impl Config {
    pub(crate) const fn sizes(&self) -> Sizes {
        let before = match self.place {
            HeaderPlace::Metadata | HeaderPlace::MetadataIdentifier => 0,
            HeaderPlace::Attached => ATTACHED_LEN as u64,
        };
        Sizes::new(self.chunk_size, before)
    }

    /// Whether the objects at and under `location` are not encrypted.
    pub(crate) fn is_plaintext(&self, location: &str) -> bool {
        self.plaintext.iter().any(|prefix| is_under(location, prefix))
    }

    /// The encryption context of the object at `location`.
    ///
    /// # Errors
    /// [`StoreError::ContextConflict`].
    pub(crate) fn context(
        &self,
        location: &str,
        object: Option<&ObjectContext>,
    ) -> Result<EncryptionContext, StoreError> {
        let mut context = self.context.clone();
        if let Some(key) = &self.path_key {
            let path = EncryptionContext::new().with_supplied(key, location);
            context = joined(context, &path, location)?;
        }
        match object {
            Some(ObjectContext(object)) => joined(context, object, location),
            None => Ok(context),
        }
    }

    pub(crate) fn encryptor(&self, location: &str, context: EncryptionContext) -> Encryptor {
        let keys = self.keys.keys(location).sealing();
        let encryptor = Encryptor::new(keys[0].clone())
            .with_context(context)
            .with_suite(self.suite)
            .with_chunk_size(self.chunk_size)
            .with_executor(self.executor.clone());
        keys[1..].iter().cloned().fold(encryptor, Encryptor::with_key)
    }

    pub(crate) fn decryptor(&self, location: &str, context: EncryptionContext) -> Decryptor {
        let mut keys = self.keys.keys(location).opening().cloned();
        let first = keys.next().expect("a policy has a key for sealing, which opens too");
        let decryptor = Decryptor::new(first)
            .with_context(ExpectedContext::Exact(context))
            .with_executor(self.executor.clone());
        let mut count = 1_usize;
        let decryptor = keys.inspect(|_| count += 1).fold(decryptor, Decryptor::with_key);
        decryptor.with_max_provider_calls(count.saturating_mul(2))
    }

    /// Refuses an object that this store would not have written.
    ///
    /// # Errors
    /// [`StoreError::Composite`], [`StoreError::OtherChunkSize`].
    pub(crate) fn check(&self, location: &str, header: &Header) -> Result<(), StoreError> {
        if header.payload_kind() != PayloadKind::Plain {
            return Err(StoreError::Composite {
                location: location.to_owned(),
            });
        }
        if header.chunk_size() != self.chunk_size {
            return Err(StoreError::OtherChunkSize {
                location: location.to_owned(),
                found: header.chunk_size().bytes(),
                expected: self.chunk_size.bytes(),
            });
        }
        Ok(())
    }
}
