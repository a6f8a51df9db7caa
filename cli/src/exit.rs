//! Why an input failed: an exit code, and one line that says what to do.

use std::fmt;
use std::io;

/// The exit codes, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Anything else.
    Other = 1,
    /// A usage error.
    Usage = 2,
    /// Not a sealstone object, or one of an unknown version.
    NotSealstone = 3,
    /// An input or a key does not exist.
    NotFound = 4,
    /// The same call may succeed later.
    Temporary = 5,
    /// Corrupted, truncated, replaced, or bound to another context.
    NotAuthentic = 6,
    /// Access denied, a key's state, a wrong key, or no usable one.
    NoAccess = 7,
    /// The output exists.
    OutputExists = 8,
    /// Interrupted at the terminal: the code of a program that SIGINT ends.
    Interrupted = 130,
    /// The reader of the output is gone: the code of a program that SIGPIPE ends.
    PipeClosed = 141,
}

/// Why an input failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to exit with.
    pub(crate) code: Code,
    /// For people; may contain line breaks and control characters.
    pub(crate) message: String,
    /// Whether further inputs would fail in the same way, each after the same wait.
    pub(crate) ends_run: bool,
    /// Whether not even the report of the failure may go to standard output.
    pub(crate) spares_stdout: bool,
    /// Where the object ends, if the failure is that other bytes follow it.
    pub(crate) object_length: Option<u64>,
}

impl Failure {
    /// A failure.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            ends_run: false,
            spares_stdout: false,
            object_length: None,
        }
    }

    /// The same, with nothing written to standard output.
    #[must_use]
    pub(crate) const fn sparing_stdout(mut self) -> Self {
        self.spares_stdout = true;
        self
    }

    /// A usage error.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// A failed call of the operating system.
    pub(crate) fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(io_code(error), format!("{action}: {error}"))
    }

    /// The same, with more to say.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(more);
        self
    }

    /// Whether to end without a message.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.code, Code::PipeClosed | Code::Interrupted)
    }
}

/// The exit code of a failed call of the operating system.
pub(crate) fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::PermissionDenied => Code::NoAccess,
        io::ErrorKind::AlreadyExists => Code::OutputExists,
        io::ErrorKind::BrokenPipe => Code::PipeClosed,
        io::ErrorKind::TimedOut => Code::Temporary,
        _ => Code::Other,
    }
}
