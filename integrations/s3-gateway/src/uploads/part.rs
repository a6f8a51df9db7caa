//! Parts: sealed as they come, and known by their receipts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use futures_util::{StreamExt, stream};
use sealstone::composite::{CompositeObject, Receipt};
use sealstone::format::Layout;

use super::{MAX_PARTS, MIN_PART, Upload, UploadError, UploadSecret, from_millis, hex, keys, millis, store};
use crate::backend::{Attributes, Backend, BackendError, Body, Condition, Location, Tags};
use crate::objects::{CHUNK_SIZE, ObjectError, Plaintext, exactly, label};

/// A part that was uploaded.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its number.
    pub number: u16,
    /// When it was uploaded.
    pub modified: SystemTime,
    /// Its plaintext length in bytes and its salt, not yet verified.
    pub receipt: Receipt,
    /// Where its sealed bytes are.
    pub bytes: PartBytes,
    /// The checksum of its plaintext.
    pub checksum: Vec<u8>,
    /// Its `ETag`: the same for the same bytes under the same number.
    pub etag: String,
}

/// Where the sealed bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartBytes {
    /// A part of the store's upload, with this `ETag`.
    InStore(String),
    /// A staged object with this id.
    Staged(String),
}

impl Part {
    /// The name of the object that records the part. Names of one part are in the order of their upload.
    fn name(&self, secret: &UploadSecret) -> String {
        let (kind, id) = match &self.bytes {
            PartBytes::InStore(etag) => ('e', etag),
            PartBytes::Staged(id) => ('s', id),
        };
        let encode = Base64UrlUnpadded::encode_string;
        format!(
            "{:05}.{:014}.{}.{kind}{}.{}",
            self.number,
            millis(self.modified),
            encode(&self.receipt.to_bytes()),
            encode(id.as_bytes()),
            encode(&secret.mask(&self.receipt, &self.checksum)),
        )
    }

    fn parse(name: &str, secret: &UploadSecret) -> Option<Self> {
        let mut fields = name.split('.');
        let number: u16 = fields.next()?.parse().ok()?;
        let modified = from_millis(fields.next()?.parse().ok()?);
        let decode = |text: &str| Base64UrlUnpadded::decode_vec(text).ok();
        let receipt = Receipt::from_bytes(&decode(fields.next()?)?).ok()?;
        let bytes = fields.next()?;
        let id = String::from_utf8(decode(bytes.get(1..)?)?).ok()?;
        let bytes = match bytes.as_bytes().first()? {
            b'e' => PartBytes::InStore(id),
            b's' => PartBytes::Staged(id),
            _ => return None,
        };
        let checksum = secret.mask(&receipt, &decode(fields.next()?)?);
        fields.next().is_none().then_some(Self {
            number,
            modified,
            etag: secret.etag(number, receipt.plaintext_len(), &checksum),
            receipt,
            bytes,
            checksum,
        })
    }
}

impl Upload {
    /// Seals a part and stores it. `checksum` is called once its plaintext has been read.
    ///
    /// # Errors
    /// [`UploadError::NoSuchUpload`], [`UploadError::Object`].
    pub async fn put_part(
        &self,
        backend: &dyn Backend,
        object: &CompositeObject,
        number: u16,
        plaintext: Plaintext,
    ) -> Result<Part, UploadError> {
        let staged = plaintext.len < MIN_PART || number == MAX_PARTS;
        let (body, sealed) = seal_part(object, number, plaintext)?;
        let bytes = if staged {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(|error| BackendError::Other(error.into()))?;
            let id = hex(&id);
            let at = self.staged(&id);
            backend
                .put(&at, body, Attributes::default(), Tags::new(), Condition::None)
                .await?;
            PartBytes::Staged(id)
        } else {
            match backend.put_part(&self.at, &self.in_store, number, body).await {
                Err(BackendError::NoSuchUpload) => return Err(UploadError::NoSuchUpload),
                etag => PartBytes::InStore(etag?),
            }
        };
        let sealed = sealed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (receipt, checksum) = sealed.ok_or(ObjectError::OtherBytes)?;
        let part = Part {
            number,
            modified: SystemTime::now(),
            etag: self.secret.etag(number, receipt.plaintext_len(), &checksum),
            receipt,
            bytes,
            checksum,
        };
        let record = Location::new(
            &*self.at.bucket,
            format!("{}parts/{}", self.id.prefix(), part.name(&self.secret)),
        );
        store(backend, &record, bytes::Bytes::new()).await?;
        Ok(part)
    }

    /// All parts that were uploaded, by number, those of one number in the order of their upload.
    ///
    /// # Errors
    /// [`UploadError::Object`].
    pub async fn parts(&self, backend: &dyn Backend) -> Result<Vec<Part>, UploadError> {
        let prefix = format!("{}parts/", self.id.prefix());
        let keys = keys(backend, &self.at.bucket, &prefix).await?;
        let parts = keys
            .iter()
            .filter_map(|key| Part::parse(key.strip_prefix(&prefix)?, &self.secret));
        Ok(parts.collect())
    }

    pub(super) fn staged(&self, id: &str) -> Location {
        Location::new(&*self.at.bucket, format!("{}staged/{id}", self.id.prefix()))
    }
}

/// The length of a part's sealed bytes.
pub(super) fn sealed_len(plaintext_len: u64) -> Result<u64, ObjectError> {
    Ok(Layout::new(CHUNK_SIZE).payload_len(plaintext_len)?)
}

/// What is known of a part once its last byte was sealed: its receipt and its checksum.
type Sealed = Arc<Mutex<Option<(Receipt, Vec<u8>)>>>;

/// Seals a part as it is read.
fn seal_part(object: &CompositeObject, number: u16, plaintext: Plaintext) -> Result<(Body, Sealed), ObjectError> {
    let len = sealed_len(plaintext.len)?;
    let component = object.component(&label(number))?;
    let mut stream = component.seal_stream(exactly(plaintext.len, plaintext.bytes));
    let sealed = Sealed::default();
    let (filled, mut note) = (sealed.clone(), Some(plaintext.note));
    let bytes = stream::poll_fn(move |cx| {
        stream.poll_next_unpin(cx).map(|item| match item {
            Some(item) => Some(item),
            None => match note.take()?() {
                Ok(checksum) => {
                    let receipt = stream.receipt()?;
                    *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some((receipt, checksum));
                    None
                }
                Err(error) => Some(Err(error)),
            },
        })
    });
    let body = Body {
        len,
        bytes: bytes.boxed(),
    };
    Ok((body, sealed))
}
