//! An input that is an object: its header, and the rest.

use std::io::{Cursor, Read};
use std::path::Path;

use sealstone::composite::plaintext_len_of_padded;
use sealstone::format::{ATTACHED_LEN, MAX_DETACHED_LEN, PREFIX_LEN, PayloadKind};
use sealstone::{Decryptor, Header, ObjectHeader};

use super::{Extent, Input, Source, display, is_standard, kind};
use crate::exit::{Code, Failure};

/// An object whose header was read. No key was needed for it, and nothing in it is proved.
pub(crate) struct Object {
    /// The header, with the faults of its copies.
    pub(crate) header: ObjectHeader,
    /// The object, or its payload if the header is detached.
    pub(crate) body: Body,
    /// The object's length, as far as that is known.
    pub(crate) len: Option<u64>,
}

/// Where an object's bytes come from.
pub(crate) enum Body {
    /// A file, a device or an object in a store, to be read at any offset.
    File(Extent),
    /// A stream, to be read once, after an attached header: the payload.
    Stream(Box<dyn Read>),
}

impl Body {
    /// The object in `input`: the first `object_length` bytes, if that is given. Also how long it is, as far as that is
    /// known.
    fn of(input: Input, object_length: Option<u64>) -> Result<(Self, Option<u64>), Failure> {
        let len = input.len();
        let device = input.opened().map(Extent::of_device).transpose();
        let device = device.map_err(|error| Failure::io("asking for the device's length", &error))?;
        let extent = match (device.flatten(), input.into_parts()) {
            (Some(device), _) => device,
            (None, Ok(extent)) => extent,
            (None, Err(stream)) => {
                let most = object_length.unwrap_or(u64::MAX);
                return Ok((Self::Stream(Box::new(stream.take(most))), object_length.or(len)));
            }
        };
        let (len, wanted) = (extent.len(), object_length.unwrap_or(extent.len()));
        let extent = extent.cut(wanted).ok_or_else(|| {
            Failure::usage(format!(
                "--object-length {wanted} is more than the {len} bytes that the input has"
            ))
        })?;
        Ok((Self::File(extent), Some(wanted)))
    }
}

impl Object {
    /// Reads the header: from the file `header`, or else from the input, of which the object takes `object_length` bytes
    /// if that is given.
    pub(crate) fn read(input: Input, header: Option<&Path>, object_length: Option<u64>) -> Result<Self, Failure> {
        let (body, len) = Body::of(input, object_length)?;
        if let Some(path) = header {
            return Ok(Self {
                header: read_detached(path)?,
                body,
                len,
            });
        }
        let (header, body) = match body {
            Body::File(extent) => (read_header(&extent)?, Body::File(extent)),
            Body::Stream(stream) => read_from_stream(stream)?,
        };
        Ok(Self { header, body, len })
    }

    /// Announces that all of it will be read.
    pub(crate) fn will_read_all(&self) {
        if let Body::File(extent) = &self.body {
            extent.will_read_all();
        }
    }

    /// Refuses a composite object from a stream: before a key is asked for, and before an output is begun.
    pub(crate) fn check_readable(&self) -> Result<(), Failure> {
        match self.body {
            Body::Stream(_) => Ok(self.header.check_streamable()?),
            Body::File(_) => Ok(()),
        }
    }

    /// Whether the input plainly does not end where the object does.
    pub(crate) fn is_padded(&self) -> bool {
        match &self.body {
            Body::File(extent) => extent.is_padded().unwrap_or(false),
            Body::Stream(_) => false,
        }
    }

    /// The length that the plaintext has if the object's length is right; `None` if that does not tell.
    pub(crate) fn claimed_len(&self) -> Option<u64> {
        let payload_len = self.len?.checked_sub(self.header.payload_start())?;
        let header = self.header.header();
        match header.payload_kind() {
            PayloadKind::Plain => header.layout().plaintext_len(payload_len).ok(),
            PayloadKind::PaddedComposite => plaintext_len_of_padded(header.chunk_size(), payload_len).ok(),
            // Its manifest has the lengths of its components, and is sealed.
            _ => None,
        }
    }
}

/// Reads the header beside the object, or else the one in front of it.
fn read_header(extent: &Extent) -> Result<ObjectHeader, Failure> {
    let beside = match extent.header_beside() {
        Some(Ok(header)) => return Ok(header.into()),
        beside => beside.and_then(sealstone::Result::err),
    };
    Decryptor::read_header(extent).map_err(|error| match beside {
        // With the one beside it in order, it would be an object.
        Some(beside) => Failure::from(beside).and("that is the header in the object's metadata"),
        None => kind::explain(error, kind::start_of(extent)),
    })
}

/// Refuses what `--header` cannot be used with.
pub(crate) fn check_header(header: Option<&Path>, input_count: usize) -> Result<(), Failure> {
    match header {
        Some(path) if is_standard(path) => Err(Failure::usage("--header names a file, not standard input or output")),
        Some(_) if input_count > 1 => Err(Failure::usage(
            "--header is for one input: a header belongs to one payload",
        )),
        _ => Ok(()),
    }
}

/// Refuses `--object-length` for several inputs.
pub(crate) fn check_object_length(object_length: Option<u64>, input_count: usize) -> Result<(), Failure> {
    match object_length {
        Some(_) if input_count > 1 => Err(Failure::usage(
            "--object-length is for one input: each object has its own",
        )),
        _ => Ok(()),
    }
}

/// Reads a header that is stored apart.
pub(crate) fn read_detached(path: &Path) -> Result<ObjectHeader, Failure> {
    let action = format!("reading the header {}", display(path));
    let mut bytes = Vec::new();
    let stream = Source::named(path).open(&action)?;
    let most = MAX_DETACHED_LEN as u64 + 1;
    let taken = stream.take(most).read_to_end(&mut bytes);
    taken.map_err(|error| Failure::io(action, &error))?;
    if bytes.len() > MAX_DETACHED_LEN {
        let message = format!("{} is no detached header: it is too long", display(path));
        return Err(Failure::new(Code::NotSealstone, message));
    }
    let header = Header::from_detached(&bytes).map_err(|error| {
        let message = format!("the header {}: {error}", display(path));
        Failure::new(Failure::from(error).code, message)
    })?;
    Ok(header.into())
}

/// Reads an attached header, and the payload's first bytes for a look: they help to choose between copies of the header.
fn read_from_stream(mut stream: Box<dyn Read>) -> Result<(ObjectHeader, Body), Failure> {
    let most = ATTACHED_LEN + PREFIX_LEN;
    let mut start = Vec::with_capacity(most);
    let taken = stream.by_ref().take(most as u64).read_to_end(&mut start);
    taken.map_err(|error| Failure::io("reading the input", &error))?;
    let header = ObjectHeader::parse(&start).map_err(|error| {
        kind::explain(error, |bytes| {
            let len = start.len().min(bytes.len());
            bytes[..len].copy_from_slice(&start[..len]);
            len
        })
    })?;
    let prefix = Cursor::new(start.split_off(ATTACHED_LEN));
    Ok((header, Body::Stream(Box::new(prefix.chain(stream)))))
}
