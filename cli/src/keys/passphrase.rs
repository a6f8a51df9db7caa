//! Passphrases: from the terminal, a program, a file or a descriptor. One to seal with has to be one that can be typed
//! again.

mod asked;
mod text;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::rewrap::SlotChoice;
use sealstone::{Header, Passphrase};
use zeroize::Zeroizing;

pub(super) use self::asked::Asked;
use super::kind::{Key, Kind, Provider};
use super::spec::parse_path;
use super::{KeyOptions, KeySpec, slots};
use crate::exit::{Code, Failure};
use crate::io::{Descriptor, Source};
use crate::prompt;
use crate::report::Report;

const ID: &str = Passphrase::ID;
/// How the names of slots begin, which go on with how the key is derived.
const RECIPE: &str = "passphrase:argon2id,";

/// Where passphrases come from.
#[derive(Debug, clap::Args)]
pub(crate) struct PassphraseOptions {
    /// Take passphrases from the first line that this program prints, instead of the terminal; the text is split into
    /// words as in a shell, and run without one [default: $SEALSTONE_PASSPHRASE_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", help_heading = "Keys")]
    passphrase_command: Option<String>,
}

impl PassphraseOptions {
    /// The program that provides passphrases instead of the terminal: the option's, or the environment's.
    fn command(&self) -> Option<String> {
        let set = || std::env::var("SEALSTONE_PASSPHRASE_COMMAND").ok();
        let command = self.passphrase_command.clone().or_else(set);
        command.filter(|command| !command.trim().is_empty())
    }
}

/// The kind.
#[derive(Debug)]
pub(super) struct Passphrases;

impl Kind for Passphrases {
    fn id(&self) -> &'static str {
        ID
    }

    fn forms(&self) -> &'static [&'static str] {
        &["passphrase", "passphrase:file:PATH", "passphrase:fd:N"]
    }

    fn parse(&self, rest: Option<&OsStr>) -> Result<KeySpec, String> {
        let Some(rest) = rest else {
            return Ok(KeySpec::new(PassphraseFrom::Terminal));
        };
        if let Some(path) = parse_path(rest) {
            return Ok(KeySpec::new(PassphraseFrom::File(path)));
        }
        let number = rest.to_str().and_then(|rest| rest.strip_prefix("fd:"));
        match number.map(str::parse) {
            Some(Ok(1 | 2)) => Err("descriptors 1 and 2 are for output; open another one".to_owned()),
            Some(Ok(number)) => Ok(KeySpec::new(PassphraseFrom::Descriptor(number))),
            Some(Err(_)) => Err("passphrase:fd:N takes the number of an open file descriptor".to_owned()),
            None => Err(
                "a passphrase comes from the terminal (passphrase), a file (passphrase:file:PATH) or a descriptor \
                 (passphrase:fd:N); on the command line every user could see it"
                    .to_owned(),
            ),
        }
    }

    fn candidates(&self) -> Vec<String> {
        ["passphrase", "passphrase:file:", "passphrase:fd:"]
            .map(str::to_owned)
            .into()
    }

    fn check_options(&self, keys: &[KeySpec], options: &KeyOptions) -> Result<(), Failure> {
        if options.passphrase.passphrase_command.is_some() && !keys.iter().any(is_asked_for) {
            return Err(Failure::usage(
                "--passphrase-command is for --key passphrase, which is not given: nothing was encrypted",
            ));
        }
        Ok(())
    }

    fn waits_for(&self) -> Option<&'static str> {
        Some("deriving the key from the passphrase")
    }

    fn slot_name(&self, _: &str) -> String {
        "a passphrase".to_owned()
    }

    fn shorten(&self, text: String) -> String {
        let mut parts = text.split(RECIPE);
        let mut short = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let of_name = |char: char| char.is_ascii_alphanumeric() || char == '=' || char == ',';
            let end = part.find(|char| !of_name(char)).unwrap_or(part.len());
            let name = part[..end].trim_end_matches(',');
            short.push_str("a passphrase");
            short.push_str(&part[name.len()..]);
        }
        short
    }

    fn advice(&self, _: &str) -> String {
        "--key passphrase".to_owned()
    }

    /// The slot is not named: its name is how its key is derived.
    fn fact(&self, error: &ProviderError) -> Option<String> {
        Some(error.message.clone())
    }

    /// All that shows of a wrong passphrase is that it does not open the slot. Other keys are known by their ids: if the
    /// right one does not open the slot, the slot or the context is not what it was.
    fn code(&self, class: ProviderErrorClass) -> Option<Code> {
        (class == ProviderErrorClass::BadCiphertext).then_some(Code::NoAccess)
    }
}

/// Where a passphrase comes from.
#[derive(Debug, PartialEq, Eq)]
enum PassphraseFrom {
    /// The terminal, or the program that is asked instead.
    Terminal,
    /// A file.
    File(PathBuf),
    /// An open file descriptor.
    Descriptor(u32),
}

impl Key for PassphraseFrom {
    fn kind(&self) -> &'static dyn Kind {
        &Passphrases
    }

    fn seal_with(&self, _: &[KeySpec], options: &KeyOptions, _: &Report) -> Result<Provider, Failure> {
        let (place, text) = match (self.source(), options.passphrase.command()) {
            (Some(source), _) => text::read(&source)?,
            (None, Some(command)) => text::from_command(&command)?,
            (None, None) => return Ok(Arc::new(provider(prompt::new_passphrase()?)?)),
        };
        if let Some(fault) = text::fault(&text) {
            return Err(Failure::usage(format!("{place} {fault}: nothing was encrypted")));
        }
        Ok(Arc::new(provider(text)?))
    }

    /// A person, or the program instead, is asked only once an object needs it.
    fn open_with(&self, _: &KeyOptions) -> Result<Option<Provider>, Failure> {
        let Some(source) = self.source() else {
            return Ok(None);
        };
        let (_, text) = text::read(&source)?;
        Ok(Some(Arc::new(to_open_with(text)?)))
    }

    fn slots(&self, header: &Header, _: &KeyOptions) -> Result<SlotChoice, Failure> {
        Ok(slots::named(header, |slot| slot.provider == ID))
    }

    fn source(&self) -> Option<Source> {
        match self {
            Self::Terminal => None,
            Self::File(path) => Some(Source::named(path)),
            Self::Descriptor(number) => Some(Source::Descriptor(Descriptor(*number))),
        }
    }
}

/// Whether a person, or the program that is asked instead, provides this key.
pub(super) fn is_asked_for(key: &KeySpec) -> bool {
    key.downcast() == Some(&PassphraseFrom::Terminal)
}

/// Whether a passphrase can open the object.
pub(super) fn can_open(header: &Header) -> bool {
    header.slots().iter().any(|slot| slot.provider == ID)
}

/// The passphrase to open with that a program provides, if there is such a program.
pub(super) fn from_command(options: &KeyOptions) -> Result<Option<Passphrase>, Failure> {
    let command = options.passphrase.command();
    let text = command.map(|command| text::from_command(&command)).transpose()?;
    text.map(|(_, text)| to_open_with(text)).transpose()
}

/// What other programs put before the text is not part of it. Everything else may have been part of a passphrase.
fn to_open_with(mut text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    if let Some(rest) = text.strip_prefix(text::BYTE_ORDER_MARK) {
        text = Zeroizing::new(rest.to_owned());
    }
    provider(text)
}

/// Hands the text over without a copy: the engine wipes it.
fn provider(mut text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    Ok(Passphrase::new(std::mem::take(&mut *text))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_where_it_comes_from() {
        for (text, from) in [
            ("passphrase", PassphraseFrom::Terminal),
            ("passphrase:file:p", PassphraseFrom::File("p".into())),
            ("passphrase:fd:3", PassphraseFrom::Descriptor(3)),
        ] {
            let spec = text.parse::<KeySpec>().unwrap();
            assert_eq!(spec.downcast(), Some(&from));
        }
        for wrong in [
            "passphrase:",
            "passphrase:file:",
            "passphrase:fd:",
            "passphrase:fd:1",
            "passphrase:x",
        ] {
            assert!(wrong.parse::<KeySpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_does_not_name_the_slot() {
        let error = ProviderError::new(ProviderErrorClass::BadCiphertext, ID, "wrong passphrase");
        let failure = Failure::from(error.with_key_id("passphrase:argon2id,m=65536,t=3,p=4,salt=00ff"));
        assert_eq!((failure.code, &*failure.message), (Code::NoAccess, "wrong passphrase"));
    }
}
