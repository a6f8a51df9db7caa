//! What `--key` says: where a key is. A key itself never stands on the command line, which every user can see.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use sealstone::KeyRing;

use crate::kms::{self, KmsKey};

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// A named key of the key ring.
    Local(String),
    /// A raw 32-byte key in a file.
    RawFile(PathBuf),
    /// A passphrase.
    Passphrase(PassphraseFrom),
    /// A key of AWS KMS.
    AwsKms(KmsKey),
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseFrom {
    /// The terminal.
    Terminal,
    /// A file.
    File(PathBuf),
    /// An open file descriptor.
    Descriptor(u32),
}

impl KeySpec {
    /// Takes what `--key` says. A path in it need not be UTF-8, as file names need not be.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        if let Some(text) = text.to_str() {
            return text.parse();
        }
        let path = |prefix| strip_prefix(text, prefix).map(PathBuf::from);
        let raw = path("raw:file:").map(Self::RawFile);
        raw.or_else(|| path("passphrase:file:").map(|path| Self::Passphrase(PassphraseFrom::File(path))))
            .ok_or_else(|| "a key is UTF-8 text, but for the PATH in raw:file:PATH and passphrase:file:PATH".to_owned())
    }
}

impl FromStr for KeySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "passphrase" => Ok(Self::Passphrase(PassphraseFrom::Terminal)),
            Some(("local", name)) if KeyRing::is_key_name(name) => Ok(Self::Local(name.to_owned())),
            Some(("raw", rest)) => parse_path(rest).map(Self::RawFile).ok_or_else(|| {
                "a raw key comes from a file: raw:file:PATH; on the command line every user could see it".to_owned()
            }),
            Some(("passphrase", rest)) => parse_passphrase(rest).map(Self::Passphrase),
            Some((kms::ID, key)) => kms::parse(key).map(Self::AwsKms),
            Some(("local", _)) => Err("a key name is 1 to 64 letters, digits, '.', '_' and '-'".to_owned()),
            _ => Err(
                "a key is local:NAME, raw:file:PATH, passphrase, passphrase:file:PATH, passphrase:fd:N or \
                      aws-kms:KEY[@REGION], where KEY is an ARN, an id or alias/NAME"
                    .to_owned(),
            ),
        }
    }
}

/// What follows `prefix` in text that is not UTF-8.
#[cfg(unix)]
fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    use std::os::unix::ffi::OsStrExt;
    text.as_bytes().strip_prefix(prefix.as_bytes()).map(OsStr::from_bytes)
}

#[cfg(not(unix))]
fn strip_prefix<'a>(_: &'a OsStr, _: &str) -> Option<&'a OsStr> {
    None
}

/// Which slots of an object are meant: by their key, or one by the name that `inspect` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotSpec {
    /// Those of a key.
    Of(KeySpec),
    /// The one of this name, `PROVIDER:KEY ID`; its key need not be there.
    Named(String),
}

impl SlotSpec {
    /// Takes what `--remove` says.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        match text.to_str() {
            Some(text) => text.parse(),
            None => KeySpec::parse(text).map(Self::Of),
        }
    }
}

impl FromStr for SlotSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(spec) => Ok(Self::Of(spec)),
            Err(_) if text.contains(':') => Ok(Self::Named(text.to_owned())),
            Err(error) => Err(format!(
                "{error}; or a slot is PROVIDER:KEY ID, as `sealstone inspect` shows it"
            )),
        }
    }
}

fn parse_passphrase(text: &str) -> Result<PassphraseFrom, String> {
    if let Some(path) = parse_path(text) {
        return Ok(PassphraseFrom::File(path));
    }
    match text.strip_prefix("fd:").map(str::parse::<u32>) {
        Some(Ok(1 | 2)) => Err("descriptors 1 and 2 are for output; open another one".to_owned()),
        Some(Ok(descriptor)) => Ok(PassphraseFrom::Descriptor(descriptor)),
        Some(Err(_)) => Err("passphrase:fd:N takes the number of an open file descriptor".to_owned()),
        None => Err(
            "a passphrase comes from the terminal (passphrase), a file (passphrase:file:PATH) or a descriptor \
             (passphrase:fd:N); on the command line every user could see it"
                .to_owned(),
        ),
    }
}

fn parse_path(text: &str) -> Option<PathBuf> {
    text.strip_prefix("file:")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_understood() {
        for (text, spec) in [
            ("local:work", KeySpec::Local("work".to_owned())),
            ("raw:file:a:b", KeySpec::RawFile("a:b".into())),
            ("passphrase", KeySpec::Passphrase(PassphraseFrom::Terminal)),
            (
                "passphrase:file:p",
                KeySpec::Passphrase(PassphraseFrom::File("p".into())),
            ),
            ("passphrase:fd:3", KeySpec::Passphrase(PassphraseFrom::Descriptor(3))),
        ] {
            assert_eq!(text.parse(), Ok(spec));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_utf_8_and_all_else_is() {
        use std::os::unix::ffi::OsStrExt;
        let parse = |bytes: &'static [u8]| KeySpec::parse(OsStr::from_bytes(bytes));
        let path = PathBuf::from(OsStr::from_bytes(b"k\xFF"));
        assert_eq!(parse(b"raw:file:k\xFF"), Ok(KeySpec::RawFile(path.clone())));
        let passphrase = KeySpec::Passphrase(PassphraseFrom::File(path));
        assert_eq!(parse(b"passphrase:file:k\xFF"), Ok(passphrase));
        for wrong in [&b"local:k\xFF"[..], b"raw:k\xFF", b"k\xFF", b"aws-kms:k\xFF"] {
            assert!(parse(wrong).is_err());
        }
        assert!(SlotSpec::parse(OsStr::from_bytes(b"raw:file:k\xFF")).is_ok());
    }

    #[test]
    fn a_slot_is_named_by_its_key_or_by_itself() {
        let of_work = SlotSpec::Of(KeySpec::Local("work".to_owned()));
        assert_eq!("local:work".parse(), Ok(of_work));
        for name in ["local:work#00", "raw:00ff", "some-kms:arn:x"] {
            assert_eq!(name.parse(), Ok(SlotSpec::Named(name.to_owned())));
        }
        assert!("work".parse::<SlotSpec>().is_err());
    }

    /// Nor does the refusal repeat it: error messages end in logs.
    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
        for text in [
            "passphrase:hunter2",
            "raw:hunter2",
            "passphrase:fd:hunter2",
            "hunter2",
            "local:",
            "passphrase:",
        ] {
            let refusal = text.parse::<KeySpec>().unwrap_err();
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
