//! Errors that pass through `std::io`, as those of readers and writers do, and come out typed again.

use std::io;
use std::sync::Arc;

use super::Error;

impl Error {
    /// Adds an action to an I/O error, or returns the sealstone error that the I/O error contains.
    #[must_use]
    pub fn from_io(action: &'static str, source: io::Error) -> Self {
        if source.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            let inner = source.into_inner().map(|inner| inner.downcast::<Self>());
            match inner {
                Some(Ok(error)) => return *error,
                _ => unreachable!("the source was just seen to be a sealstone error"),
            }
        }
        Self::Io {
            action,
            source: Arc::new(source),
        }
    }

    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::from_io(action, source)
    }
}

/// Keeps the typed error as the source, so that [`Error::from_io`] finds it again.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            // std retries after `Interrupted`. These errors are permanent, so it would retry forever.
            Error::Io { source, .. } if source.kind() != io::ErrorKind::Interrupted => source.kind(),
            Error::Io { .. } | Error::Cancelled => io::ErrorKind::Other,
            Error::Truncated { .. } | Error::HeaderTruncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::OutputExists(_) => io::ErrorKind::AlreadyExists,
            Error::OutputNotReplaceable { .. } => io::ErrorKind::PermissionDenied,
            Error::RangeOutOfBounds { .. } | Error::BufferTooSmall { .. } | Error::LastSlot | Error::Part(_) => {
                io::ErrorKind::InvalidInput
            }
            Error::Composite(error) if error.is_of_request() => io::ErrorKind::InvalidInput,
            Error::Locked { .. } => io::ErrorKind::WouldBlock,
            Error::Provider(_)
            | Error::Random
            | Error::ObjectTooLarge
            | Error::SealedWrongly { .. }
            | Error::Forked
            | Error::Poisoned => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
