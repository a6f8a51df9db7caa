//! Why a configuration is refused.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting that must be there is missing.
    Missing(&'static str),
    /// These settings cannot be used together.
    Conflict(&'static str, &'static str),
    /// No home directory is set, where the key ring would be.
    NoHome,
    /// A file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The configuration file is no TOML, or has a setting that does not exist.
    Malformed(PathBuf, String),
    /// The store's URL is not of a known form.
    Store(String),
    /// Other users can read the access keys.
    OpenToOthers(PathBuf),
    /// A line of the access keys is not `ID:SECRET`. It is named by its number, because it may be a secret.
    AccessKeyLine(PathBuf, usize),
    /// There are no access keys.
    NoAccessKeys,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(flag) => write!(f, "{flag} is missing"),
            Self::Conflict(one, other) => write!(f, "{one} cannot be used together with {other}"),
            Self::NoHome => f.write_str("no home directory is set: say where the key ring is with --keyring FILE"),
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Malformed(path, reason) => write!(f, "{}: {reason}", path.display()),
            Self::Store(url) => write!(
                f,
                "the store {url:?} is neither a directory nor s3://, https://ENDPOINT or file:///DIRECTORY"
            ),
            Self::OpenToOthers(path) => {
                let path = path.display();
                write!(f, "the access keys in {path} are open to other users: chmod 600 {path}")
            }
            Self::AccessKeyLine(path, line) => write!(
                f,
                "{}, line {line}: an access key is ID:SECRET on a line, with an id of its own",
                path.display()
            ),
            Self::NoAccessKeys => f.write_str(
                "there are no access keys for clients: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or list them in \
                 --access-keys FILE",
            ),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            _ => None,
        }
    }
}
