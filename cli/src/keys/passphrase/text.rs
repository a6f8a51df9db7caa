//! Where the text of a passphrase comes from, if not from the terminal: a program, a file or a descriptor.

use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};

use zeroize::{Zeroize, Zeroizing};

use crate::exit::{Code, Failure};
use crate::io::{Source, Stream};

/// The longest passphrase, in bytes: more is a wrong file.
const MAX_LEN: usize = 4096;
/// What some editors put before UTF-8 text.
pub(super) const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// Why the text cannot be typed at a prompt, where somebody may have to type it one day.
pub(super) fn fault(text: &str) -> Option<&'static str> {
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

/// What a file or descriptor has, and what messages call it. One line end after it is not part of it.
pub(super) fn read(place: &Source) -> Result<(String, Zeroizing<String>), Failure> {
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
    // Allocated at once, so that no copy is left where a buffer grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    stream.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)?;
    text(&bytes)
}

/// Runs a program, split into words as a shell does and run without one. The first line of what it writes is the
/// passphrase. Messages name the program, and nothing of what it wrote.
pub(super) fn from_command(command: &str) -> Result<(String, Zeroizing<String>), Failure> {
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
