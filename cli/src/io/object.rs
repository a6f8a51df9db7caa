//! An input that is an object: its header, and the rest.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use sealstone::{ATTACHED_LEN, AttachedHeader, Decryptor, Header, MAX_DETACHED_LEN};

use super::{Input, Source, display, is_standard};
use crate::exit::{Code, Failure};

/// An object whose header was read. No key was needed for it, and nothing in it is proved.
pub(crate) struct Object {
    /// The header, with the faults of its copies.
    pub(crate) header: AttachedHeader,
    /// Whether the header is stored apart.
    pub(crate) detached: bool,
    /// The whole object, header included unless that is stored apart.
    pub(crate) body: Body,
    /// The object's length, as far as that is known.
    pub(crate) len: Option<u64>,
}

/// Where an object's bytes come from.
pub(crate) enum Body {
    /// A file, to be read at any offset.
    File(File),
    /// A stream, to be read once.
    Stream(Box<dyn Read>),
}

impl Object {
    /// Reads the header: from the file `header`, or else from the input.
    pub(crate) fn read(input: Input, header: Option<&Path>) -> Result<Self, Failure> {
        let len = input.len();
        if let Some(path) = header {
            let body = input.into_parts().map_or_else(Body::Stream, Body::File);
            return Ok(Self {
                header: read_detached(path)?,
                detached: true,
                body,
                len,
            });
        }
        let (header, body) = match input.into_parts() {
            Ok(file) => (Decryptor::read_header(&file)?, Body::File(file)),
            Err(stream) => read_from_stream(stream)?,
        };
        Ok(Self {
            header,
            detached: false,
            body,
            len,
        })
    }

    /// The length that the plaintext has if the object's length is right.
    pub(crate) fn claimed_len(&self) -> Option<u64> {
        let payload_start = if self.detached { 0 } else { ATTACHED_LEN as u64 };
        let payload_len = self.len?.checked_sub(payload_start)?;
        self.header.header().layout().plaintext_len(payload_len).ok()
    }
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

/// Reads a header that is stored apart.
pub(crate) fn read_detached(path: &Path) -> Result<AttachedHeader, Failure> {
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

/// The engine reads the header itself: it gets the bytes again that were taken for a look.
fn read_from_stream(mut stream: Box<dyn Read>) -> Result<(AttachedHeader, Body), Failure> {
    let mut start = Vec::with_capacity(ATTACHED_LEN);
    let taken = stream.by_ref().take(ATTACHED_LEN as u64).read_to_end(&mut start);
    taken.map_err(|error| Failure::io("reading the input", &error))?;
    let header = AttachedHeader::parse(&start)?;
    Ok((header, Body::Stream(Box::new(Cursor::new(start).chain(stream)))))
}
