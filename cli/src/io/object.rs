//! An input that is an object: its header, and the rest.

use std::fs::File;
use std::io::{Cursor, Read};

use sealstone::{ATTACHED_LEN, AttachedHeader, Decryptor};

use super::Input;
use crate::exit::Failure;

/// An object whose header was read. No key was needed for it, and nothing in it is proved.
pub(crate) struct Object {
    /// The header, with the faults of its copies.
    pub(crate) header: AttachedHeader,
    /// The whole object, header included.
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
    /// Reads the header.
    pub(crate) fn read(input: Input) -> Result<Self, Failure> {
        let len = input.len();
        let (header, body) = match input.into_parts() {
            Ok(file) => (Decryptor::read_header(&file)?, Body::File(file)),
            Err(stream) => read_from_stream(stream)?,
        };
        Ok(Self { header, body, len })
    }

    /// The length that the plaintext has if the object's length is right.
    pub(crate) fn claimed_len(&self) -> Option<u64> {
        let payload_len = self.len?.checked_sub(ATTACHED_LEN as u64)?;
        self.header.header().layout().plaintext_len(payload_len).ok()
    }
}

/// The engine reads the header itself: it gets the bytes again that were taken for a look.
fn read_from_stream(mut stream: Box<dyn Read>) -> Result<(AttachedHeader, Body), Failure> {
    let mut start = Vec::with_capacity(ATTACHED_LEN);
    let taken = stream.by_ref().take(ATTACHED_LEN as u64).read_to_end(&mut start);
    taken.map_err(|error| Failure::io("reading the input", &error))?;
    let header = AttachedHeader::parse(&start)?;
    Ok((header, Body::Stream(Box::new(Cursor::new(start).chain(stream)))))
}
