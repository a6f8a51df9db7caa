//! From an error to an exit code and one line that says what to do.

use std::fmt;
use std::io;

use sealstone::{Error, ProviderError, ProviderErrorClass};

use crate::kms;

/// The id of the provider of passphrases, as slots name it.
const PASSPHRASE: &str = "passphrase";

/// The exit codes, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Anything else.
    Other = 1,
    /// The command line asks for something that is not done.
    Usage = 2,
    /// Not a sealstone object, or one of an unknown version.
    NotSealstone = 3,
    /// An input or a key is not there.
    NotFound = 4,
    /// The same call may succeed later.
    Temporary = 5,
    /// Altered, cut, exchanged, or of another context.
    NotAuthentic = 6,
    /// Access denied, a key's state, a wrong key, or no usable one.
    NoAccess = 7,
    /// The output is there already.
    OutputExists = 8,
    /// The person at the terminal said so: as a program that SIGINT ends.
    Interrupted = 130,
    /// Whoever read our output does not any more: as a program that SIGPIPE ends.
    PipeClosed = 141,
}

/// Why an input was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to exit with.
    pub(crate) code: Code,
    /// What to tell a person; may have several lines or control characters in it.
    pub(crate) message: String,
    /// Whether further inputs would fail alike, each after the same wait.
    pub(crate) ends_run: bool,
    /// Whether standard output is to be left alone, even by a report of the failure.
    pub(crate) spares_stdout: bool,
    /// Where the object ends, if what is wrong is that other bytes follow it.
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

    /// A request that is not done.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// A failed call of the operating system.
    pub(crate) fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(io_code(error), format!("{action}: {error}"))
    }

    /// The same with more to tell.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(more);
        self
    }

    /// Whether to end without a word.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.code, Code::PipeClosed | Code::Interrupted)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Self::new(code(&error), fact(&error));
        failure.ends_run = matches!(&error, Error::Provider(error) if error.is_retryable());
        if let Error::TrailingData { offset } = error {
            failure.object_length = Some(offset);
        }
        match advice(&error) {
            Some(advice) => failure.and(&advice),
            None => failure,
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Error::from(error).into()
    }
}

/// What happened. Of a passphrase slot nothing is said but that: its name is how its key is derived.
fn fact(error: &Error) -> String {
    match error {
        Error::Provider(error) if error.provider == PASSPHRASE => error.message.clone(),
        // Of its file the key ring says all there is to say.
        Error::Provider(error) if error.provider == "local" && error.class != ProviderErrorClass::BadCiphertext => {
            error.message.clone()
        }
        _ => shorten_slots(&error.to_string()),
    }
}

/// The text with the names of passphrase slots as people know them.
pub(crate) fn shorten_slots(text: &str) -> String {
    let mut parts = text.split("passphrase:argon2id,");
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

fn code(error: &Error) -> Code {
    match error {
        Error::NotSealstone { .. } | Error::UnsupportedVersion { .. } => Code::NotSealstone,
        Error::HeaderTooLarge { .. }
        | Error::TooManySlots { .. }
        | Error::InvalidContext { .. }
        | Error::LastSlot
        | Error::OutputNotReplaceable { .. }
        | Error::Part(_)
        | Error::RangeOutOfBounds { .. } => Code::Usage,
        Error::HeaderDamaged { .. }
        | Error::HeaderTruncated { .. }
        | Error::HeaderOfAnotherPayload
        | Error::ContextMismatch(_)
        | Error::CommitmentMismatch { .. }
        | Error::ChunkAltered { .. }
        | Error::Truncated { .. }
        | Error::TrailingData { .. } => Code::NotAuthentic,
        Error::NoUsableKey { .. } | Error::UnreachableSlots { .. } | Error::UnprovedSlots { .. } => Code::NoAccess,
        Error::ForeignSlots { .. } => Code::NotAuthentic,
        Error::AmbiguousSlots { .. } => Code::Usage,
        Error::Locked { .. } => Code::Temporary,
        Error::Provider(error) => provider_code(error),
        Error::OutputExists(_) => Code::OutputExists,
        Error::Io { source, .. } => io_code(source),
        _ => Code::Other,
    }
}

fn provider_code(error: &ProviderError) -> Code {
    match error.class {
        class if class.is_retryable() => Code::Temporary,
        ProviderErrorClass::NotFound => Code::NotFound,
        ProviderErrorClass::Denied | ProviderErrorClass::KeyState | ProviderErrorClass::OtherKey => Code::NoAccess,
        // Of a passphrase nothing tells but that it does not open the slot. Other keys are known by their ids: if
        // the right one does not open the slot, the slot or the context is not what it was.
        ProviderErrorClass::BadCiphertext if error.provider == PASSPHRASE => Code::NoAccess,
        ProviderErrorClass::BadCiphertext => Code::NotAuthentic,
        // A region, an endpoint, a key that is not allowed: settings, not files that may be damaged.
        ProviderErrorClass::Configuration if error.provider == kms::ID => Code::Usage,
        _ => Code::Other,
    }
}

fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::PermissionDenied => Code::NoAccess,
        io::ErrorKind::AlreadyExists => Code::OutputExists,
        io::ErrorKind::BrokenPipe => Code::PipeClosed,
        _ => Code::Other,
    }
}

/// What to do about it, where the error itself does not say.
fn advice(error: &Error) -> Option<String> {
    let advice = match error {
        Error::NotSealstone { hint: None } => {
            "check the name: `sealstone encrypt` did not write it, or its header is stored apart: --header"
        }
        Error::HeaderDamaged { .. } => "neither copy of the header can be used: get another copy of the object",
        Error::HeaderTruncated { .. } | Error::Truncated { .. } => "copy or download it again, to its end",
        Error::HeaderOfAnotherPayload | Error::CommitmentMismatch { .. } | Error::ChunkAltered { .. } => {
            "get another copy of the object"
        }
        Error::TrailingData { offset } => {
            return Some(format!(
                "--object-length {offset} reads an object in a padded file or on a device; anywhere else, something was \
                 appended: get another copy of the object"
            ));
        }
        Error::ContextMismatch(_) => {
            "`sealstone inspect` shows the object's pairs: give them with --context and --context-supplied, or accept \
             the shown ones with --accept-context"
        }
        Error::NoUsableKey { slots, .. } => return Some(keys_to_add(slots)),
        Error::UnreachableSlots { slots } => {
            return Some(format!(
                "{}, or remove these slots with --drop-unreachable",
                keys_to_add(slots)
            ));
        }
        Error::ForeignSlots { .. } => {
            "find out who can write the object; --drop-unreachable removes these slots, and the object's own stay"
        }
        Error::AmbiguousSlots { .. } => "leave out --without-opening, or name one slot",
        Error::UnprovedSlots { .. } => {
            "add --key KEY of a slot that stays, or --without-opening if nobody here has one"
        }
        Error::LastSlot => "add a key in the same run: --add KEY",
        Error::GenerationLimit => "`sealstone rekey` makes a new object of it",
        Error::OutputExists(_) => "-f replaces it",
        Error::OutputNotReplaceable { .. } => "name another output with -o, or write into this one with -o - >FILE",
        Error::SourceChanged { .. } | Error::SourceVersionChanged { .. } => "try again when nothing writes to it",
        Error::Provider(error) if error.is_retryable() => "try again later",
        _ => return None,
    };
    Some(advice.to_owned())
}

/// Which `--key` each slot asks for.
pub(crate) fn keys_to_add(slots: &[String]) -> String {
    let mut keys: Vec<String> = slots.iter().map(|slot| key_for(slot)).collect();
    keys.sort();
    keys.dedup();
    format!("add {}", keys.join(" or "))
}

fn key_for(slot: &str) -> String {
    let (provider, key_id) = slot.split_once(':').unwrap_or((slot, ""));
    match provider {
        "local" => {
            let name = key_id.rsplit_once('#').map_or(key_id, |(name, _)| name);
            format!("--keyring FILE with the ring that has its key {name} (--key local:{name})")
        }
        "raw" => "--key raw:file:PATH".to_owned(),
        "passphrase" => "--key passphrase".to_owned(),
        // A header names what its writer likes: the key service of a stranger would learn who asks for what.
        kms::ID => format!("--key {slot}, if that key is yours,"),
        other => format!("a key of {other}, which this program cannot use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_answers_has_its_code() {
        for (class, provider, code) in [
            (ProviderErrorClass::Throttled, "some-kms", Code::Temporary),
            (ProviderErrorClass::Unavailable, "some-kms", Code::Temporary),
            (ProviderErrorClass::NotFound, "some-kms", Code::NotFound),
            (ProviderErrorClass::Denied, "some-kms", Code::NoAccess),
            (ProviderErrorClass::OtherKey, "some-kms", Code::NoAccess),
            (ProviderErrorClass::KeyState, "some-kms", Code::NoAccess),
            (ProviderErrorClass::BadCiphertext, "passphrase", Code::NoAccess),
            (ProviderErrorClass::BadCiphertext, "local", Code::NotAuthentic),
            (ProviderErrorClass::Configuration, "local", Code::Other),
            (ProviderErrorClass::Configuration, "aws-kms", Code::Usage),
        ] {
            let failure = Failure::from(ProviderError::new(class, provider, "words"));
            assert_eq!(failure.code, code, "{class:?} of {provider}");
            assert_eq!(failure.message.contains("try again later"), code == Code::Temporary);
        }
    }

    #[test]
    fn each_kind_of_slot_has_its_key_to_add() {
        let slots = [
            "local:work#00",
            "raw:00",
            "passphrase:argon2id",
            "aws-kms:arn",
            "some-kms:arn",
            "raw:11",
        ]
        .map(String::from);
        let advice = keys_to_add(&slots);
        for words in [
            "--key local:work",
            "--key raw:file:PATH",
            "--key passphrase",
            "--key aws-kms:arn",
            "a key of some-kms",
        ] {
            assert_eq!(advice.matches(words).count(), 1, "{words}: {advice}");
        }
    }

    #[test]
    fn a_passphrase_is_not_named_by_its_recipe() {
        let name = "passphrase:argon2id,m=65536,t=3,p=4,salt=00ff";
        let text = format!("for {name}, raw:00 ({name}); {name}");
        assert_eq!(
            shorten_slots(&text),
            "for a passphrase, raw:00 (a passphrase); a passphrase"
        );
        let error =
            ProviderError::new(ProviderErrorClass::BadCiphertext, PASSPHRASE, "wrong passphrase").with_key_id(name);
        assert_eq!(Failure::from(error).message, "wrong passphrase");
    }

    #[test]
    fn a_closed_pipe_ends_without_a_word() {
        let closed = Failure::from(Error::from_io("writing the output", io::ErrorKind::BrokenPipe.into()));
        assert!(closed.is_quiet() && closed.code as u8 == 141);
    }
}
