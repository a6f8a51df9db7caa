//! Why a store did not do what was asked, in one line and with an exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};
use sealstone::Error;

use crate::exit::Failure;
use crate::io::location::StoreUrl;

const NOT_FOUND: &str = "there is no such object, or no such bucket";
const DENIED: &str = "access denied; check the credentials and their permissions";

/// Why a store did not do what was asked. What the client quotes of requests is dropped.
#[derive(Debug, Clone)]
pub(super) enum StoreError {
    /// The object is another one than before.
    Changed {
        /// The version that was read first.
        expected: String,
        /// The version that is there now, if the store says so.
        found: Option<String>,
    },
    /// Anything else.
    Failed {
        /// Decides the exit code.
        kind: io::ErrorKind,
        /// For people.
        message: String,
    },
}

impl StoreError {
    pub(super) fn new(kind: io::ErrorKind, message: impl Into<String>) -> Self {
        Self::Failed {
            kind,
            message: message.into(),
        }
    }

    /// Explains the client's error about `url`.
    pub(super) fn of(url: &StoreUrl, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let said = said(error);
        let with = |words: String| match &said {
            Some(said) => format!("{words} ({said})"),
            None => words,
        };
        match error {
            E::NotFound { .. } => Self::new(io::ErrorKind::NotFound, with(NOT_FOUND.to_owned())),
            // The client's own words: of the credentials, before any request.
            E::Unauthenticated { source, .. } if said.is_none() => {
                Self::new(io::ErrorKind::PermissionDenied, source.to_string())
            }
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::new(io::ErrorKind::PermissionDenied, with(DENIED.to_owned()))
            }
            E::AlreadyExists { .. } | E::Precondition { .. } => Self::new(
                io::ErrorKind::AlreadyExists,
                format!("{url} exists already; -f replaces it"),
            ),
            E::InvalidPath { .. } => Self::new(
                io::ErrorKind::InvalidInput,
                "its key has empty parts, or parts `.` and `..`, which cannot be named",
            ),
            other => Self::of_request(url, other, with),
        }
    }

    fn of_request(url: &StoreUrl, error: &object_store::Error, with: impl Fn(String) -> String) -> Self {
        let text = error.to_string();
        let status: Option<u16> = text
            .split_once("status code: ")
            .and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        // An error in the body of a response that promised success.
        let is_late = text.contains("Server returned error response");
        match (http_error(error), status) {
            (Some(HttpErrorKind::Connect), _) => Self::new(
                io::ErrorKind::TimedOut,
                "the store cannot be reached; check the network, the region and the endpoint, or try again later",
            ),
            (Some(_), _) => Self::new(
                io::ErrorKind::TimedOut,
                "the connection to the store failed; try again later",
            ),
            (None, Some(408 | 429 | 500..)) => {
                let words = "the store cannot answer now; try again later".to_owned();
                Self::new(io::ErrorKind::TimedOut, with(words))
            }
            (None, None) if is_late => {
                let words = "the store cannot answer now; try again later".to_owned();
                Self::new(io::ErrorKind::TimedOut, with(words))
            }
            // Of a listing.
            (None, Some(404)) => Self::new(io::ErrorKind::NotFound, with(NOT_FOUND.to_owned())),
            (None, Some(401 | 403)) => Self::new(io::ErrorKind::PermissionDenied, with(DENIED.to_owned())),
            (None, Some(status)) => Self::new(io::ErrorKind::Other, with(format!("the store answers {status}"))),
            (None, None) if text.contains("redirect") => Self::new(
                io::ErrorKind::InvalidInput,
                format!("the bucket {} is in another region: set AWS_REGION", url.bucket),
            ),
            (None, None) => Self::new(io::ErrorKind::Other, text),
        }
    }

    /// The failure of a command, while `action`.
    pub(super) fn while_doing(self, action: impl fmt::Display) -> Failure {
        match self {
            // What was asked for, or what is configured.
            Self::Failed {
                kind: io::ErrorKind::InvalidInput,
                message,
            } => Failure::usage(format!("{action}: {message}")),
            Self::Failed { kind, message } => Failure::io(action, &io::Error::new(kind, message)),
            changed @ Self::Changed { .. } => Error::from_io("reading the input", changed.into()).into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { .. } => f.write_str("the object has changed"),
            Self::Failed { message, .. } => f.write_str(message),
        }
    }
}

impl StdError for StoreError {}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Changed { expected, found } => Error::SourceVersionChanged {
                expected,
                found: found.unwrap_or_else(|| "unknown".to_owned()),
            }
            .into(),
            StoreError::Failed { kind, message } => Self::new(kind, message),
        }
    }
}

/// How the connection failed, if it did.
fn http_error(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// What the store said, where its response is XML: the code and the message.
fn said(error: &object_store::Error) -> Option<String> {
    let text = &error.to_string();
    let code = between(text, "<Code>", "</Code>")?;
    Some(match between(text, "<Message>", "</Message>") {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::exit::Code;

    fn failure(error: &object_store::Error) -> Failure {
        let url = StoreUrl::of(Path::new("s3://bucket/key")).unwrap();
        StoreError::of(&url, error).while_doing("opening the input")
    }

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn what_a_store_answers_has_an_exit_code() {
        let source = || {
            "Error performing GET http://h/?X-Amz-Signature=0 in 1ms - Server returned non-2xx status code: 403 \
             Forbidden: <Error><Code>AccessDenied</Code><Message>no</Message></Error>"
                .into()
        };
        let path = || "key".to_owned();
        use object_store::Error as E;
        for (error, code) in [
            (
                E::NotFound {
                    path: path(),
                    source: source(),
                },
                Code::NotFound,
            ),
            (
                E::PermissionDenied {
                    path: path(),
                    source: source(),
                },
                Code::NoAccess,
            ),
            (
                E::Unauthenticated {
                    path: path(),
                    source: source(),
                },
                Code::NoAccess,
            ),
            (
                E::AlreadyExists {
                    path: path(),
                    source: source(),
                },
                Code::OutputExists,
            ),
            (generic("status code: 404 Not Found"), Code::NotFound),
            (generic("status code: 403 Forbidden"), Code::NoAccess),
            (generic("status code: 503 Slow Down"), Code::Temporary),
            (generic("status code: 429 Too Many Requests"), Code::Temporary),
            (
                generic("Server returned error response: <Code>InternalError</Code>"),
                Code::Temporary,
            ),
            (generic("status code: 400 Bad Request"), Code::Other),
        ] {
            let failure = failure(&error);
            assert_eq!(failure.code, code, "{failure:?}");
            assert!(!failure.message.contains("Signature"), "{failure:?}");
        }
        let lost = HttpError::new(HttpErrorKind::Connect, io::Error::other("refused"));
        let lost = E::Generic {
            store: "S3",
            source: Box::new(lost),
        };
        assert_eq!(failure(&lost).code, Code::Temporary);
    }

    #[test]
    fn the_stores_own_words_are_shown() {
        let denied = object_store::Error::PermissionDenied {
            path: "key".to_owned(),
            source: "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>".into(),
        };
        assert!(failure(&denied).message.contains("(AccessDenied: not you)"));
    }

    #[test]
    fn another_version_is_an_error_by_itself() {
        let changed = StoreError::Changed {
            expected: "a".to_owned(),
            found: None,
        };
        let error = Error::from_io("reading the input", changed.into());
        assert!(matches!(error, Error::SourceVersionChanged { .. }));
    }
}
