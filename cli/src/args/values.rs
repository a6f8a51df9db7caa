//! Values of options.

use std::str::FromStr;

use clap::ValueEnum;

/// A chunk size.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Chunk {
    /// 16 KiB
    #[value(name = "16K")]
    K16,
    /// 64 KiB
    #[value(name = "64K")]
    K64,
    /// 256 KiB
    #[value(name = "256K")]
    K256,
    /// 1 MiB
    #[value(name = "1M")]
    M1,
}

impl From<Chunk> for sealstone::ChunkSize {
    fn from(chunk: Chunk) -> Self {
        match chunk {
            Chunk::K16 => Self::KiB16,
            Chunk::K64 => Self::KiB64,
            Chunk::K256 => Self::KiB256,
            Chunk::M1 => Self::MiB1,
        }
    }
}

/// A cipher.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Cipher {
    /// AES-256-GCM
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    /// ChaCha20-Poly1305, for processors without AES instructions
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl From<Cipher> for sealstone::Suite {
    fn from(cipher: Cipher) -> Self {
        match cipher {
            Cipher::Aes256Gcm => Self::Aes256Gcm,
            Cipher::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
        }
    }
}

/// The pair that SSE-KMS binds an object of S3 by: `aws:s3:arn` and its ARN.
#[derive(Debug, Clone)]
pub struct S3Object(pub Pair);

impl FromStr for S3Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("s3://").and_then(|name| name.split_once('/'));
        match name {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Self(Pair {
                key: "aws:s3:arn".to_owned(),
                value: format!("arn:aws:s3:::{bucket}/{key}"),
            })),
            _ => Err("an object of S3 is s3://BUCKET/KEY".to_owned()),
        }
    }
}

/// One pair of the encryption context.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Before the first `=`.
    pub key: String,
    /// After it.
    pub value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("a pair is KEY=VALUE")?;
        if key.is_empty() {
            return Err("a pair's key must not be empty".to_owned());
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Which bytes of the plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first number to before the second, or to the end.
    From(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
}

impl ByteRange {
    /// Everything.
    pub(crate) const ALL: Self = Self::From(0, None);
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a range: it is A..B, A.., ..B, or -N for the last N bytes; numbers may end in K, M, G \
                 or T, units of 1024"
            )
        };
        if let Some(last) = text.strip_prefix('-') {
            return bytes(last).map(Self::Last).ok_or_else(wrong);
        }
        let (start, end) = text.split_once("..").ok_or_else(wrong)?;
        let start = if start.is_empty() { Some(0) } else { bytes(start) }.ok_or_else(wrong)?;
        let end = match end {
            "" => None,
            end => Some(bytes(end).ok_or_else(wrong)?),
        };
        if end.is_some_and(|end| start > end) {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self::From(start, end))
    }
}

/// A number of bytes: digits, and a unit of 1024 such as `K`, `k` or `KiB`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.strip_suffix("iB").filter(|unit| !unit.is_empty()).unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        _ => return None,
    };
    number.checked_mul(1 << (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_open_ended_or_a_suffix() {
        let range = |text: &str| text.parse::<ByteRange>();
        assert_eq!(range("3..7"), Ok(ByteRange::From(3, Some(7))));
        assert_eq!(range("3.."), Ok(ByteRange::From(3, None)));
        assert_eq!(range("..7"), Ok(ByteRange::From(0, Some(7))));
        assert_eq!(range(".."), Ok(ByteRange::From(0, None)));
        assert_eq!(range("-7"), Ok(ByteRange::Last(7)));
        assert_eq!(range("1K..2MiB"), Ok(ByteRange::From(1 << 10, Some(2 << 20))));
        assert_eq!(range("3g.."), Ok(ByteRange::From(3 << 30, None)));
        assert_eq!(range("-1T"), Ok(ByteRange::Last(1 << 40)));
        for wrong in [
            "",
            "7",
            "7..3",
            "a..b",
            "-",
            "--1",
            "+1..2",
            "1..=2",
            "1...2",
            "99999999999999999999..",
            "99999999T..",
            "1KB..",
            "1iB..",
            "K..",
            "1 K..",
            "1E..",
        ] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        let pair: Pair = "k=v=w".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("k", "v=w"));
        assert!("k".parse::<Pair>().is_err());
        assert!("=v".parse::<Pair>().is_err());
    }
}
