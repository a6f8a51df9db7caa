//! What the gateway seals with an object's manifest.
//!
//! ```text
//! checksum    1 | length[1] | algorithm[1] | composite[1] | value[...]      if the object has a checksum
//! completion  2 | length[1] | SHA-256[32] of the parts' receipts            if it was a multipart upload
//! ```

/// What an object's manifest says besides its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// The checksum of the plaintext.
    pub checksum: Option<Checksum>,
    /// Identifies the completion that made the object of an upload.
    pub completion: Option<[u8; 32]>,
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
    /// All of them, with their codes in notes.
    const CODES: [(Self, u8); 5] = [
        (Self::Crc32, 1),
        (Self::Crc32c, 2),
        (Self::Crc64Nvme, 3),
        (Self::Sha1, 4),
        (Self::Sha256, 5),
    ];

    /// S3's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The algorithm with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = Self::CODES.iter().map(|(algorithm, _)| *algorithm);
        all.into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The length of a value, in bytes.
    #[must_use]
    pub const fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn code(self) -> u8 {
        let found = Self::CODES.iter().find(|(known, _)| *known == self);
        found.map_or(0, |(_, code)| *code)
    }

    fn of_code(code: u8) -> Option<Self> {
        let found = Self::CODES.iter().find(|(_, known)| *known == code);
        found.map(|(algorithm, _)| *algorithm)
    }
}

const CHECKSUM: u8 = 1;
const COMPLETION: u8 = 2;

impl Note {
    /// The note's bytes, at most 70.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(checksum) = &self.checksum {
            let len = u8::try_from(checksum.value.len() + 2).unwrap_or(u8::MAX);
            bytes.extend([CHECKSUM, len, checksum.algorithm.code(), checksum.composite.into()]);
            bytes.extend_from_slice(&checksum.value);
        }
        if let Some(completion) = &self.completion {
            bytes.extend([COMPLETION, 32]);
            bytes.extend_from_slice(completion);
        }
        bytes
    }

    /// Parses a note; `None` if it is not one of the gateway, as of an object that another program joined.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut note = Self::default();
        while let [kind, len, rest @ ..] = bytes {
            let (value, rest) = rest.split_at_checked((*len).into())?;
            match (kind, value) {
                (&CHECKSUM, [code, composite @ (0 | 1), value @ ..]) if note == Self::default() => {
                    let algorithm = ChecksumAlgorithm::of_code(*code)?;
                    note.checksum = (value.len() == algorithm.value_len()).then(|| Checksum {
                        algorithm,
                        composite: *composite == 1,
                        value: value.to_vec(),
                    });
                    note.checksum.as_ref()?;
                }
                (&COMPLETION, value) if note.completion.is_none() => note.completion = Some(value.try_into().ok()?),
                _ => return None,
            }
            bytes = rest;
        }
        bytes.is_empty().then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_parsed_as_they_were_encoded() {
        for completion in [None, Some([9; 32])] {
            let mut notes = vec![Note {
                checksum: None,
                completion,
            }];
            for (algorithm, _) in ChecksumAlgorithm::CODES {
                for composite in [false, true] {
                    let value = vec![7; algorithm.value_len()];
                    let checksum = Some(Checksum {
                        algorithm,
                        composite,
                        value,
                    });
                    notes.push(Note { checksum, completion });
                }
            }
            for note in notes {
                let bytes = note.encode();
                assert_eq!(Note::decode(&bytes), Some(note));
                if let [all_but_last @ .., _] = &bytes[..] {
                    assert_eq!(Note::decode(all_but_last), None);
                }
                assert_eq!(Note::decode(&[&bytes[..], &[0]].concat()), None);
            }
        }
    }

    #[test]
    fn other_notes_are_refused() {
        let completion = [&[2, 32][..], &[9; 32]].concat();
        let checksum = vec![1, 6, 1, 0, 0, 0, 0, 0];
        for bytes in [
            vec![0],
            vec![3, 0],
            vec![1, 6, 9, 0, 0, 0, 0, 0],
            vec![1, 6, 1, 2, 0, 0, 0, 0],
            vec![1, 5, 1, 0, 0, 0, 0],
            vec![2, 1, 0],
            [&completion[..], &completion].concat(),
            [&completion[..], &checksum].concat(),
            [&checksum[..], &checksum].concat(),
        ] {
            assert_eq!(Note::decode(&bytes), None, "{bytes:?}");
        }
    }
}
