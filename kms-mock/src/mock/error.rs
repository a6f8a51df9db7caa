//! Why a mock did not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::faults::InvalidFault;

/// Why a mock did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen on an address.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The system provides no thread or socket.
    Thread(io::Error),
    /// A key cannot be created, or a file of keys or the audit log cannot be used.
    Keys(String),
    /// A setting is invalid.
    Setting(InvalidFault),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Thread(source) => write!(f, "cannot start: {source}"),
            Self::Keys(what) => f.write_str(what),
            Self::Setting(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Thread(source) => Some(source),
            Self::Setting(error) => Some(error),
            Self::Keys(_) => None,
        }
    }
}

impl From<InvalidFault> for StartError {
    fn from(error: InvalidFault) -> Self {
        Self::Setting(error)
    }
}
