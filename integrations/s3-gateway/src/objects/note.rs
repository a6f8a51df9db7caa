//! What the gateway seals with an object's manifest: its checksum.
//!
//! ```text
//! version[1] = 1 | algorithm[1] | composite[1] | value[...]        or nothing: no checksum
//! ```

/// What an object's manifest says besides its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// The checksum of the plaintext.
    pub checksum: Option<Checksum>,
}

/// A checksum of an object's plaintext, as S3 defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Whether it is a checksum of the parts' checksums.
    pub composite: bool,
    /// The value, as the algorithm returns it.
    pub value: Vec<u8>,
}

/// The algorithms of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl ChecksumAlgorithm {
    /// All of them, with their codes in notes and the lengths of their values.
    const CODES: [(Self, u8, usize); 5] = [
        (Self::Crc32, 1, 4),
        (Self::Crc32c, 2, 4),
        (Self::Crc64Nvme, 3, 8),
        (Self::Sha1, 4, 20),
        (Self::Sha256, 5, 32),
    ];
}

const VERSION: u8 = 1;

impl Note {
    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Some(checksum) = &self.checksum else {
            return Vec::new();
        };
        let codes = ChecksumAlgorithm::CODES.iter();
        let code = codes.clone().find(|(algorithm, ..)| *algorithm == checksum.algorithm);
        let code = code.map_or(0, |(_, code, _)| *code);
        let mut bytes = vec![VERSION, code, checksum.composite.into()];
        bytes.extend_from_slice(&checksum.value);
        bytes
    }

    /// Parses a note; `None` if it is not one of the gateway, as of an object that another program joined.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let [VERSION, code, composite @ (0 | 1), value @ ..] = bytes else {
            return None;
        };
        let mut codes = ChecksumAlgorithm::CODES.iter();
        let (algorithm, _, len) = codes.find(|(_, known, _)| known == code)?;
        (value.len() == *len).then(|| Self {
            checksum: Some(Checksum {
                algorithm: *algorithm,
                composite: *composite == 1,
                value: value.to_vec(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_parsed_as_they_were_encoded() {
        assert_eq!(Note::decode(&Note::default().encode()), Some(Note::default()));
        for (algorithm, _, len) in ChecksumAlgorithm::CODES {
            for composite in [false, true] {
                let value = vec![7; len];
                let checksum = Some(Checksum {
                    algorithm,
                    composite,
                    value,
                });
                let note = Note { checksum };
                let bytes = note.encode();
                assert_eq!(Note::decode(&bytes), Some(note));
                assert_eq!(Note::decode(&bytes[..bytes.len() - 1]), None);
                assert_eq!(Note::decode(&[&bytes[..], &[0]].concat()), None);
            }
        }
    }

    #[test]
    fn other_notes_are_refused() {
        for bytes in [
            &[2, 1, 0, 0, 0, 0, 0][..],
            &[1, 9, 0, 0, 0, 0, 0],
            &[1, 1, 2, 0, 0, 0, 0],
            &[1],
        ] {
            assert_eq!(Note::decode(bytes), None);
        }
    }
}
