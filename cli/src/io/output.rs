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
use super::location::StoreUrl;
use super::stores::{self, Content, NewObject, Upload};
use super::{Descriptor, Place, Roles, Stream, display};
use crate::exit::{Code, Failure};
use crate::progress::waiting;
use crate::report::Report;
use crate::signals::{self, Registered};
use crate::sys::{self, FileId};

/// A place that was looked at and may be written.
#[derive(Debug)]
pub(crate) struct Destination {
    kind: Kind,
    content: Content,
    access: FileAccess,
    /// How many bytes will be written, as far as that is known.
    len: Option<u64>,
}

#[derive(Debug)]
enum Kind {
    /// A descriptor: written where it stands, whatever it stands for.
    Open(File),
    /// A device or a pipe: written as it is.
    Stream(PathBuf),
    /// A file, or none yet; links resolved.
    File(PathBuf, IfExists),
    /// An object in a store, or none yet; whether one is replaced.
    Store(StoreUrl, bool),
}

impl Destination {
    /// Looks at `place` without changing anything. Ciphertext is refused to a terminal.
    pub(crate) fn check(place: &Place, force: bool, content: Content, roles: &Roles) -> Result<Self, Failure> {
        let kind = match place {
            Place::Stdout { by_name } => {
                let stdout = open_descriptor(Descriptor::STDOUT, roles)?;
                if content != Content::Plaintext && !by_name && stdout.is_terminal() {
                    return Err(to_terminal());
                }
                Kind::Open(stdout)
            }
            Place::Path(path) => check_path(path, force, roles)?,
            Place::Store(url) => check_store(url, force, roles)?,
        };
        Ok(Self {
            kind,
            content,
            access: FileAccess::Umask,
            len: None,
        })
    }

    /// About how many bytes will be written there, if that is known: a store wants to know.
    #[must_use]
    pub(crate) fn with_len(self, len: Option<u64>) -> Self {
        Self { len, ..self }
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
                if self.content != Content::Plaintext && file.is_terminal() {
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
            Kind::Store(url, replace) => {
                let new = NewObject {
                    content: self.content,
                    replace,
                    len: self.len,
                };
                let upload = stores::create(&url, new)?;
                let registered = signals::undo_on_exit(upload.undo());
                (Target::Store(upload), Some(registered))
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
            (Kind::Store(..), _) | (_, Kind::Store(..)) => false,
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
            Kind::Store(..) => None,
        }
    }
}

/// The open file of `descriptor`, to be written.
fn open_descriptor(descriptor: Descriptor, roles: &Roles) -> Result<File, Failure> {
    let file = descriptor.writing()?;
    roles.check_output(FileId::of_file(&file).as_ref())?;
    Ok(file)
}

fn check_store(url: &StoreUrl, force: bool, roles: &Roles) -> Result<Kind, Failure> {
    roles.check_store_output(url)?;
    // Whether it may be written at all, is for the store to say at the end.
    if !force && stores::exists(url)? == Some(true) {
        let message = format!("the output {url} exists already; -f replaces it");
        return Err(Failure::new(Code::OutputExists, message));
    }
    Ok(Kind::Store(url.clone(), force))
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
    Store(Box<dyn Upload>),
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
            Self::Store(upload) => upload.complete().map(|()| None),
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
            Target::Stream(_) | Target::Store(_) => None,
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
    pub(crate) fn commit(mut self, report: &Report) -> Result<(), Failure> {
        // The long part, while a signal still is free to end it all.
        self.sync()?;
        if let Target::Store(upload) = self.target {
            // Either the store has the object or it does not: nothing is left that a signal could spoil.
            return upload.complete();
        }
        signals::uninterrupted(|| self.target.commit(report))?;
        drop(self.registered);
        Ok(())
    }

    /// Gives both files their names, `first` first; if `self` cannot have its own, `first` is removed again.
    pub(crate) fn commit_behind(mut self, mut first: Self, report: &Report) -> Result<(), Failure> {
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

    fn sync(&mut self) -> Result<(), Failure> {
        if let Target::Store(upload) = &mut self.target {
            return upload.send();
        }
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
            Target::Store(upload) => upload.write(bytes)?,
        };
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
