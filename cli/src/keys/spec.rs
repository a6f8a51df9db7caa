//! What `--key` and `--remove` say: where a key is. A key itself never stands on the command line, which every user of
//! the machine can see.

use std::any::Any;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::kind::Key;
use super::{Optional, forms, kind};

/// Where a key is.
#[derive(Debug, Clone)]
pub struct KeySpec(Arc<dyn Key>);

impl KeySpec {
    /// A key of whatever kind.
    pub(crate) fn new(key: impl Key) -> Self {
        Self(Arc::new(key))
    }

    /// Parses what `--key` says. A path in it need not be UTF-8, as file names need not be.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let (id, rest) = split(text).ok_or_else(no_key)?;
        match (kind(id), Optional::find(id)) {
            (Some(kind), _) => kind.parse(rest),
            (None, Some(optional)) => Err(optional.how_to_get()),
            (None, None) => Err(no_key()),
        }
    }

    /// The key.
    pub(super) fn key(&self) -> &dyn Key {
        &*self.0
    }

    /// The key, if it is of this type.
    pub(super) fn downcast<K: Key>(&self) -> Option<&K> {
        let key: &dyn Any = &*self.0;
        key.downcast_ref()
    }
}

impl FromStr for KeySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(OsStr::new(text))
    }
}

/// Which slots of an object are meant: by their key, or one by the name that `inspect` shows.
#[derive(Debug, Clone)]
pub enum SlotSpec {
    /// Those of a key.
    Of(KeySpec),
    /// The one of this name, `PROVIDER:KEY ID`; its key need not exist any more.
    Named(String),
}

impl SlotSpec {
    /// Parses what `--remove` says.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        match (KeySpec::parse(text), text.to_str()) {
            (Ok(spec), _) => Ok(Self::Of(spec)),
            (Err(_), Some(name)) if name.contains(':') => Ok(Self::Named(name.to_owned())),
            (Err(error), _) => Err(format!(
                "{error}; or a slot is PROVIDER:KEY ID, as `sealstone inspect` shows it"
            )),
        }
    }
}

impl FromStr for SlotSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(OsStr::new(text))
    }
}

fn no_key() -> String {
    format!("a key is {}", forms())
}

/// The path that follows `file:`.
pub(super) fn parse_path(text: &OsStr) -> Option<PathBuf> {
    strip_prefix(text, "file:")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// What stands before the first colon, which is UTF-8 in every key, and after it.
fn split(text: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = text.as_encoded_bytes();
    let id_len = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
    let id = std::str::from_utf8(&bytes[..id_len]).ok()?;
    Some((id, strip_prefix(text, id).and_then(|rest| strip_prefix(rest, ":"))))
}

#[cfg(unix)]
fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    use std::os::unix::ffi::OsStrExt;
    text.as_bytes().strip_prefix(prefix.as_bytes()).map(OsStr::from_bytes)
}

#[cfg(not(unix))]
fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    text.to_str()?.strip_prefix(prefix).map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_utf_8_and_all_else_is() {
        use std::os::unix::ffi::OsStrExt;
        let parse = |bytes: &'static [u8]| KeySpec::parse(OsStr::from_bytes(bytes));
        assert!(parse(b"raw:file:k\xFF").is_ok() && parse(b"passphrase:file:k\xFF").is_ok());
        for wrong in [&b"local:k\xFF"[..], b"raw:k\xFF", b"k\xFF", b"aws-kms:k\xFF"] {
            assert!(parse(wrong).is_err());
        }
        assert!(SlotSpec::parse(OsStr::from_bytes(b"raw:file:k\xFF")).is_ok());
        assert!(SlotSpec::parse(OsStr::from_bytes(b"raw:k\xFF")).is_err());
    }

    #[test]
    fn a_slot_is_named_by_its_key_or_by_itself() {
        assert!(matches!("local:work".parse(), Ok(SlotSpec::Of(_))));
        for name in ["local:work#00", "raw:00ff", "some-kms:arn:x"] {
            assert!(matches!(name.parse(), Ok(SlotSpec::Named(named)) if named == name));
        }
        assert!("work".parse::<SlotSpec>().is_err());
    }

    /// Nor does the refusal repeat it: error messages end up in logs.
    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
        for text in [
            "passphrase:hunter2",
            "raw:hunter2",
            "passphrase:fd:hunter2",
            "hunter2",
            "hunter2:hunter2",
            "local:",
            "passphrase:",
        ] {
            let refusal = text.parse::<KeySpec>().unwrap_err();
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
