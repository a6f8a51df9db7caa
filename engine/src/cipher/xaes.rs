//! XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key derived from a 24-byte nonce.
//!
//! ```text
//! nonce[24] | ciphertext | tag[16]      a data key of 32 bytes wraps to 72
//! ```
//!
//! Used for wraps only, a few for each object, so all builds derive the subkey with the portable AES.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use super::{Aead, Backend, KEY_LEN, NONCE_LEN, Suite, Unverified};
use crate::error::Result;
use crate::layout::TAG_LEN;
use crate::secret::{Secret, random_array};

/// Bytes of the nonce.
pub(crate) const XAES_NONCE_LEN: usize = 24;
/// Bytes that a wrap adds: nonce and tag.
pub(crate) const OVERHEAD: usize = XAES_NONCE_LEN + TAG_LEN;

/// Seals `plain` under `key`, bound to `aad`, with a random nonce.
///
/// # Errors
/// [`Error::Random`](crate::Error::Random).
pub(crate) fn seal(key: &Secret<KEY_LEN>, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    Ok(seal_with_nonce(key, random_array()?, aad, plain))
}

fn seal_with_nonce(key: &Secret<KEY_LEN>, nonce: [u8; XAES_NONCE_LEN], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; OVERHEAD + plain.len()];
    let (head, body) = out.split_at_mut(XAES_NONCE_LEN);
    head.copy_from_slice(&nonce);
    let (aead, gcm_nonce) = derive(key, &nonce);
    aead.seal(gcm_nonce, aad, plain, body);
    out
}

/// Opens the result of [`seal`] into `out`, whose length is that of the plaintext.
pub(crate) fn open(key: &Secret<KEY_LEN>, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<(), Unverified> {
    let (nonce, body) = sealed.split_first_chunk::<XAES_NONCE_LEN>().ok_or(Unverified)?;
    let (aead, gcm_nonce) = derive(key, nonce);
    aead.open(gcm_nonce, aad, body, out)
}

/// The subkey is CMAC-AES256 of a single block for counters 1 and 2, labelled `X`.
fn derive(key: &Secret<KEY_LEN>, nonce: &[u8; XAES_NONCE_LEN]) -> (Aead, [u8; NONCE_LEN]) {
    let aes = Aes256::new(key.expose().into());
    let (left, right) = nonce.split_at(NONCE_LEN);

    let mut mask = Zeroizing::new([0; 16]);
    aes.encrypt_block((&mut *mask).into());
    double(&mut mask);

    let mut subkey = Zeroizing::new([0; KEY_LEN]);
    for (counter, half) in (1..).zip(subkey.as_chunks_mut::<16>().0) {
        half[1] = counter;
        half[2] = b'X';
        half[4..].copy_from_slice(left);
        for (byte, mask_byte) in half.iter_mut().zip(mask.iter()) {
            *byte ^= mask_byte;
        }
        aes.encrypt_block(half.into());
    }

    let mut gcm_nonce = [0; NONCE_LEN];
    gcm_nonce.copy_from_slice(right);
    (Aead::new(Backend::default(), Suite::Aes256Gcm, &subkey), gcm_nonce)
}

/// Multiplies by x in GF(2^128), as CMAC derives its first subkey, without branching on the secret bit.
fn double(block: &mut [u8; 16]) {
    let value = u128::from_be_bytes(*block);
    let reduction = 0x87 * (value >> 127);
    *block = ((value << 1) ^ reduction).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use shake::{ExtendableOutput, Shake128, Update, XofReader};

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// The two vectors of the specification: the first bit of L is 0 in one, 1 in the other.
    #[test]
    fn c2sp_vectors() {
        for (key_byte, aad, expected) in [
            (1, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let key = Secret::copy_from(&[key_byte; 32]).unwrap();
            let sealed = seal_with_nonce(&key, *b"ABCDEFGHIJKLMNOPQRSTUVWX", aad, b"XAES-256-GCM");
            assert_eq!(&sealed[XAES_NONCE_LEN..], hex(expected));
            let mut opened = [0; 12];
            open(&key, aad, &sealed, &mut opened).unwrap();
            assert_eq!(&opened, b"XAES-256-GCM");
        }
    }

    /// The specification's accumulated test: 10,000 keys, nonces, plaintexts and AADs from one SHAKE-128; the results
    /// go into another. An input of variable length is one byte with its length, then as many bytes.
    #[test]
    fn c2sp_accumulated_vectors() {
        let mut source = Shake128::default().finalize_xof();
        let mut sink = Shake128::default();
        for _ in 0..10_000 {
            let mut take = |len: usize| {
                let mut bytes = vec![0; len];
                source.read(&mut bytes);
                bytes
            };
            let key = Secret::copy_from(&take(32)).unwrap();
            let nonce = take(XAES_NONCE_LEN).try_into().unwrap();
            let mut take_vector = || {
                let len = take(1)[0];
                take(len.into())
            };
            let (plain, aad) = (take_vector(), take_vector());

            let sealed = seal_with_nonce(&key, nonce, &aad, &plain);
            sink.update(&sealed[XAES_NONCE_LEN..]);
            let mut opened = vec![0; plain.len()];
            open(&key, &aad, &sealed, &mut opened).unwrap();
            assert_eq!(opened, plain);
        }
        let mut digest = [0; 32];
        sink.finalize_xof().read(&mut digest);
        let expected = hex("e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
        assert_eq!(digest, expected.as_slice());
    }

    #[test]
    fn nonces_are_random() {
        let key = Secret::copy_from(&[1; 32]).unwrap();
        let (left, right) = (seal(&key, b"", b"x").unwrap(), seal(&key, b"", b"x").unwrap());
        assert_ne!(left[..XAES_NONCE_LEN], right[..XAES_NONCE_LEN]);
    }

    #[test]
    fn each_flipped_bit_and_other_aad_is_refused_and_clears_the_output() {
        let key = Secret::copy_from(&[1; 32]).unwrap();
        let sealed = seal(&key, b"aad", b"secret").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let mut out = [0xAA; 6];
            assert!(open(&key, b"aad", &altered, &mut out).is_err());
            assert_eq!(out, [0; 6]);
        }
        assert!(open(&key, b"AAD", &sealed, &mut [0; 6]).is_err());
        assert!(open(&key, b"aad", &sealed[..23], &mut [0; 6]).is_err());
        assert!(open(&key, b"aad", &sealed, &mut [0; 5]).is_err());
    }
}
