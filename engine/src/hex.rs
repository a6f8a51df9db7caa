//! Hexadecimal text.

/// `bytes` as lower-case digits, in a string that is never reallocated, so that wiping it leaves no copy.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        text.push(char::from_digit(nibble.into(), 16).expect("a nibble is below 16"));
    }
    text
}

/// Decodes digits of either case into `out`; returns whether `text` is exactly those digits.
#[must_use]
pub(crate) fn decode_into(text: &[u8], out: &mut [u8]) -> bool {
    text.len() == 2 * out.len()
        && out.iter_mut().zip(text.as_chunks().0).all(|(byte, &[high, low])| {
            let pair = digit(high).zip(digit(low));
            *byte = pair.map_or(0, |(high, low)| high << 4 | low);
            pair.is_some()
        })
}

/// Whether `text` is `len` lower-case digits.
#[cfg(feature = "key-ring")]
pub(crate) fn is_lower(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reverses_encoding_for_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = encode(&bytes);
        let mut decoded = vec![0; 256];
        assert!(is_lower(&text, 512) && decode_into(text.as_bytes(), &mut decoded));
        assert_eq!(decoded, bytes);
        assert!(decode_into(text.to_uppercase().as_bytes(), &mut decoded));
        assert_eq!(decoded, bytes);
    }

    #[test]
    fn other_lengths_and_characters_are_refused() {
        for text in ["", "0", "000", "0g", " 0", "+1", "é"] {
            assert!(!decode_into(text.as_bytes(), &mut [0]), "{text}");
            assert!(!is_lower(text, 2), "{text}");
        }
        assert!(!is_lower("AB", 2));
    }
}
