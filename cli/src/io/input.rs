//! An input: a file, standard input or an object in a store.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use sealstone::file::has_true_length;

use super::extent::Extent;
use super::reader::Reader;
use super::stores::{self, StoredObject};
use super::{Source as Origin, Stream, display, is_standard};
use crate::exit::Failure;

/// An open input.
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
    /// Its length, as far as that is known.
    len: Option<u64>,
    /// Whether it has a name, and is not a descriptor that the program was started with.
    is_named: bool,
}

#[derive(Debug)]
enum Source {
    /// A file whose length says how much there is to read.
    File(File),
    /// A pipe, a device, or a file whose length is not that of what it holds.
    Stream(Stream),
    /// An object in a store.
    Store(Box<dyn StoredObject>),
}

impl Input {
    /// Opens the input named `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io("opening the input", &error);
        let origin = Origin::of_input(path);
        let is_named = matches!(origin, Origin::Path(_));
        let file = match origin {
            Origin::Store(url) => {
                let object = stores::open(&url)?;
                return Ok(Self {
                    len: Some(object.len()),
                    source: Source::Store(object),
                    is_named,
                });
            }
            Origin::Descriptor(descriptor) => descriptor.reading()?,
            Origin::Path(path) => {
                // Before it is opened: on some systems a directory cannot be.
                if fs::metadata(&path).map_err(failed)?.is_dir() {
                    return Err(is_directory(&path));
                }
                File::open(path).map_err(failed)?
            }
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Failure::usage("it is a directory"));
        }
        // A descriptor may stand anywhere in its file, and what is before that is not meant.
        let position = (&file).stream_position().unwrap_or(0);
        let has_length = has_true_length(&file)?;
        // Standard input is read to its end, however long it became meanwhile, and others may read on from there.
        if has_length && position == 0 && !is_standard(path) {
            return Ok(Self {
                source: Source::File(file),
                len: Some(metadata.len()),
                is_named,
            });
        }
        Ok(Self {
            source: Source::Stream(Stream::new(file)),
            len: has_length.then(|| metadata.len().saturating_sub(position)),
            is_named,
        })
    }

    /// Its length in bytes, as far as that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Whether a person types it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&self.source, Source::Stream(stream) if stream.is_terminal())
    }

    /// Whether it has a name, and is not a descriptor that the program was started with.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// The open file, of whatever kind it is; `None` for an object in a store.
    pub(crate) fn opened(&self) -> Option<&File> {
        match &self.source {
            Source::File(file) => Some(file),
            Source::Stream(stream) => Some(stream.file()),
            Source::Store(_) => None,
        }
    }

    /// The file, if it can be read at any offset.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.source {
            Source::File(file) => Some(file),
            Source::Stream(_) | Source::Store(_) => None,
        }
    }

    /// All of it, if it can be read at any offset; otherwise a reader from its start.
    pub(crate) fn into_parts(self) -> Result<Extent, Box<dyn Read>> {
        match self.source {
            Source::File(file) => Ok(Extent::new(file, self.len.unwrap_or(0))),
            Source::Stream(stream) => Err(Box::new(stream)),
            Source::Store(object) => Ok(Extent::of_store(object)),
        }
    }

    /// A reader from its start.
    pub(crate) fn into_reader(self) -> Box<dyn Read> {
        match self.source {
            Source::File(file) => Box::new(file),
            Source::Stream(stream) => Box::new(stream),
            Source::Store(object) => {
                let all = Extent::of_store(object);
                all.will_read_all();
                Box::new(Reader::new(all))
            }
        }
    }
}

fn is_directory(path: &Path) -> Failure {
    let name = display(path);
    Failure::usage(format!(
        "it is a directory; pack it on the way: tar -c {name} | sealstone encrypt - -o {}.tar.seal",
        name.trim_end_matches('/')
    ))
}
