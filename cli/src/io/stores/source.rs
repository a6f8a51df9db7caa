//! Reads objects: any range, always of the version that was found first.
//!
//! ```text
//! open          one HEAD: length, version, metadata
//! read_at       one GET for what is asked, if nothing was announced
//! will_read     announced ranges are fetched in pieces of 8 MiB, a few ahead of the reader, and kept for a while
//! ```

mod ahead;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, GetOptions, GetRange, ObjectMeta};
use sealstone::positioned::ReadAt;
use sealstone::{Header, Result as SealstoneResult};

use self::ahead::Ahead;
use super::connection::{self, Client, head};
use super::failure::StoreError;
use super::metadata::{header_in, key, set_header};
use super::runtime::wait;
use super::sink;
use super::{StoredObject, connection::Condition};
use crate::exit::Failure;
use crate::io::location::StoreUrl;

/// Opens the object.
pub(super) fn open(url: &StoreUrl) -> Result<Box<dyn StoredObject>, Failure> {
    let failed = |error: StoreError| error.while_doing("opening the input");
    let client = connection::client(url).map_err(failed)?;
    let path = connection::path(url).map_err(failed)?;
    let object = Object::open(url.clone(), client, path).map_err(failed)?;
    Ok(Box::new(object))
}

/// Whether there is such an object; `None` if that cannot be found out.
pub(super) fn exists(url: &StoreUrl) -> Result<Option<bool>, Failure> {
    let found = connection::client(url).and_then(|client| {
        let path = connection::path(url)?;
        match wait(client.objects.get_opts(&path, head())) {
            Ok(_) => Ok(Some(true)),
            Err(object_store::Error::NotFound { .. }) => Ok(Some(false)),
            // S3 says so of a missing object to those who may not list the bucket.
            Err(object_store::Error::PermissionDenied { .. }) => Ok(None),
            Err(error) => Err(StoreError::of(url, &error)),
        }
    });
    found.map_err(|error| error.while_doing(format_args!("looking at the output {url}")))
}

/// One version of an object.
pub(super) struct Object {
    shared: Arc<Shared>,
    pub(super) attributes: Attributes,
    ahead: Ahead,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    url: StoreUrl,
    client: Client,
    path: Path,
    /// Of the version that was found first.
    meta: ObjectMeta,
}

impl Object {
    pub(super) fn open(url: StoreUrl, client: Client, path: Path) -> Result<Self, StoreError> {
        let found = wait(client.objects.get_opts(&path, head()));
        let found = found.map_err(|error| StoreError::of(&url, &error))?;
        let shared = Arc::new(Shared {
            meta: found.meta,
            url,
            client,
            path,
        });
        Ok(Self {
            ahead: Ahead::new(shared.clone()),
            shared,
            attributes: found.attributes,
        })
    }

    /// Writes the object again, with other metadata: for stores that do not replace it by a copy.
    fn rewrite(&self, header: &Header) -> Result<(), Failure> {
        let url = &self.shared.url;
        let failed = |error: StoreError| error.while_doing("rewriting the object");
        let mut attributes = self.attributes.clone();
        set_header(&mut attributes, header, url.service)?;
        let version = self.shared.meta.e_tag.clone().ok_or_else(|| {
            let message = "the store reports no version of it, so another writer's object could be lost";
            failed(StoreError::new(io::ErrorKind::Unsupported, message))
        })?;
        let condition = Condition::Version(version);
        let client = match self.shared.client.replacer {
            Some(_) => connection::client_on_condition(url, &condition).map_err(failed)?,
            None => self.shared.client.clone(),
        };
        sink::rewrite(url, client, condition, attributes, self)
    }
}

impl StoredObject for Object {
    fn len(&self) -> u64 {
        self.shared.meta.size
    }

    fn header(&self) -> Option<SealstoneResult<Header>> {
        header_in(&self.attributes)
    }

    fn will_read(&self, range: Range<u64>) {
        self.ahead.announce(range);
    }

    fn replace_header(&self, header: &Header) -> Result<(), Failure> {
        let shared = &*self.shared;
        let Some(replacer) = &shared.client.replacer else {
            return self.rewrite(header);
        };
        let Some(old) = self.header().transpose()? else {
            return self.rewrite(header);
        };
        match wait(replacer.replace_header(&shared.meta, &old, header, key(shared.url.service))) {
            Ok(()) => Ok(()),
            Err(object_store::Error::NotSupported { .. }) => self.rewrite(header),
            Err(error) => {
                let error = match error {
                    object_store::Error::Precondition { .. } => shared.changed(None),
                    error => StoreError::of(&shared.url, &error),
                };
                Err(error.while_doing("replacing the header"))
            }
        }
    }
}

impl ReadAt for Object {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64).min(self.shared.meta.size);
        if offset >= end {
            return Ok(0);
        }
        let bytes = match self.ahead.read(offset)? {
            Some(bytes) => bytes,
            None => wait(self.shared.clone().get(offset..end))?,
        };
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.shared.meta.size)
    }

    /// The version that every request asks for: a response of another one is an error.
    fn version(&self) -> Option<String> {
        self.shared.meta.e_tag.clone()
    }
}

impl Shared {
    /// The bytes of `range`, which is not empty, of the version that was found first.
    async fn get(self: Arc<Self>, range: Range<u64>) -> Result<Bytes, StoreError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let explained = |error: object_store::Error| match error {
            object_store::Error::Precondition { .. } => self.changed(None),
            error => StoreError::of(&self.url, &error),
        };
        let found = self.client.objects.get_opts(&self.path, options).await;
        let found = found.map_err(explained)?;
        // A store that does not know the condition.
        if found.meta.e_tag != self.meta.e_tag {
            return Err(self.changed(found.meta.e_tag));
        }
        let bytes = found.bytes().await.map_err(explained)?;
        if bytes.len() as u64 != range.end - range.start {
            let message = "the store sent another number of bytes than asked for; try again later";
            return Err(StoreError::new(io::ErrorKind::TimedOut, message));
        }
        Ok(bytes)
    }

    /// The error of another version, which the store may name.
    fn changed(&self, found: Option<String>) -> StoreError {
        StoreError::Changed {
            expected: self.meta.e_tag.clone().unwrap_or_default(),
            found,
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("url", &self.shared.url)
            .finish_non_exhaustive()
    }
}
