//! An input: a file or standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::{display, is_standard};
use crate::exit::Failure;
use crate::sys;

/// An open input.
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
    /// Its length, as far as that is known.
    len: Option<u64>,
}

#[derive(Debug)]
enum Source {
    Stdin,
    /// A file whose length says how much there is to read.
    File(File),
    /// A pipe, a device, or one of the files that the kernel makes up.
    Stream(File),
}

impl Input {
    /// Opens the input named `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            sys::widen_stdin();
            return Ok(Self {
                source: Source::Stdin,
                len: sys::stdin_len(),
            });
        }
        let failed = |error: io::Error| Failure::io("opening the input", &error);
        // Before it is opened: on some systems a directory cannot be.
        if fs::metadata(path).map_err(failed)?.is_dir() {
            return Err(is_directory(path));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() && metadata.len() > 0 {
            return Ok(Self {
                source: Source::File(file),
                len: Some(metadata.len()),
            });
        }
        sys::widen_pipe(&file);
        Ok(Self {
            source: Source::Stream(file),
            len: metadata.is_file().then_some(0),
        })
    }

    /// Its length in bytes, as far as that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// The file, if it can be read at any offset.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.source {
            Source::File(file) => Some(file),
            _ => None,
        }
    }

    /// The file, if it can be read at any offset; else what it gives, from its start.
    pub(crate) fn into_parts(self) -> Result<File, Box<dyn Read>> {
        match self.source {
            Source::File(file) => Ok(file),
            Source::Stream(file) => Err(Box::new(file)),
            Source::Stdin => Err(Box::new(io::stdin().lock())),
        }
    }

    /// What it gives, from its start.
    pub(crate) fn into_reader(self) -> Box<dyn Read> {
        self.into_parts().map_or_else(|reader| reader, |file| Box::new(file))
    }
}

fn is_directory(path: &Path) -> Failure {
    let name = display(path);
    Failure::usage(format!(
        "it is a directory; pack it on the way: tar -c {name} | sealstone encrypt - -o {}.tar.seal",
        name.trim_end_matches('/')
    ))
}
