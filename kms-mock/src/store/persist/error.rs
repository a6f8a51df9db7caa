//! Why a state file cannot be used.

use std::fmt;
use std::io;

use super::VERSION;

/// Why a state file cannot be used.
#[derive(Debug)]
pub(crate) enum StateFileError {
    /// It cannot be read or written.
    Io(io::Error),
    /// It is empty, which this program never writes.
    Empty,
    /// It is corrupted.
    Damaged(String),
    /// Another mock uses it.
    InUse,
    /// A newer program wrote it.
    Version(u32),
    /// Its keys belong to another account, to which their ciphertexts are bound.
    Elsewhere { account: String },
}

impl From<io::Error> for StateFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Empty => {
                f.write_str("it is empty, which no state file is: restore it, or remove it to start without keys")
            }
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::InUse => f.write_str("another mock uses it: stop that one, or choose another file"),
            Self::Version(version) => write!(f, "its version is {version}, and this program supports up to {VERSION}"),
            Self::Elsewhere { account } => {
                write!(f, "its keys belong to account {account}: pass --account {account}")
            }
        }
    }
}
