//! Text for terminals, logs and JSON. Names, contexts and answers come from anywhere: whatever would command a terminal,
//! break a line or turn the direction of writing is escaped here, and only here.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use base64ct::{Base64, Encoding};
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// The text in one line that a terminal shows and does not obey.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unsafe(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character ends a line, commands a terminal (C0, DEL, C1), or turns the direction of writing, which can make
/// one text look like another.
fn is_unsafe(char: char) -> bool {
    let turns = matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    char.is_control() || turns || matches!(char, '\u{2028}' | '\u{2029}')
}

/// A value as JSON in one line. Its strings are the same to a parser, and harmless to a terminal.
///
/// # Errors
/// Those of the value's own `Serialize`.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut line, Escaping))?;
    Ok(line)
}

/// serde_json itself escapes C0 alone.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = fragment;
        while let Some((at, char)) = plain.char_indices().find(|(_, char)| is_unsafe(*char)) {
            CompactFormatter.write_string_fragment(writer, &plain[..at])?;
            // None of them is beyond U+FFFF.
            write!(writer, "\\u{:04x}", u32::from(char))?;
            plain = &plain[at + char.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, plain)
    }
}

/// A path as people see it: bytes that are no UTF-8 as `\xff`.
pub(crate) fn path(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        shown.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// The path's bytes in base64, for JSON, whose strings cannot carry them; `None` if it is UTF-8.
pub(crate) fn path_bytes(path: &Path) -> Option<String> {
    let bytes = path.as_os_str().as_encoded_bytes();
    path.to_str().is_none().then(|| Base64::encode_string(bytes))
}

/// A number of bytes in units of 1024.
pub(crate) fn size(bytes: u64) -> impl fmt::Display {
    HumanBytes(bytes)
}

/// Bytes per second, in the same units.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "four digits are shown, and a cast from a float saturates"
)]
pub(crate) fn rate(bytes: u64, seconds: f64) -> impl fmt::Display {
    size((bytes as f64 / seconds.max(1e-9)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C0, DEL, C1, marks and overrides of direction, separators; and what must stay as it is.
    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(one_line("a\x1b[2Jb\nc\u{202E}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
        assert!(matches!(one_line("plain é 漢 🦀"), Cow::Borrowed(_)));
        let escaped = |range: std::ops::RangeInclusive<u32>| {
            range.filter_map(char::from_u32).all(|char| {
                let (text, json) = (char.to_string(), json(&char.to_string()).unwrap());
                let parsed: String = serde_json::from_slice(&json).unwrap();
                one_line(&text) != text && json.is_ascii() && parsed == text && !json.iter().any(|byte| *byte < b' ')
            })
        };
        for range in [
            0..=0x1F,
            0x7F..=0x9F,
            0x61C..=0x61C,
            0x200E..=0x200F,
            0x2028..=0x202E,
            0x2066..=0x2069,
        ] {
            assert!(escaped(range.clone()), "{range:x?}");
        }
        assert_eq!(
            json(&"a\"\u{9b}b\u{2028}é\\").unwrap(),
            r#""a\"\u009bb\u2028é\\""#.as_bytes()
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_bytes_of_a_path_are_not_lost() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"a\xFFb\xC3"));
        assert_eq!(path(odd), "a\\xffb\\xc3");
        assert_eq!(path_bytes(odd).as_deref(), Some("Yf9iww=="));
        assert_eq!(
            (path(Path::new("é")), path_bytes(Path::new("é"))),
            ("é".to_owned(), None)
        );
    }
}
