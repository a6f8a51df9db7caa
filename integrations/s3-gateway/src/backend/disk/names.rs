//! Which file an object is in.
//!
//! ```text
//! photos/cat.jpg      photos/cat.jpg.sealstone
//! photos/             photos/%.sealstone            an empty component
//! a/../b              a/%2E%2E/b.sealstone
//! 50%                 50%25.sealstone
//! <300 bytes>         <200 bytes>%~/<100 bytes>.sealstone
//! ```
//!
//! Directories never end with `.sealstone` and files always do, so that `a` and `a/b` can both exist. Each key has one
//! path, and each path at most one key.

use std::fmt::Write;

/// What the names of our own directories begin with.
pub(super) const PRIVATE: &str = ".sealstone-gateway";
/// The end of every object's file name.
const SUFFIX: &str = ".sealstone";
/// The end of the name of a directory that contains the rest of a component, which is too long for one name.
const CONTINUED: &str = "%~";
/// The bytes of a component in one name. File systems take 255.
const MAX_NAME: usize = 200;

/// Whether S3 allows the name for a new bucket. No such name leads out of a directory.
pub(super) fn is_bucket(name: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| outer(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().copied().is_some_and(outer)
        && bytes.last().copied().is_some_and(outer)
        && !name.contains("..")
}

/// The path of an object's file in its bucket.
pub(super) fn path(key: &str) -> String {
    let mut path = String::with_capacity(key.len() + SUFFIX.len());
    let mut components = key.split('/').peekable();
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        push_component(&mut path, component, is_last);
        path.push_str(if is_last { SUFFIX } else { "/" });
    }
    path
}

/// What a name in a directory contributes to a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The end of a key.
    Object(String),
    /// The middle of keys, with the slash unless the component continues.
    Directory(String),
}

/// Decodes a name. The key that results has this path only if [`path`] says so.
pub(super) fn entry(name: &str, is_directory: bool) -> Option<Entry> {
    if !is_directory {
        return unescape(name.strip_suffix(SUFFIX)?).map(Entry::Object);
    }
    if let Some(piece) = name.strip_suffix(CONTINUED) {
        return unescape(piece).map(Entry::Directory);
    }
    let mut text = unescape(name).filter(|_| !name.starts_with(PRIVATE) && !name.ends_with(SUFFIX))?;
    text.push('/');
    Some(Entry::Directory(text))
}

fn push_component(path: &mut String, component: &str, is_last: bool) {
    let mut name = String::with_capacity(component.len());
    let mut begin = 0;
    for (at, char) in component.char_indices() {
        let escape = char == '%' || char.is_control();
        let len = if escape { 3 * char.len_utf8() } else { char.len_utf8() };
        if name.len() + len > MAX_NAME {
            path.push_str(&name);
            path.push_str(CONTINUED);
            path.push('/');
            name.clear();
            begin = at;
        }
        let is_private = name.is_empty() && component[at..].starts_with(PRIVATE);
        push_escaped(&mut name, char, escape || is_private);
    }
    match &component[begin..] {
        "" => path.push('%'),
        dots @ ("." | "..") => dots.chars().for_each(|char| push_escaped(path, char, true)),
        _ => push_name(path, &name, is_last),
    }
}

fn push_name(path: &mut String, name: &str, is_last: bool) {
    match name.strip_suffix(SUFFIX).filter(|_| !is_last) {
        Some(start) => {
            path.push_str(start);
            push_escaped(path, '.', true);
            path.push_str(&SUFFIX[1..]);
        }
        None => path.push_str(name),
    }
}

fn push_escaped(out: &mut String, char: char, escape: bool) {
    if !escape {
        out.push(char);
        return;
    }
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(out, "%{byte:02X}");
    }
}

fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut pieces = name.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key that names of directories and a file result in.
    fn key(path: &str) -> Option<String> {
        let (directories, file) = path.rsplit_once('/').unwrap_or(("", path));
        let mut key = String::new();
        for name in directories.split('/').filter(|name| !name.is_empty()) {
            match entry(name, true)? {
                Entry::Directory(text) => key.push_str(&text),
                Entry::Object(_) => return None,
            }
        }
        match entry(file, false)? {
            Entry::Object(text) => Some(key + &text),
            Entry::Directory(_) => None,
        }
    }

    #[test]
    fn natural_keys_have_natural_paths() {
        for (key, expected) in [
            ("photos/cat.jpg", "photos/cat.jpg.sealstone"),
            ("photos/", "photos/%.sealstone"),
            ("/", "%/%.sealstone"),
            ("a//b", "a/%/b.sealstone"),
            ("../x", "%2E%2E/x.sealstone"),
            (".", "%2E.sealstone"),
            ("...", "....sealstone"),
            ("50%", "50%25.sealstone"),
            ("x.sealstone", "x.sealstone.sealstone"),
            ("x.sealstone/y", "x%2Esealstone/y.sealstone"),
            (".sealstone/state", "%2Esealstone/state.sealstone"),
            (".sealstone-gateway/x", "%2Esealstone-gateway/x.sealstone"),
            (
                ".sealstone-gateway.sealstone/x",
                "%2Esealstone-gateway%2Esealstone/x.sealstone",
            ),
            ("a\0b\n", "a%00b%0A.sealstone"),
            ("naïve \\ *", "naïve \\ *.sealstone"),
        ] {
            assert_eq!(path(key), expected);
        }
    }

    #[test]
    fn bucket_names_lead_nowhere_else() {
        for name in ["abc", "a.b", "0-9", &"a".repeat(63)] {
            assert!(is_bucket(name), "{name}");
        }
        for name in [
            "",
            "ab",
            "..",
            "../x",
            "a/b",
            ".abc",
            "abc.",
            "a..b",
            "ABC",
            "a_b",
            "abc\0",
            "-ab",
            &"a".repeat(64),
        ] {
            assert!(!is_bucket(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn each_key_has_one_path(key in r"([a./%~\x00é-]|\.sealstone|\.sealstone-gateway|%2E|\PC|[a%é]{150,400}){1,8}") {
            let path = path(&key);
            prop_assert_eq!(self::key(&path), Some(key));
            for name in path.split('/') {
                prop_assert!((1..=255).contains(&name.len()) && name != "." && name != ".." && !name.starts_with(PRIVATE));
                prop_assert!(!name.contains('\0'));
            }
            let (directories, file) = path.rsplit_once('/').unwrap_or(("", &path));
            prop_assert!(file.ends_with(SUFFIX));
            prop_assert!(directories.split('/').all(|name| !name.ends_with(SUFFIX)));
        }

        #[test]
        fn names_of_any_form_do_not_panic(name in r"(%|[0-9a-fA-F]|é|~|\.sealstone|\PC){0,8}", is_directory: bool) {
            let _ = entry(&name, is_directory);
        }
    }
}
