//! One open file has one role: what is read as the input holds no key, and what is written is neither.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::location::StoreUrl;
use super::{Descriptor, Stream, is_standard};
use crate::exit::Failure;
use crate::sys::{FileId, Kind};

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its bytes are encrypted, or are an object.
    Input,
    /// It is the header of the one input.
    Header,
    /// It holds a key or a passphrase.
    Key,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "the input",
            Self::Header => "the header",
            Self::Key => "a key",
        })
    }
}

/// Where something is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An open descriptor, by whatever name.
    Descriptor(Descriptor),
    /// A file that is opened by its name.
    Path(PathBuf),
    /// An object in a store. Only inputs are read from there.
    Store(StoreUrl),
}

impl Source {
    /// What the input `path` is the name of.
    pub(crate) fn of_input(path: &Path) -> Self {
        if is_standard(path) {
            return Self::Descriptor(Descriptor::STDIN);
        }
        StoreUrl::of(path).map_or_else(|| Self::named(path), Self::Store)
    }

    /// What `path` is the name of.
    pub(crate) fn named(path: &Path) -> Self {
        Descriptor::named(path).map_or_else(|| Self::Path(path.to_owned()), Self::Descriptor)
    }

    /// Opens it. `action` is what fails if that does.
    pub(crate) fn open(&self, action: impl fmt::Display) -> Result<Stream, Failure> {
        match self {
            Self::Descriptor(descriptor) => descriptor.reading().map(Stream::new),
            Self::Path(path) => match File::open(path) {
                Ok(file) => Ok(Stream::new(file)),
                Err(error) => Err(Failure::io(action, &error)),
            },
            Self::Store(url) => Err(Failure::usage(format!(
                "{action}: {url} is in a store; copy it to a file"
            ))),
        }
    }

    /// Which file it is, if it exists. A descriptor must: the caller opened it.
    fn id(&self) -> Result<Option<FileId>, Failure> {
        match self {
            Self::Descriptor(descriptor) => Ok(FileId::of_file(&descriptor.reading()?)),
            Self::Path(path) => Ok(FileId::of_path(path)),
            // No file.
            Self::Store(_) => Ok(None),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(descriptor) => descriptor.fmt(f),
            Self::Path(path) => f.write_str(&crate::text::path(path)),
            Self::Store(url) => url.fmt(f),
        }
    }
}

/// What a run reads.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    read: Vec<(Role, Source)>,
    /// Files with keys that this run does not need.
    kept: Vec<PathBuf>,
}

impl Roles {
    /// The roles of these inputs, and of the header if there is one.
    pub(crate) fn new(inputs: &[PathBuf], header: Option<&Path>) -> Self {
        let inputs = inputs.iter().map(|input| (Role::Input, Source::of_input(input)));
        let header = header.map(|header| (Role::Header, Source::named(header)));
        Self {
            read: inputs.chain(header).collect(),
            kept: Vec::new(),
        }
    }

    /// Adds a source of keys.
    pub(crate) fn add_key(&mut self, source: Source) {
        self.read.push((Role::Key, source));
    }

    /// Adds a file with keys that is not read, and must not be overwritten either.
    pub(crate) fn keep(&mut self, path: PathBuf) {
        self.kept.push(path);
    }

    /// Refuses a file with two roles, of which one would find nothing left to read, and a descriptor that is closed.
    /// Nothing is read for it. `reports` says whether standard output gets a report: it is not written into one of them
    /// either.
    pub(crate) fn check(&self, reports: bool) -> Result<(), Failure> {
        self.check_report(reports)?;
        self.check_pairs(|roles| roles == (Role::Input, Role::Header))
    }

    /// The same before sealing: an input that is a key as well would be locked up with itself.
    pub(crate) fn check_for_sealing(&self, reports: bool) -> Result<(), Failure> {
        self.check_report(reports)?;
        self.check_pairs(|(first, second)| first != second)
    }

    /// Refuses sources of one file that are read once only, or whose roles `exclude` each other.
    fn check_pairs(&self, exclude: impl Fn((Role, Role)) -> bool) -> Result<(), Failure> {
        let mut seen: Vec<(Role, &Source, FileId)> = Vec::new();
        for (role, source) in &self.read {
            let Some(id) = source.id()? else { continue };
            for (other_role, other, other_id) in &seen {
                let has_one_position = || matches!((other, source), (Source::Descriptor(_), Source::Descriptor(_)));
                let clash = match id.kind {
                    Kind::Null => false,
                    Kind::Pipe | Kind::Duplex => true,
                    Kind::Stored => has_one_position() || exclude((*other_role, *role)),
                };
                if clash && *other_id == id {
                    return Err(Failure::usage(refusal((*other_role, other), (*role, source), id.kind)));
                }
            }
            seen.push((*role, source, id));
        }
        Ok(())
    }

    fn check_report(&self, reports: bool) -> Result<(), Failure> {
        if !reports {
            return Ok(());
        }
        let id = FileId::of_file(&Descriptor::STDOUT.writing()?).filter(takes_what_is_read);
        for (role, source) in &self.read {
            if id.is_some() && source.id()? == id {
                let message =
                    format!("the report would be written into {source}, which is {role}: redirect it elsewhere");
                return Err(Failure::usage(message).sparing_stdout());
            }
        }
        Ok(())
    }

    /// Refuses the output `output` if it is one of the inputs.
    pub(super) fn check_store_output(&self, output: &StoreUrl) -> Result<(), Failure> {
        let is_output = |source: &Source| matches!(source, Source::Store(url) if url == output);
        match self.read.iter().find(|(_, source)| is_output(source)) {
            Some((role, source)) => Err(Failure::usage(format!(
                "the output is {role} {source}; name another with -o"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses the output `output` if it is one of these files, by whatever name.
    pub(super) fn check_output(&self, output: Option<&FileId>) -> Result<(), Failure> {
        let Some(output) = output.filter(|id| takes_what_is_read(id)) else {
            return Ok(());
        };
        for (role, source) in &self.read {
            if source.id()?.as_ref() == Some(output) {
                return Err(Failure::usage(match role {
                    Role::Key => holds_key(source),
                    role => format!("the output is {role} {source}; name another with -o"),
                }));
            }
        }
        match self
            .kept
            .iter()
            .find(|path| FileId::of_path(path).as_ref() == Some(output))
        {
            Some(path) => Err(Failure::usage(holds_key(&Source::Path(path.clone())))),
            None => Ok(()),
        }
    }
}

/// Whether what is written to it is what is read from it. It is not so for a terminal or a socket.
const fn takes_what_is_read(id: &FileId) -> bool {
    matches!(id.kind, Kind::Stored | Kind::Pipe)
}

fn holds_key(source: &Source) -> String {
    format!("the output is {source}, which holds a key; name another with -o")
}

fn refusal(first: (Role, &Source), second: (Role, &Source), kind: Kind) -> String {
    let ((first_role, first), (second_role, second)) = (first, second);
    let source = if first == second {
        first.to_string()
    } else {
        format!("{first}, which is {second} as well,")
    };
    if first_role == second_role {
        let twice = match first_role {
            Role::Input => "two inputs",
            Role::Header => "two headers",
            Role::Key => "two keys",
        };
        return format!("{source} can be read once only, and cannot be {twice}");
    }
    let advice = match (first_role, second_role) {
        (Role::Input, Role::Key) if kind == Kind::Stored && matches!(second, Source::Path(_)) => {
            "whoever has the object alone could never open it; seal it with another key"
        }
        (_, Role::Key) => {
            "it can be read once only; give the key a file or a descriptor of its own, as with 3<FILE and \
             passphrase:fd:3 or raw:file:/dev/fd/3"
        }
        _ => "name the file that the header is in with --header",
    };
    format!("{source} cannot be both {first_role} and {second_role}: {advice}")
}
