//! An output: which file it is, whether it may be written, and how.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealstone::Error;
use sealstone::file::{AtomicFile, FileAccess, IfExists, NamedFile, NotKept};

use super::descriptor::{MAX_LINKS, is_of_any_process};
use super::extent::is_block_device;
use super::{Descriptor, Roles, Stream, display, is_standard};
use crate::exit::{Code, Failure};
use crate::progress::waiting;
use crate::report::Report;
use crate::signals::{self, Registered};
use crate::sys::{self, FileId};

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
        if is_standard(path) || Descriptor::named(path) == Some(Descriptor::STDOUT) {
            return Self::Stdout { by_name: true };
        }
        Self::Path(path.to_owned())
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout { .. })
    }

    /// Whether it is a device such as a disk, whose length is its own.
    pub(crate) fn is_device(&self) -> bool {
        let metadata = match self {
            Self::Stdout { .. } => Descriptor::STDOUT.writing().ok().map(|stdout| stdout.metadata()),
            Self::Path(path) => Some(fs::metadata(path)),
        };
        metadata.is_some_and(|metadata| metadata.is_ok_and(|metadata| is_block_device(&metadata)))
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

/// A place that was looked at and may be written.
#[derive(Debug)]
pub(crate) struct Destination {
    kind: Kind,
    ciphertext: bool,
    access: FileAccess,
}

#[derive(Debug)]
enum Kind {
    /// A descriptor: written where it stands, whatever it stands for.
    Open(File),
    /// A device or a pipe: written as it is.
    Stream(PathBuf),
    /// A file, or none yet; links resolved.
    File(PathBuf, IfExists),
}

impl Destination {
    /// Looks at `place` without changing anything. `ciphertext` is refused to a terminal.
    pub(crate) fn check(place: &Place, force: bool, ciphertext: bool, roles: &Roles) -> Result<Self, Failure> {
        let kind = match place {
            Place::Stdout { by_name } => {
                let stdout = open_descriptor(Descriptor::STDOUT, roles)?;
                if ciphertext && !by_name && stdout.is_terminal() {
                    return Err(to_terminal());
                }
                Kind::Open(stdout)
            }
            Place::Path(path) => check_path(path, force, roles)?,
        };
        Ok(Self {
            kind,
            ciphertext,
            access: FileAccess::Umask,
        })
    }

    /// Who may access a new file there.
    #[must_use]
    pub(crate) fn with_access(self, access: FileAccess) -> Self {
        Self { access, ..self }
    }

    /// Opens it. The `roles` are looked at again: a key ring may just have been made.
    pub(crate) fn open(self, roles: &Roles) -> Result<Sink, Failure> {
        let (target, registered) = match self.kind {
            Kind::Open(file) => (Target::Stream(Stream::new(file)), None),
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
                (Target::Stream(Stream::new(file)), None)
            }
            Kind::File(path, existing) => {
                roles.check_output(FileId::of_path(&path).as_ref())?;
                let file = create_file(&path, existing, self.access)?;
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

    /// Whether what is written to both ends in one file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::File(path, _), Kind::File(other, _)) => {
                let parts = |path: &Path| Some((fs::canonicalize(parent(path)).ok()?, path.file_name()?.to_owned()));
                path == other || parts(path).is_some_and(|parts_of| Some(parts_of) == parts(other))
            }
            _ => {
                let id = self.id().filter(|id| id.kind != sys::Kind::Null);
                id.is_some() && id == other.id()
            }
        }
    }

    fn id(&self) -> Option<FileId> {
        match &self.kind {
            Kind::Open(file) => FileId::of_file(file),
            Kind::Stream(path) | Kind::File(path, _) => FileId::of_path(path),
        }
    }
}

/// The open file of `descriptor`, to be written.
fn open_descriptor(descriptor: Descriptor, roles: &Roles) -> Result<File, Failure> {
    let file = descriptor.writing()?;
    roles.check_output(FileId::of_file(&file).as_ref())?;
    Ok(file)
}

fn check_path(path: &Path, force: bool, roles: &Roles) -> Result<Kind, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("looking at the output {}", display(path)), &error);
    if let Some(descriptor) = Descriptor::named(path) {
        return open_descriptor(descriptor, roles).map(Kind::Open);
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        roles.check_output(FileId::of_path(path).as_ref())?;
        return Ok(Kind::Stream(path.to_owned()));
    }
    if names_a_directory(path) && !path.is_dir() {
        return Err(Failure::usage(format!("there is no directory {}", display(path))));
    }
    let path = follow_links(path)?;
    if is_among_devices(&path) {
        let message = format!(
            "{} would be a file among the devices: name the output with -o, in another directory",
            display(&path)
        );
        return Err(Failure::usage(message));
    }
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !parent(&path).is_dir() {
                let directory = display(parent(&path));
                let message = format!("there is no directory {directory} for the output {}", display(&path));
                return Err(Failure::new(Code::NotFound, message));
            }
            return Ok(Kind::File(path, IfExists::Fail));
        }
        Err(error) => return Err(failed(error)),
    };
    roles.check_output(FileId::of_path(&path).as_ref())?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("the output {} is a directory", display(&path))));
    }
    if !force {
        let message = format!("the output {} exists already; -f replaces it", display(&path));
        return Err(Failure::new(Code::OutputExists, message));
    }
    AtomicFile::check(&path, IfExists::Replace)?;
    Ok(Kind::File(path, IfExists::Replace))
}

/// Makes a file that has no name yet. The engine does not say which one could not be made.
pub(crate) fn create_file(path: &Path, existing: IfExists, access: FileAccess) -> Result<AtomicFile, Failure> {
    AtomicFile::create_with(path, existing, access).map_err(|error| match error {
        Error::Io { action, source } => Failure::io(format_args!("{action} {}", display(path)), &source),
        other => other.into(),
    })
}

/// Whether `path` is where the kernel shows devices and itself. A file there takes memory, is gone when the machine is
/// started again, and was meant to be a device. Files in /dev/shm are meant.
fn is_among_devices(path: &Path) -> bool {
    let directory = fs::canonicalize(parent(path)).unwrap_or_default();
    let is_in = |place: &str| directory.starts_with(place);
    cfg!(unix) && ["/dev", "/proc", "/sys"].into_iter().any(is_in) && !is_in("/dev/shm")
}

/// The directory that `path` is in.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// Whether the path can be that of a directory only, as it ends in a separator.
fn names_a_directory(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    last.is_some_and(|&byte| std::path::is_separator(char::from(byte)))
}

/// The file that links lead to, whether it exists or not: the links stay.
fn follow_links(path: &Path) -> Result<PathBuf, Failure> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            return Ok(path);
        };
        // What such a link shows is no path that may be replaced, and may be none at all.
        if is_of_any_process(parent(&path)) {
            let message = format!("{} is open in another process; name the file itself", display(&path));
            return Err(Failure::usage(message));
        }
        // A relative target counts from the link's directory; `join` keeps an absolute one as it is.
        path = path.parent().unwrap_or_else(|| Path::new("")).join(target);
    }
    let error = io::Error::other("too many symbolic links");
    Err(Failure::io("looking at the output", &error))
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
    Stream(Stream),
    Atomic(AtomicFile),
}

impl Target {
    fn commit(self, report: &Report) -> Result<(), Failure> {
        let Some(named) = self.name()? else { return Ok(()) };
        tell_what_is_lost(&named, report);
        Ok(named.sync()?)
    }

    /// A stream has its name already.
    fn name(self) -> Result<Option<NamedFile>, Failure> {
        match self {
            Self::Stream(_) => Ok(None),
            Self::Atomic(file) => Ok(Some(file.name()?)),
        }
    }
}

/// Says what a new file did not get of the one that it replaces.
fn tell_what_is_lost(named: &NamedFile, report: &Report) {
    for what in named.not_kept() {
        let name = named.path().display();
        report.note(&match what {
            NotKept::Mode => format!("warning: {name}: its file system keeps no such mode, and lets others access it"),
            what => format!("warning: {name}: the {what} of the file that it replaces could not be kept"),
        });
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

    /// Whether a person sees what is written.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&self.target, Target::Stream(stream) if stream.is_terminal())
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
    pub(crate) fn commit(self, report: &Report) -> Result<(), Failure> {
        // The long part, while a signal still is free to end it all.
        self.sync()?;
        signals::uninterrupted(|| self.target.commit(report))?;
        drop(self.registered);
        Ok(())
    }

    /// Gives both files their names, `first` first; if `self` cannot have its own, `first` is removed again.
    pub(crate) fn commit_behind(self, first: Self, report: &Report) -> Result<(), Failure> {
        first.sync()?;
        self.sync()?;
        signals::uninterrupted(|| {
            let first = first.target.name()?;
            let second = self.target.name().inspect_err(|_| {
                if let Some(first) = &first {
                    let _ = fs::remove_file(first.path());
                }
            })?;
            for named in [&first, &second].into_iter().flatten() {
                tell_what_is_lost(named, report);
            }
            // Both are whole. If a directory cannot be synced now, they stay: neither is of use without the other.
            let synced = [first, second].map(|named| named.map_or(Ok(()), NamedFile::sync));
            synced.into_iter().collect::<Result<(), _>>().map_err(Failure::from)
        })?;
        drop(first.registered);
        drop(self.registered);
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        let _waiting = waiting("writing to disk");
        let synced = self.file().map_or(Ok(()), File::sync_all);
        let synced = synced.and_then(|()| match &self.target {
            Target::Stream(stream) if is_block_device(&stream.file().metadata()?) => stream.file().sync_all(),
            _ => Ok(()),
        });
        synced.map_err(|error| Failure::io("syncing the output", &error))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.target {
            Target::Stream(stream) => stream.write(bytes)?,
            Target::Atomic(file) => file.file().write(bytes)?,
        };
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
