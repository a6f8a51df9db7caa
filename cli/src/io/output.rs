//! An output: which file it is, whether it may be written, and how.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealstone::{AtomicFile, Existing, NamedFile};

use super::{display, is_standard};
use crate::exit::{Code, Failure};
use crate::signals::{self, Registered};
use crate::sys::{self, FileId};

/// How many symbolic links lead to a file at most, as in Linux.
const MAX_LINKS: usize = 40;

/// Where the result is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard output; whether it was asked for by name.
    Stdout {
        /// Whether it was asked for by name.
        by_name: bool,
    },
    /// A file or a device.
    Path(PathBuf),
}

impl Place {
    /// The place that `-o` names.
    pub(crate) fn named(path: &Path) -> Self {
        if is_standard(path) {
            return Self::Stdout { by_name: true };
        }
        Self::Path(path.to_owned())
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout { .. })
    }

    /// As messages show it.
    pub(crate) fn display(&self) -> String {
        match self {
            Self::Stdout { .. } => "standard output".to_owned(),
            Self::Path(path) => crate::text::path(path),
        }
    }

    /// Its path, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout { .. } => None,
            Self::Path(path) => Some(path),
        }
    }
}

/// Files that no output may replace: the inputs, and what keys are in.
#[derive(Debug)]
pub(crate) struct Protected {
    inputs: Vec<PathBuf>,
    keys: Vec<PathBuf>,
}

impl Protected {
    /// Protects these files.
    pub(crate) fn new(inputs: &[PathBuf], keys: Vec<PathBuf>) -> Self {
        Self {
            inputs: inputs.to_vec(),
            keys,
        }
    }

    /// Refuses the file `output` if it is one of them, by whatever name.
    fn check(&self, output: Option<&FileId>) -> Result<(), Failure> {
        let Some(output) = output else { return Ok(()) };
        for input in &self.inputs {
            let id = if is_standard(input) {
                sys::stdin_id()
            } else {
                sys::file_id(input)
            };
            if id.as_ref() == Some(output) {
                let message = format!("the output is the input {}; name another with -o", display(input));
                return Err(Failure::usage(message));
            }
        }
        for key in &self.keys {
            if sys::file_id(key).as_ref() == Some(output) {
                let message = format!(
                    "the output is {}, which holds a key; name another with -o",
                    display(key)
                );
                return Err(Failure::usage(message));
            }
        }
        Ok(())
    }
}

/// A place that was looked at and may be written.
#[derive(Debug)]
pub(crate) struct Destination {
    kind: Kind,
    ciphertext: bool,
}

#[derive(Debug)]
enum Kind {
    Stdout,
    /// A device or a pipe: written as it is.
    Stream(PathBuf),
    /// A file, or none yet; links resolved.
    File(PathBuf, Existing),
}

impl Destination {
    /// Looks at `place` without changing anything. `ciphertext` is refused to a terminal.
    pub(crate) fn check(place: &Place, force: bool, ciphertext: bool, protected: &Protected) -> Result<Self, Failure> {
        let kind = match place {
            Place::Stdout { by_name } => {
                protected.check(sys::stdout_id().as_ref())?;
                if ciphertext && !by_name && io::stdout().is_terminal() {
                    return Err(to_terminal());
                }
                Kind::Stdout
            }
            Place::Path(path) => check_path(path, force, protected)?,
        };
        Ok(Self { kind, ciphertext })
    }

    /// Opens it. What is `protected` is looked at again: a key ring may just have been made.
    pub(crate) fn open(self, protected: &Protected) -> Result<Sink, Failure> {
        let (target, registered) = match self.kind {
            Kind::Stdout => {
                let stdout = sys::stdout().map_err(|error| Failure::io("opening standard output", &error))?;
                sys::widen_pipe(&stdout);
                (Target::Stream(stdout), None)
            }
            Kind::Stream(path) => {
                let opened = File::options().write(true).open(path);
                let file = opened.map_err(|error| Failure::io("opening the output", &error))?;
                if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                    return Err(Failure::new(
                        Code::OutputExists,
                        "the output became a file meanwhile; try again",
                    ));
                }
                if self.ciphertext && file.is_terminal() {
                    return Err(to_terminal());
                }
                sys::widen_pipe(&file);
                (Target::Stream(file), None)
            }
            Kind::File(path, existing) => {
                protected.check(sys::file_id(&path).as_ref())?;
                let file = AtomicFile::create(&path, existing)?;
                let registered = file
                    .temporary_path()
                    .map(ToOwned::to_owned)
                    .map(signals::remove_on_exit);
                (Target::Atomic(file), registered)
            }
        };
        Ok(Sink {
            target,
            registered,
            written: Arc::default(),
        })
    }
}

fn check_path(path: &Path, force: bool, protected: &Protected) -> Result<Kind, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("looking at the output {}", display(path)), &error);
    // Asked before links are followed: those of /dev/fd and /proc lead to what has no path.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Ok(Kind::Stream(path.to_owned()));
    }
    if names_a_directory(path) && !path.is_dir() {
        return Err(Failure::usage(format!("there is no directory {}", display(path))));
    }
    let path = follow_links(path).map_err(failed)?;
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::File(path, Existing::Keep)),
        Err(error) => return Err(failed(error)),
    };
    protected.check(sys::file_id(&path).as_ref())?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("the output {} is a directory", display(&path))));
    }
    if !force {
        let message = format!("the output {} exists already; -f replaces it", display(&path));
        return Err(Failure::new(Code::OutputExists, message));
    }
    Ok(Kind::File(path, Existing::Replace))
}

/// Whether the path can be that of a directory only, as it ends in a separator.
fn names_a_directory(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    last.is_some_and(|&byte| std::path::is_separator(char::from(byte)))
}

/// The file that links lead to, whether it is there or not: the links stay.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            // A relative target counts from the link's directory; `join` keeps an absolute one as it is.
            Ok(target) => path = path.parent().unwrap_or_else(|| Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn to_terminal() -> Failure {
    Failure::usage("an encrypted object is no text for a terminal; name an output with -o, or insist with -o -")
}

/// An open output. Dropped before `commit`, nothing is left of it, unless it is a stream.
#[derive(Debug)]
#[must_use = "a file has no name until `commit`"]
pub(crate) struct Sink {
    target: Target,
    registered: Option<Registered>,
    written: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Target {
    Stream(File),
    Atomic(AtomicFile),
}

impl Target {
    fn commit(self) -> Result<(), Failure> {
        Ok(self.name()?.map_or(Ok(()), NamedFile::sync)?)
    }

    /// A stream has its name already.
    fn name(self) -> Result<Option<NamedFile>, Failure> {
        match self {
            Self::Stream(_) => Ok(None),
            Self::Atomic(file) => Ok(Some(file.name()?)),
        }
    }
}

impl Sink {
    /// The file, if it is one that can be written at any offset.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.target {
            Target::Atomic(file) => Some(file.file()),
            Target::Stream(_) => None,
        }
    }

    /// Whether what is written is out of our hands at once.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.target, Target::Stream(_))
    }

    /// Bytes written through [`Write`] so far; the counter goes on counting.
    pub(crate) fn written(&self) -> Arc<AtomicU64> {
        self.written.clone()
    }

    /// Gives a file its name.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        // The long part, while a signal still is free to end it all.
        self.sync()?;
        signals::uninterrupted(|| self.target.commit())?;
        drop(self.registered);
        Ok(())
    }

    /// Gives both files their names, `first` first; if `self` cannot have its own, `first` is removed again.
    pub(crate) fn commit_behind(self, first: Self) -> Result<(), Failure> {
        first.sync()?;
        self.sync()?;
        signals::uninterrupted(|| {
            let first = first.target.name()?;
            let second = self.target.name().inspect_err(|_| {
                if let Some(first) = &first {
                    let _ = fs::remove_file(first.path());
                }
            })?;
            // Both are whole. If a directory cannot be synced now, they stay: neither is of use without the other.
            let synced = [first, second].map(|named| named.map_or(Ok(()), NamedFile::sync));
            synced.into_iter().collect::<Result<(), _>>().map_err(Failure::from)
        })?;
        drop(first.registered);
        drop(self.registered);
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        let synced = self.file().map_or(Ok(()), File::sync_all);
        synced.map_err(|error| Failure::io("syncing the output", &error))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = match &self.target {
            Target::Stream(file) => file,
            Target::Atomic(file) => file.file(),
        };
        let count = file.write(bytes)?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
