//! Writes objects: small ones with one request, large ones in parts, a few at a time.
//!
//! ```text
//! write -> [header] -> metadata
//!       -> buffer of one part -> put_part, a few in flight -> complete
//! nothing is visible before `complete`; dropped or interrupted earlier, the upload is aborted
//! ```

mod parts;
mod upload;

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, ObjectStore, PutMode, PutOptions, UpdateVersion};
use sealstone::format::ATTACHED_LEN;
use sealstone::{Error, ObjectHeader};

use self::parts::PartLengths;
use self::upload::Parts;
use super::connection::{self, Client, Condition, head};
use super::failure::StoreError;
use super::metadata::{header_in, set_header};
use super::runtime::wait;
use super::{Content, NewObject, StoredObject, Upload};
use crate::exit::Failure;
use crate::io::location::StoreUrl;
use crate::io::reader::Reader;

/// Bytes that are copied at once.
const PIECE: usize = 1024 * 1024;
/// How much is reserved for a part at most before there are bytes for it.
const RESERVED: usize = 8 * 1024 * 1024;

/// Begins an object.
pub(super) fn create(url: &StoreUrl, new: NewObject) -> Result<Box<dyn Upload>, Failure> {
    let failed = |error: StoreError| error.while_doing(format_args!("opening the output {url}"));
    let condition = if new.replace {
        Condition::None
    } else {
        Condition::Absent
    };
    let client = connection::client_on_condition(url, &condition).map_err(failed)?;
    let sink = Sink::new(url.clone(), client, condition, new.len).map_err(failed)?;
    Ok(Box::new(sink.with_content(new.content)))
}

/// Writes the object again, with these attributes, if it is still the same version when that is done.
pub(super) fn rewrite(
    url: &StoreUrl,
    client: Client,
    condition: Condition,
    attributes: Attributes,
    object: &dyn StoredObject,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::from(Error::from_io("rewriting the object", error));
    let mut sink = Sink::new(url.clone(), client, condition, Some(object.len()))
        .map_err(|error| error.while_doing("rewriting the object"))?;
    sink.attributes = attributes;
    object.will_read(0..object.len());
    let mut piece = vec![0; PIECE];
    let mut reader = Reader::new(object);
    loop {
        let count = reader.read(&mut piece).map_err(failed)?;
        if count == 0 {
            break;
        }
        sink.write_all(&piece[..count]).map_err(failed)?;
    }
    sink.finish().map_err(|error| error.while_doing("rewriting the object"))
}

/// An object that is being written.
struct Sink {
    url: StoreUrl,
    client: Client,
    path: Path,
    condition: Condition,
    attributes: Attributes,
    /// The first bytes of what is written, until the header is complete; `None` if it has none, or had it.
    header: Option<Vec<u8>>,
    lengths: PartLengths,
    /// The part that is being filled.
    part: Vec<u8>,
    parts: Parts,
}

impl Sink {
    fn new(url: StoreUrl, client: Client, condition: Condition, len: Option<u64>) -> Result<Self, StoreError> {
        let path = connection::path(&url)?;
        Ok(Self {
            parts: Parts::new(client.objects.clone(), path.clone()),
            url,
            client,
            path,
            condition,
            attributes: Attributes::new(),
            header: None,
            lengths: PartLengths::new(len),
            part: Vec::new(),
        })
    }

    fn with_content(self, content: Content) -> Self {
        Self {
            header: (content == Content::Object).then(Vec::new),
            ..self
        }
    }

    /// Moves the header from the start of what is written to the metadata; returns what follows it.
    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Error> {
        let Some(start) = &mut self.header else {
            return Ok(bytes);
        };
        let (taken, rest) = bytes.split_at(bytes.len().min(ATTACHED_LEN - start.len()));
        start.extend_from_slice(taken);
        if start.len() == ATTACHED_LEN {
            let header = ObjectHeader::parse(start)?;
            set_header(&mut self.attributes, header.header(), self.url.service)?;
            self.header = None;
        }
        Ok(rest)
    }

    /// Sends the part that is full.
    fn send_part(&mut self) -> Result<(), StoreError> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let most = self.lengths.in_flight(part.len());
        self.lengths.advance();
        let sent = self.parts.send(part, &self.attributes, most);
        sent.map_err(|error| StoreError::of(&self.url, &error))
    }

    /// Makes the object visible.
    fn finish(mut self) -> Result<(), StoreError> {
        let ended = if self.parts.is_begun() {
            self.send_rest().and_then(|()| {
                let completed = self.parts.complete();
                completed.map_err(|error| self.explain(&error))
            })
        } else {
            self.put()
        };
        match ended {
            // The store may have made it visible with an earlier try, whose answer was lost.
            Err(_) if self.is_visible() => Ok(()),
            ended => ended,
        }
    }

    fn send_rest(&mut self) -> Result<(), StoreError> {
        if self.parts.is_begun() {
            if !self.part.is_empty() {
                self.send_part()?;
            }
            let sent = self.parts.wait_for_all();
            sent.map_err(|error| StoreError::of(&self.url, &error))?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), StoreError> {
        let options = PutOptions {
            mode: match &self.condition {
                Condition::None => PutMode::Overwrite,
                Condition::Absent => PutMode::Create,
                Condition::Version(version) => PutMode::Update(UpdateVersion {
                    e_tag: Some(version.clone()),
                    version: None,
                }),
            },
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        let bytes = Bytes::from(std::mem::take(&mut self.part));
        let put = wait(self.client.objects.put_opts(&self.path, bytes.into(), options));
        put.map(drop).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &object_store::Error) -> StoreError {
        match (&self.condition, error) {
            (Condition::Version(expected), object_store::Error::Precondition { .. }) => StoreError::Changed {
                expected: expected.clone(),
                found: None,
            },
            _ => StoreError::of(&self.url, error),
        }
    }

    /// Whether the object is there, with the header that only this one has.
    fn is_visible(&self) -> bool {
        let Some(Ok(own)) = header_in(&self.attributes) else {
            return false;
        };
        let found = wait(self.client.objects.get_opts(&self.path, head()));
        found.is_ok_and(|found| matches!(header_in(&found.attributes), Some(Ok(header)) if header == own))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = self.take_header(bytes)?;
        while !rest.is_empty() {
            // A part is sent when another byte follows: an object of one part takes one request.
            if self.part.len() == self.lengths.current() {
                self.send_part()?;
            }
            let left_in_part = self.lengths.current() - self.part.len();
            if self.part.capacity() == 0 {
                self.part.reserve_exact(left_in_part.min(RESERVED));
            }
            let (taken, left) = rest.split_at(rest.len().min(left_in_part));
            self.part.extend_from_slice(taken);
            rest = left;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Sink {
    fn send(&mut self) -> Result<(), Failure> {
        self.send_rest()
            .map_err(|error| error.while_doing("writing the output"))
    }

    fn complete(self: Box<Self>) -> Result<(), Failure> {
        self.finish().map_err(|error| error.while_doing("writing the output"))
    }

    fn undo(&self) -> Box<dyn FnOnce() + Send> {
        self.parts.undo()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::{Attribute, ObjectStoreExt};
    use sealstone::positioned::ReadAt;
    use sealstone::{Encryptor, Header, RawKey};

    use super::super::source::Object;
    use super::*;
    use crate::exit::Code;

    fn place() -> (StoreUrl, Client, Path) {
        let url = StoreUrl::of(FilePath::new("gs://bucket/dir/object")).unwrap();
        let path = connection::path(&url).unwrap();
        (url, Client::of(Arc::new(InMemory::new())), path)
    }

    fn sealed(plaintext: &[u8]) -> Vec<u8> {
        let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
        Encryptor::new(key).seal(plaintext).unwrap()
    }

    fn upload(condition: Condition, object: &[u8], at: &(StoreUrl, Client, Path)) -> Result<(), StoreError> {
        let (url, client, _) = at.clone();
        let mut sink = Sink::new(url, client, condition, None)?.with_content(Content::Object);
        for piece in object.chunks(100_000) {
            sink.write_all(piece).unwrap();
        }
        sink.finish()
    }

    fn open(at: &(StoreUrl, Client, Path)) -> Object {
        let (url, client, path) = at.clone();
        Object::open(url, client, path).unwrap()
    }

    fn read(object: &Object) -> Vec<u8> {
        let mut bytes = Vec::new();
        Reader::new(object).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_object_is_its_payload_with_the_header_beside_it() {
        for len in [0, 1, 100_000, 20 << 20] {
            let at = place();
            let object = sealed(&vec![1; len]);
            upload(Condition::Absent, &object, &at).unwrap();
            let found = open(&at);
            let header = ObjectHeader::parse(&object).unwrap().header().clone();
            assert_eq!(found.header().unwrap().unwrap(), header);
            found.will_read(0..found.len());
            assert!(read(&found) == object[ATTACHED_LEN..], "{len}");
        }
    }

    /// The stores beside S3 do not replace metadata alone.
    #[test]
    fn rewriting_replaces_the_header_and_keeps_the_rest() {
        for len in [10, 20 << 20] {
            let at = place();
            let (object, other) = (sealed(&vec![1; len]), sealed(b"other"));
            upload(Condition::None, &object, &at).unwrap();
            let mut found = open(&at);
            found.attributes.insert(Attribute::ContentType, "text/plain".into());
            let new = ObjectHeader::parse(&other).unwrap().header().clone();
            found.replace_header(&new).unwrap();
            let found = open(&at);
            assert_eq!(found.header().unwrap().unwrap(), new);
            assert!(read(&found) == object[ATTACHED_LEN..]);
            let (_, client, path) = at;
            let attributes = wait(client.objects.get(&path)).unwrap().attributes;
            assert_eq!(attributes.get(&Attribute::ContentType), Some(&"text/plain".into()));
            assert_eq!(attributes.len(), 2);
        }
    }

    #[test]
    fn another_version_is_neither_read_nor_rewritten() {
        let at = place();
        let object = sealed(&[1; 1000]);
        upload(Condition::None, &object, &at).unwrap();
        let old = open(&at);
        upload(Condition::None, &sealed(&[2; 1000]), &at).unwrap();
        let failed = old.read_at(&mut [0; 10], 0).unwrap_err();
        let failed = Error::from_io("reading", failed);
        assert!(matches!(failed, Error::SourceVersionChanged { .. }), "{failed:?}");
        let header: Header = old.header().unwrap().unwrap();
        assert!(old.replace_header(&header).is_err());
    }

    #[test]
    fn an_object_that_appeared_meanwhile_is_not_overwritten() {
        let at = place();
        upload(Condition::None, &sealed(b"theirs"), &at).unwrap();
        let failed = upload(Condition::Absent, &sealed(b"ours"), &at).unwrap_err();
        assert_eq!(failed.while_doing("writing").code, Code::OutputExists);
    }

    #[test]
    fn what_is_dropped_or_undone_is_not_visible() {
        let at = place();
        let (url, client, path) = at.clone();
        let begin = || {
            let mut sink = Sink::new(url.clone(), client.clone(), Condition::None, None).unwrap();
            sink.write_all(&vec![0; 20 << 20]).unwrap();
            sink
        };
        drop(begin());
        let undone = begin();
        undone.parts.undo()();
        assert!(undone.finish().is_err());
        assert!(wait(client.objects.get(&path)).is_err());
        begin().finish().unwrap();
        assert!(wait(client.objects.get(&path)).is_ok());
    }
}
