//! From the engine's errors to exit codes, and to one line that says what to do.

use sealstone::error::{CompositeError, ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::{Error, Header};

use crate::exit::{Code, Failure, io_code};
use crate::keys::{keys_to_add, kind, shorten_slots};

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

/// What happened.
fn fact(error: &Error) -> String {
    let of_kind = match error {
        Error::Provider(error) => kind(&error.provider).and_then(|kind| kind.fact(error)),
        _ => None,
    };
    of_kind.unwrap_or_else(|| shorten_slots(&error.to_string()))
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
        Error::Composite(error) => composite_code(error),
        Error::OutputExists(_) => Code::OutputExists,
        Error::Io { source, .. } => io_code(source),
        _ => Code::Other,
    }
}

fn composite_code(error: &CompositeError) -> Code {
    match error {
        CompositeError::NotSeekable => Code::Usage,
        error if is_damage(error) => Code::NotAuthentic,
        _ => Code::Other,
    }
}

/// Whether the stored object is at fault.
fn is_damage(error: &CompositeError) -> bool {
    is_of_end(error)
        || matches!(
            error,
            CompositeError::InvalidManifest { .. }
                | CompositeError::ComponentExchanged { .. }
                | CompositeError::ChunkAltered { .. }
                | CompositeError::PaddingAltered { .. }
        )
}

/// Whether bytes that follow an object cause this, too.
fn is_of_end(error: &CompositeError) -> bool {
    matches!(
        error,
        CompositeError::ManifestLength { .. } | CompositeError::ManifestAltered | CompositeError::PayloadLength { .. }
    )
}

fn provider_code(error: &ProviderError) -> Code {
    if let Some(code) = kind(&error.provider).and_then(|kind| kind.code(error.class)) {
        return code;
    }
    match error.class {
        class if class.is_retryable() => Code::Temporary,
        ProviderErrorClass::NotFound => Code::NotFound,
        ProviderErrorClass::Denied | ProviderErrorClass::KeyState | ProviderErrorClass::OtherKey => Code::NoAccess,
        ProviderErrorClass::BadCiphertext => Code::NotAuthentic,
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
        Error::Composite(CompositeError::NotSeekable) => "name a file as the input, not `-` or a pipe",
        Error::Composite(error) if is_of_end(error) => {
            "--object-length N reads an object of N bytes in a padded file or on a device, where its end cannot be \
             searched for; anywhere else, get another copy of the object"
        }
        Error::Composite(error) if is_damage(error) => "get another copy of the object",
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
            "add --key KEY of a slot that stays, or --without-opening if you have none of them"
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

/// The failure of an object, with the keys that could open it instead, where the engine's text does not have them.
pub(crate) fn explain(failure: Failure, header: &Header) -> Failure {
    let others: Vec<_> = header.slots().iter().map(WrappedKey::name).collect();
    if failure.code == Code::NoAccess && others.len() > 1 && !failure.message.contains("add --key") {
        return failure.and(&format!("or {}", keys_to_add(&others)));
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::io;

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
        ] {
            let failure = Failure::from(ProviderError::new(class, provider, "words"));
            assert_eq!(failure.code, code, "{class:?} of {provider}");
            assert_eq!(failure.message.contains("try again later"), code == Code::Temporary);
        }
    }

    #[test]
    fn a_closed_pipe_ends_without_a_word() {
        let closed = Failure::from(Error::from_io("writing the output", io::ErrorKind::BrokenPipe.into()));
        assert!(closed.is_quiet() && closed.code as u8 == 141);
    }
}
