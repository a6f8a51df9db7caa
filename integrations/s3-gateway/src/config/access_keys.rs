//! The access keys of clients.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use s3s::auth::SecretKey;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::ConfigError;
use crate::sys;

/// The access keys of clients: ids and their secrets.
#[derive(Clone)]
pub struct AccessKeys(Vec<(String, SecretKey)>);

/// A thousand keys of AWS's length are a tenth of this.
const MAX_FILE: u64 = 1024 * 1024;

impl AccessKeys {
    /// One key.
    pub fn one(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self(vec![(id.into(), SecretKey::from(secret.into()))])
    }

    /// The key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    ///
    /// # Errors
    /// One of the variables is not set, or empty.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Ok(Self::one(id, secret)),
            _ => Err(ConfigError::NoAccessKeys),
        }
    }

    /// The keys in a file: `ID:SECRET` on each line, except for empty lines and those that begin with `#`.
    ///
    /// # Errors
    /// The file cannot be read, is open to other users, has no key, an id twice, or a line of another form.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
        let file = File::open(path).map_err(unreadable)?;
        // Metadata of the open file, so that the file checked is the file read.
        if sys::is_open_to_others(&file.metadata().map_err(unreadable)?) {
            return Err(ConfigError::OpenToOthers(path.to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
        let mut keys: Vec<(String, SecretKey)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line.split_once(':').filter(|(id, secret)| {
                let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
                plain(id) && plain(secret) && !id.contains('/') && keys.iter().all(|(known, _)| known != id)
            });
            let (id, secret) = pair.ok_or_else(|| ConfigError::AccessKeyLine(path.to_owned(), number))?;
            keys.push((id.to_owned(), SecretKey::from(secret)));
        }
        if keys.is_empty() {
            return Err(ConfigError::NoAccessKeys);
        }
        Ok(Self(keys))
    }

    /// The secret of an id. How long this takes tells nothing of the ids, which may be guessed at.
    pub(crate) fn secret(&self, id: &str) -> Option<&SecretKey> {
        let mut found = u32::MAX;
        for (index, (known, _)) in (0..).zip(&self.0) {
            found.conditional_assign(&index, known.as_bytes().ct_eq(id.as_bytes()));
        }
        let (_, secret) = self.0.get(usize::try_from(found).ok()?)?;
        Some(secret)
    }
}

/// Ids are no secrets.
impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AccessKeys, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        AccessKeys::from_file(file.path())
    }

    #[test]
    fn a_file_has_a_key_on_each_line() {
        let keys = read("# the backup job\nBACKUP:s3cr/et+1:2\n\n  READER:two \n").unwrap();
        assert_eq!(keys.secret("BACKUP").unwrap().expose(), "s3cr/et+1:2");
        assert_eq!(keys.secret("READER").unwrap().expose(), "two");
        assert!(keys.secret("BACKU").is_none() && keys.secret("").is_none());
        assert_eq!(format!("{keys:?}"), r#"{"BACKUP", "READER"}"#);
    }

    #[test]
    fn a_line_that_is_no_key_is_named_by_its_number_alone() {
        for text in [
            "ok:secret\nhunter2",
            "hunter2:",
            ":hunter2",
            "a b:hunter2",
            "ok:1\nok:hunter2",
        ] {
            let error = read(text).unwrap_err();
            let ConfigError::AccessKeyLine(_, line) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(*line, text.lines().count());
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(matches!(read("# none\n"), Err(ConfigError::NoAccessKeys)));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "id:secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o666] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = AccessKeys::from_file(file.path()).unwrap_err();
            assert!(matches!(error, ConfigError::OpenToOthers(_)), "{mode:o}");
        }
    }
}
