//! The length of a padded payload: an invertible function of the plaintext's length alone.
//!
//! ```text
//! padded_len(P) = P + 16 * floor(P / C) + 128 * min(floor(P / 5 MiB), 9999) + 512
//!                     the chunks' tags    room for 9999 more components       room for the first and for the manifest
//! ```
//!
//! A store's listing of stored lengths therefore reveals the plaintext's lengths too.

use crate::error::{CompositeError, Error, Result};
use crate::layout::{ChunkSize, MAX_PLAINTEXT_LEN, TAG_LEN};

/// The least plaintext length, in bytes, of every component of a padded object but the last: S3's minimum part size.
pub const MIN_PADDED_COMPONENT_LEN: u64 = 5 * 1024 * 1024;

/// Bytes added for each whole 5 MiB: a component's prefix, its final tag and its entry in the manifest take fewer.
const PER_COMPONENT: u64 = 128;
/// Components that are counted in, beyond the first.
const MORE_COMPONENTS: u64 = 9_999;
/// Bytes added always: the first component, the manifest with its note, and its length take fewer.
const FIXED: u64 = 512;

/// The length of the padded payload of `plaintext_len` bytes of plaintext, in bytes. Inverse of
/// [`plaintext_len_of_padded`].
///
/// # Errors
/// [`Error::ObjectTooLarge`] over 4 PiB - 1 byte.
pub fn padded_len(chunk_size: ChunkSize, plaintext_len: u64) -> Result<u64> {
    if plaintext_len > MAX_PLAINTEXT_LEN {
        return Err(Error::ObjectTooLarge);
    }
    let tags = plaintext_len / chunk_size.bytes() as u64 * TAG_LEN as u64;
    let components = (plaintext_len / MIN_PADDED_COMPONENT_LEN).min(MORE_COMPONENTS);
    Ok(plaintext_len + tags + components * PER_COMPONENT + FIXED)
}

/// The plaintext's length in a padded payload of `padded_len` bytes, in bytes. It is as trustworthy as that length:
/// only the opened manifest proves it.
///
/// # Errors
/// [`CompositeError::NotPaddedLength`] if no padded payload has that length; [`Error::ObjectTooLarge`].
pub fn plaintext_len_of_padded(chunk_size: ChunkSize, padded_len: u64) -> Result<u64> {
    let wrong = || Error::from(CompositeError::NotPaddedLength { len: padded_len });
    let chunk_len = chunk_size.bytes() as u64;
    let sealed_chunk_len = chunk_len + TAG_LEN as u64;
    let block = MIN_PADDED_COMPONENT_LEN + MIN_PADDED_COMPONENT_LEN / chunk_len * TAG_LEN as u64 + PER_COMPONENT;
    let variable = padded_len.checked_sub(FIXED).ok_or_else(wrong)?;
    let blocks = (variable / block).min(MORE_COMPONENTS);
    let rest = variable - blocks * block;
    let (chunks, last) = (rest / sealed_chunk_len, rest % sealed_chunk_len);
    let rest = chunks * chunk_len + last;
    if last >= chunk_len || (blocks < MORE_COMPONENTS && rest >= MIN_PADDED_COMPONENT_LEN) {
        return Err(wrong());
    }
    let plaintext_len = blocks * MIN_PADDED_COMPONENT_LEN + rest;
    if plaintext_len > MAX_PLAINTEXT_LEN {
        return Err(Error::ObjectTooLarge);
    }
    Ok(plaintext_len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    const BLOCK: u64 = MIN_PADDED_COMPONENT_LEN;

    /// Around every border that the formula has, the inverse agrees with a search, and every length between is refused.
    #[test]
    fn the_closed_form_agrees_with_a_search_at_every_border() {
        for size in ChunkSize::ALL {
            let chunk = size.bytes() as u64;
            let borders = [
                0,
                chunk,
                2 * chunk,
                BLOCK - chunk,
                BLOCK,
                BLOCK + chunk,
                7 * BLOCK,
                9_998 * BLOCK,
                9_999 * BLOCK,
                10_000 * BLOCK,
                12_345 * BLOCK,
            ];
            for border in borders {
                let lens = border.saturating_sub(300)..border + 300;
                let image: BTreeMap<u64, u64> = lens.clone().map(|len| (padded_len(size, len).unwrap(), len)).collect();
                assert_eq!(image.len() as u64, lens.end - lens.start);
                let (first, last) = (*image.keys().next().unwrap(), *image.keys().next_back().unwrap());
                for padded in first..=last {
                    match plaintext_len_of_padded(size, padded) {
                        Ok(len) => assert_eq!(image.get(&padded), Some(&len)),
                        Err(Error::Composite(CompositeError::NotPaddedLength { .. })) => {
                            assert!(!image.contains_key(&padded), "{padded}");
                        }
                        Err(other) => panic!("{padded}: {other}"),
                    }
                }
            }
            for padded in 0..512 {
                assert!(plaintext_len_of_padded(size, padded).is_err());
            }
            assert!(padded_len(size, MAX_PLAINTEXT_LEN + 1).is_err());
            let longest = padded_len(size, MAX_PLAINTEXT_LEN).unwrap();
            assert_eq!(plaintext_len_of_padded(size, longest).unwrap(), MAX_PLAINTEXT_LEN);
            assert!(plaintext_len_of_padded(size, u64::MAX).is_err());
        }
    }

    proptest! {
        #[test]
        fn padded_lengths_are_inverse(size in 0usize..4, len in 0..=MAX_PLAINTEXT_LEN) {
            let size = ChunkSize::ALL[size];
            prop_assert_eq!(plaintext_len_of_padded(size, padded_len(size, len).unwrap()).unwrap(), len);
        }

        #[test]
        fn a_length_outside_the_image_is_refused(size in 0usize..4, padded in any::<u64>()) {
            let size = ChunkSize::ALL[size];
            if let Ok(len) = plaintext_len_of_padded(size, padded) {
                prop_assert_eq!(padded_len(size, len).unwrap(), padded);
            }
        }
    }
}
