//! What a file that is no object is, where its first bytes tell.

use sealstone::Error;
use sealstone::positioned::ReadAt;

use crate::exit::Failure;

/// Bytes that tell.
const LEN: usize = 32;

/// The failure, with what the file is if it is known.
pub(super) fn explain(error: Error, start: impl FnOnce(&mut [u8]) -> usize) -> Failure {
    if !matches!(error, Error::NotSealstone { hint: None }) {
        return error.into();
    }
    let mut bytes = [0; LEN];
    let len = start(&mut bytes).min(LEN);
    match describe(&bytes[..len]) {
        Some(kind) => {
            let code = Failure::from(error).code;
            Failure::new(code, format!("not a sealstone object: {kind}"))
        }
        None => error.into(),
    }
}

/// Reads the first bytes of a file.
pub(super) fn start_of(file: &impl ReadAt) -> impl FnOnce(&mut [u8]) -> usize {
    move |bytes| file.read_at(bytes, 0).unwrap_or(0)
}

fn describe(start: &[u8]) -> Option<String> {
    if start.is_empty() {
        return Some("it is empty; an object has 8264 bytes at least, also that of an empty file".to_owned());
    }
    const COMPRESSED: [(&[u8], &str, &str); 5] = [
        (b"\x1f\x8b", "gzip", "gzip -d"),
        (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
        (b"\xfd7zXZ\0", "xz", "xz -d"),
        (b"BZh", "bzip2", "bzip2 -d"),
        (b"PK\x03\x04", "zip", "unzip"),
    ];
    const ENCRYPTED: [(&[u8], &str); 5] = [
        (b"age-encryption.org/", "age"),
        (b"-----BEGIN AGE ENCRYPTED", "age"),
        (b"-----BEGIN PGP MESSAGE", "gpg"),
        (b"Salted__", "openssl"),
        (b"-----BEGIN", "another program"),
    ];
    if let Some((_, name, command)) = COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Some(format!(
            "it is {name} data; if that is a compressed object, decompress it first: {command}"
        ));
    }
    let found = ENCRYPTED.iter().find(|(magic, _)| start.starts_with(magic));
    found.map(|(_, name)| format!("it looks like a file of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_named() {
        for (start, words) in [
            (&b""[..], "empty"),
            (b"\x1f\x8b\x08\0", "gzip -d"),
            (b"PK\x03\x04", "unzip"),
            (b"age-encryption.org/v1", "of age"),
            (b"-----BEGIN PGP MESSAGE-----", "of gpg"),
        ] {
            let told = explain(Error::NotSealstone { hint: None }, |bytes| {
                bytes[..start.len()].copy_from_slice(start);
                start.len()
            });
            assert!(told.message.contains(words), "{told:?}");
        }
        assert!(describe(b"a text").is_none());
    }
}
