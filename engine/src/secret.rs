//! Secret bytes: wiped when dropped, never cloned, never printed.

use std::fmt;
use std::io::{self, Read};

use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};

/// `N` secret bytes on the heap, so that a move copies only a pointer.
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Creates a secret that `fill` writes in place.
    pub(crate) fn init_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// A secret from the operating system's generator.
    pub(crate) fn random() -> Result<Self> {
        let mut secret = Self(Box::new([0; N]));
        fill_random(secret.0.as_mut_slice())?;
        Ok(secret)
    }

    /// A copy of `bytes`; `None` unless there are exactly `N`.
    pub(crate) fn copy_from(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::init_with(|secret| secret.copy_from_slice(bytes)))
    }

    pub(crate) fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|_| Error::Random)
}

/// `N` bytes from the operating system's generator, for values that are not secret: salts, nonces, ids.
pub(crate) fn random_array<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Reads `source` to its end, or `limit + 1` bytes of it: a result longer than `limit` means that `source` has more.
///
/// The buffer is allocated at full size, because a growing one would leave copies in memory.
pub(crate) fn read_wiped(mut source: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut len = 0;
    loop {
        match source.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let secret = Secret::<4>::copy_from(&[0xAB, 0xCD, 0xEF, 0x12]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret<4>(..)");
    }

    #[test]
    fn a_copy_of_another_length_is_refused() {
        assert!(Secret::<4>::copy_from(&[1, 2, 3]).is_none());
        assert!(Secret::<4>::copy_from(&[1, 2, 3, 4, 5]).is_none());
    }

    #[test]
    fn reading_stops_one_byte_past_the_limit() {
        for (len, expected) in [(0, 0), (4, 4), (5, 5), (6, 5)] {
            assert_eq!(read_wiped(&vec![7; len][..], 4).unwrap().as_slice(), vec![7; expected]);
        }
    }

    #[test]
    fn random_secrets_differ() {
        assert_ne!(
            Secret::<32>::random().unwrap().expose(),
            Secret::<32>::random().unwrap().expose()
        );
    }
}
