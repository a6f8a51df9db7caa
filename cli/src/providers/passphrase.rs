//! Passphrases: from the terminal, a program, a file or a descriptor. One to seal with has to be one that can be typed
//! again.

use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};

use sealstone::{
    BoxFuture, DataKey, Decryptor, EncryptionContext, Error, ExpectedContext, Header, KeyMatch, KeyProvider,
    Passphrase, ProviderError, ProviderErrorClass, WrappedKey,
};
use zeroize::{Zeroize, Zeroizing};

use crate::args::Common;
use crate::exit::{Code, Failure};
use crate::io::{Descriptor, Source, Stream};
use crate::key_spec::{KeySpec, PassphraseFrom};
use crate::prompt;
use crate::report::Report;

/// The longest passphrase, in bytes: more is a wrong file.
const MAX_LEN: usize = 4096;
/// How often a person may try.
const TRIES: usize = 3;
/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// The program that provides passphrases instead of the terminal: the option's, or the environment's.
fn command(common: &Common) -> Option<String> {
    let set = || std::env::var("SEALSTONE_PASSPHRASE_COMMAND").ok();
    let command = common.passphrase_command.clone().or_else(set);
    command.filter(|command| !command.trim().is_empty())
}

/// Refuses a program that none of the keys to seal with would ask.
pub(crate) fn check_command(specs: &[KeySpec], common: &Common) -> Result<(), Failure> {
    let asks = specs.contains(&KeySpec::Passphrase(PassphraseFrom::Terminal));
    if common.passphrase_command.is_some() && !asks {
        return Err(Failure::usage(
            "--passphrase-command is for --key passphrase, which is not given: nothing was encrypted",
        ));
    }
    Ok(())
}

/// A passphrase to seal with.
pub(super) fn new(from: &PassphraseFrom, common: &Common) -> Result<Passphrase, Failure> {
    let (place, text) = match (from, command(common)) {
        (PassphraseFrom::Terminal, None) => return provider(prompt::new_passphrase()?),
        (PassphraseFrom::Terminal, Some(command)) => from_command(&command)?,
        (from, _) => read(from)?,
    };
    if let Some(fault) = fault(&text) {
        return Err(Failure::usage(format!("{place} {fault}: nothing was encrypted")));
    }
    provider(text)
}

/// A passphrase to open with, from where no person is asked; `None` for the terminal.
pub(super) fn stored(from: &PassphraseFrom, common: &Common) -> Result<Option<Passphrase>, Failure> {
    let (_, mut text) = match (from, command(common)) {
        (PassphraseFrom::Terminal, None) => return Ok(None),
        (PassphraseFrom::Terminal, Some(command)) => from_command(&command)?,
        (from, _) => read(from)?,
    };
    if let Some(rest) = text.strip_prefix(BYTE_ORDER_MARK) {
        text = Zeroizing::new(rest.to_owned());
    }
    provider(text).map(Some)
}

/// Why the text cannot be typed at a prompt, where it may have to be one day.
fn fault(text: &str) -> Option<&'static str> {
    let is_untypable = |char: char| char.is_control() && char != '\t';
    if text.starts_with(BYTE_ORDER_MARK) {
        Some("begins with a byte order mark, which cannot be typed again; save it as UTF-8 without one")
    } else if text.contains(['\n', '\r']) {
        Some("has more than one line, and a passphrase is one line; a blank last line counts")
    } else if text.contains(is_untypable) {
        Some("has control characters such as NUL in it, which cannot be typed again")
    } else {
        None
    }
}

/// Hands the text over without a copy: the engine wipes it.
fn provider(mut text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    Ok(Passphrase::new(std::mem::take(&mut *text))?)
}

/// What a file or descriptor has, and what messages call it. One line end after it is not part of it.
fn read(from: &PassphraseFrom) -> Result<(String, Zeroizing<String>), Failure> {
    let place = match from {
        PassphraseFrom::File(path) => Source::named(path),
        PassphraseFrom::Descriptor(number) => Source::Descriptor(Descriptor(*number)),
        PassphraseFrom::Terminal => return Ok(("the terminal".to_owned(), prompt::new_passphrase()?)),
    };
    let action = format!("reading the passphrase from {place}");
    let mut text = read_all(place.open(&action)?).map_err(|error| Failure::io(&action, &error))?;
    let len = text.trim_end_matches(['\r', '\n']).len();
    if text.len() - len <= "\r\n".len() && !text[len..].starts_with("\n\n") {
        text.truncate(len);
    }
    let place = place.to_string();
    Ok((place.clone(), not_empty(text, &place)?))
}

fn read_all(stream: Stream) -> io::Result<Zeroizing<String>> {
    // The room is there from the start, so that no copy is left where a buffer grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    stream.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)?;
    text(&bytes)
}

/// Runs a program, split into words as a shell does and run without one. The first line of what it writes is the
/// passphrase. Messages name the program, and nothing of what it wrote.
fn from_command(command: &str) -> Result<(String, Zeroizing<String>), Failure> {
    let words = shlex::split(command).unwrap_or_default();
    let [name, args @ ..] = words.as_slice() else {
        return Err(Failure::usage(
            "the passphrase command cannot be split into words: is a quote missing?",
        ));
    };
    let place = format!("the passphrase command {name}");
    let failed = |error: io::Error| Failure::io(format_args!("running {place}"), &error);
    // Standard input may carry data.
    let mut child = Command::new(name)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let line = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), first_line);
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Failure::new(Code::NoAccess, format!("{place} failed ({status})")));
    }
    let line = line.map_err(|error| Failure::io(format_args!("reading from {place}"), &error))?;
    let text = not_empty(line, &place)?;
    Ok((place, text))
}

/// The first line; what follows is read, so that the program can end, and wiped.
fn first_line(mut output: ChildStdout) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    let mut piece = Zeroizing::new([0; 512]);
    let mut ended = false;
    loop {
        let count = match output.read(piece.as_mut_slice()) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = &piece[..count];
        let end = read.iter().position(|&byte| byte == b'\n').unwrap_or(count);
        if !ended {
            let room = MAX_LEN + 1 - line.len();
            line.extend_from_slice(&read[..end.min(room)]);
        }
        ended |= end < count;
        piece.zeroize();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    text(&line)
}

fn text(bytes: &[u8]) -> io::Result<Zeroizing<String>> {
    if bytes.len() > MAX_LEN {
        return Err(io::Error::other("longer than 4096 bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn not_empty(text: Zeroizing<String>, place: &str) -> Result<Zeroizing<String>, Failure> {
    if text.trim_start_matches(BYTE_ORDER_MARK).is_empty() {
        return Err(Failure::usage(format!(
            "{place} has no passphrase: an empty one protects nothing"
        )));
    }
    Ok(text)
}

/// A passphrase that a person typed, for the object it was last tried on.
#[derive(Debug, Clone)]
pub(super) struct Asked(Arc<Passphrase>);

impl Asked {
    /// The passphrase for an object, as a provider: `earlier` if that opens it, or what a person types within three
    /// tries. Without the object's context nothing can be tried beforehand, and what is typed first is taken.
    pub(super) fn for_object(
        earlier: Option<&Self>,
        (header, context): (&Header, Option<&EncryptionContext>),
        name: &str,
        report: &Report,
    ) -> Result<(Self, super::Provider), Failure> {
        let mut left = TRIES;
        let mut earlier = earlier.cloned();
        loop {
            let typed = earlier.is_none();
            let asked = match earlier.take() {
                Some(asked) => asked,
                None => Self(Arc::new(provider(prompt::passphrase_of(name)?)?)),
            };
            let Some(context) = context else {
                return Ok((asked.clone(), asked.0));
            };
            left -= usize::from(typed);
            let tried = Arc::new(Tried::new(asked.0.clone()));
            match opens(tried.clone(), header, context) {
                Ok(()) => return Ok((asked, tried)),
                Err(Error::Provider(error)) if error.class == ProviderErrorClass::BadCiphertext && left > 0 => {
                    if typed {
                        report.note(&format!("{}; try again", error.message));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether the passphrase opens the object. Not whether it unwraps the slot: a slot can be made that unwraps under many
/// passphrases, and whoever sees after which of them there is no further question would know which is the right one.
fn opens(passphrase: Arc<Tried>, header: &Header, context: &EncryptionContext) -> Result<(), Error> {
    Decryptor::new(passphrase)
        .with_context(ExpectedContext::Exact(context.clone()))
        .unlock(header.clone())
        .map(drop)
}

/// A passphrase that was tried. What that took, a good part of a second, is not done again.
#[derive(Debug)]
struct Tried {
    passphrase: Arc<Passphrase>,
    unwrapped: OnceLock<Unwrapped>,
}

#[derive(Debug)]
struct Unwrapped {
    slot: WrappedKey,
    context: EncryptionContext,
    data_key: DataKey,
}

impl Tried {
    fn new(passphrase: Arc<Passphrase>) -> Self {
        Self {
            passphrase,
            unwrapped: OnceLock::new(),
        }
    }
}

impl KeyProvider for Tried {
    fn id(&self) -> &str {
        self.passphrase.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.passphrase.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.passphrase.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        let is_this = |known: &&Unwrapped| known.slot == *wrapped && known.context == *context;
        if let Some(known) = self.unwrapped.get().filter(is_this) {
            return Box::pin(std::future::ready(Ok(copy_of(&known.data_key))));
        }
        Box::pin(async move {
            let data_key = self.passphrase.unwrap_key(wrapped, context).await?;
            self.unwrapped.get_or_init(|| Unwrapped {
                slot: wrapped.clone(),
                context: context.clone(),
                data_key: copy_of(&data_key),
            });
            Ok(data_key)
        })
    }
}

fn copy_of(data_key: &DataKey) -> DataKey {
    DataKey::filled_by(|copy| copy.copy_from_slice(data_key.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_typed_again_is_found() {
        for typable in ["correct horse", " a ", "é漢🦀", "a\tb", "a\u{FEFF}"] {
            assert_eq!(fault(typable), None, "{typable:?}");
        }
        for (text, words) in [
            ("\u{FEFF}a", "byte order mark"),
            ("a\nb", "more than one line"),
            ("a\n\n", "more than one line"),
            ("a\rb", "more than one line"),
            ("a\0", "NUL"),
            ("a\u{1b}", "control"),
            ("a\u{85}", "control"),
        ] {
            assert!(fault(text).is_some_and(|fault| fault.contains(words)), "{text:?}");
        }
    }
}
