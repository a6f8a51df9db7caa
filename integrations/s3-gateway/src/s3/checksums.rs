//! Checksums of plaintext: verified as the client announced them, computed if it announced none.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hyper::HeaderMap;
use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{self, ChecksumType, StreamingBlob};
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};

use crate::backend::ByteStream;
use crate::objects::{Checksum, ChecksumAlgorithm, Note};

mod parts;

pub(super) use self::parts::PartChecksums;

use super::errors;

/// Each algorithm, with the header of its value.
const ALGORITHMS: [(ChecksumAlgorithm, &str); 5] = [
    (ChecksumAlgorithm::Crc32, "x-amz-checksum-crc32"),
    (ChecksumAlgorithm::Crc32c, "x-amz-checksum-crc32c"),
    (ChecksumAlgorithm::Crc64Nvme, "x-amz-checksum-crc64nvme"),
    (ChecksumAlgorithm::Sha1, "x-amz-checksum-sha1"),
    (ChecksumAlgorithm::Sha256, "x-amz-checksum-sha256"),
];

pub(super) fn algorithm_named(name: &str) -> S3Result<ChecksumAlgorithm> {
    ChecksumAlgorithm::named(name).ok_or_else(|| {
        errors::invalid_argument(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })
}

/// Hashes bytes with one algorithm.
pub(super) struct Hasher(ChecksumHasher);

impl Hasher {
    pub(super) fn new(algorithm: ChecksumAlgorithm) -> Self {
        let mut hasher = ChecksumHasher::default();
        match algorithm {
            ChecksumAlgorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
            ChecksumAlgorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            ChecksumAlgorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            ChecksumAlgorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
            ChecksumAlgorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The value, once.
    pub(super) fn value(&mut self) -> Vec<u8> {
        let computed = std::mem::take(&mut self.0).finalize();
        let values = [
            computed.checksum_crc32,
            computed.checksum_crc32c,
            computed.checksum_crc64nvme,
            computed.checksum_sha1,
            computed.checksum_sha256,
        ];
        let value = values.into_iter().flatten().next().unwrap_or_default();
        Base64::decode_vec(&value).unwrap_or_default()
    }
}

/// The checksum of these bytes.
fn checksum_of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.value()
}

/// What a body is compared with once it has been read.
pub(super) struct Announced {
    algorithm: ChecksumAlgorithm,
    /// In base64; from a header, or expected in the trailers.
    value: Option<String>,
    trailers: Option<TrailingHeaders>,
    md5: Option<Vec<u8>>,
}

impl Announced {
    /// What the headers announce; CRC64NVME is computed if they announce no checksum.
    pub(super) fn of(
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
        default: ChecksumAlgorithm,
    ) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut sent = ALGORITHMS
            .iter()
            .filter_map(|(algorithm, header)| Some((*algorithm, text(header)?)));
        let (first, second) = (sent.next(), sent.next());
        if second.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        let trailer = text("x-amz-trailer").map(str::trim).and_then(|trailer| {
            ALGORITHMS
                .iter()
                .find(|(_, header)| header.eq_ignore_ascii_case(trailer))
        });
        let named = text("x-amz-sdk-checksum-algorithm").map(algorithm_named).transpose()?;
        let algorithm = match (first, trailer, named) {
            (Some((algorithm, value)), ..) => {
                let len = algorithm.value_len();
                if Base64::decode_vec(value).is_ok_and(|bytes| bytes.len() == len) {
                    algorithm
                } else {
                    let name = algorithm.name().to_ascii_lowercase();
                    return Err(s3_error!(
                        InvalidRequest,
                        "Value for x-amz-checksum-{name} header is invalid."
                    ));
                }
            }
            (None, Some((algorithm, _)), _) => *algorithm,
            (None, None, Some(named)) => named,
            (None, None, None) => default,
        };
        let md5 = text("content-md5").map(|value| {
            let bytes = Base64::decode_vec(value).ok().filter(|bytes| bytes.len() == 16);
            bytes.ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."))
        });
        Ok(Self {
            algorithm,
            value: first.map(|(_, value)| value.to_owned()),
            trailers: trailer.and(trailers),
            md5: md5.transpose()?,
        })
    }
}

impl Announced {
    pub(super) const fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }
}

/// Hashes a body as it passes.
#[derive(Clone)]
pub(super) struct Verifier(Arc<Mutex<Verifying>>);

struct Verifying {
    announced: Announced,
    hasher: Hasher,
    md5: Option<Md5>,
    computed: Option<Checksum>,
    refused: Option<S3Error>,
}

impl Verifier {
    pub(super) fn new(announced: Announced) -> Self {
        let hasher = Hasher::new(announced.algorithm);
        let md5 = announced.md5.is_some().then(Md5::new);
        Self(Arc::new(Mutex::new(Verifying {
            announced,
            hasher,
            md5,
            computed: None,
            refused: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Verifying> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found wrong with the body.
    pub(super) fn refused(&self) -> Option<S3Error> {
        self.lock().refused.take()
    }

    /// The body, hashed as it is read.
    pub(super) fn watch(&self, body: StreamingBlob) -> ByteStream {
        let verifier = self.clone();
        body.map_err(io::Error::other)
            .inspect_ok(move |bytes| verifier.update(bytes))
            .boxed()
    }

    fn update(&self, bytes: &Bytes) {
        let mut state = self.lock();
        state.hasher.update(bytes);
        if let Some(md5) = &mut state.md5 {
            md5.update(bytes);
        }
    }

    /// Compares what was announced with what was read; returns the note that keeps it.
    pub(super) fn finish(&self) -> io::Result<Vec<u8>> {
        let note = Note {
            checksum: Some(self.verified()?),
            ..Note::default()
        };
        Ok(note.encode())
    }

    /// As [`Verifier::finish`], for a part: returns the checksum's value.
    pub(super) fn finish_part(&self) -> io::Result<Vec<u8>> {
        Ok(self.verified()?.value)
    }

    fn verified(&self) -> io::Result<Checksum> {
        self.verify().map_err(|error| {
            self.lock().refused = Some(error);
            io::Error::other("the body is not what was announced")
        })
    }

    fn verify(&self) -> S3Result<Checksum> {
        let mut state = self.lock();
        let value = state.hasher.value();
        let computed = Base64::encode_string(&value);
        let name = state.announced.algorithm.name();
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        let trailing = state.announced.trailers.as_ref().map(|trailers| {
            let value = trailers.read(|headers| Some(headers.get(&header)?.to_str().ok()?.to_owned()));
            value
                .flatten()
                .ok_or_else(|| s3_error!(InvalidRequest, "The trailer {header} is missing."))
        });
        let expected = match trailing {
            Some(value) => Some(value?),
            None => state.announced.value.clone(),
        };
        if expected.is_some_and(|expected| expected != computed) {
            return Err(bad_digest(&format!(
                "The {name} you specified did not match the calculated checksum."
            )));
        }
        if let (Some(expected), Some(md5)) = (state.announced.md5.clone(), state.md5.take())
            && md5.finalize()[..] != expected[..]
        {
            return Err(bad_digest(
                "The Content-MD5 you specified did not match what we received.",
            ));
        }
        let checksum = Checksum {
            algorithm: state.announced.algorithm,
            composite: false,
            value,
        };
        state.computed = Some(checksum.clone());
        Ok(checksum)
    }

    /// The checksum, once the body has been verified.
    pub(super) fn computed(&self) -> Option<Checksum> {
        self.lock().computed.clone()
    }
}

fn bad_digest(message: &str) -> S3Error {
    s3_error!(BadDigest, "{message}")
}

pub(super) fn kind(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
}

/// A checksum as responses have it.
pub(super) fn to_response(checksum: Option<&Checksum>, part_count: usize) -> dto::Checksum {
    let mut response = dto::Checksum::default();
    let Some(checksum) = checksum else {
        return response;
    };
    let mut value = Base64::encode_string(&checksum.value);
    if checksum.composite {
        value = format!("{value}-{part_count}");
    }
    response.checksum_type = Some(kind(checksum.composite));
    match checksum.algorithm {
        ChecksumAlgorithm::Crc32 => response.checksum_crc32 = Some(value),
        ChecksumAlgorithm::Crc32c => response.checksum_crc32c = Some(value),
        ChecksumAlgorithm::Crc64Nvme => response.checksum_crc64nvme = Some(value),
        ChecksumAlgorithm::Sha1 => response.checksum_sha1 = Some(value),
        ChecksumAlgorithm::Sha256 => response.checksum_sha256 = Some(value),
    }
    response
}

/// Puts a checksum into a response whose fields many outputs of s3s have.
macro_rules! report {
    ($output:expr, $checksum:expr) => {{
        let checksum: s3s::dto::Checksum = $checksum;
        $output.checksum_crc32 = checksum.checksum_crc32;
        $output.checksum_crc32c = checksum.checksum_crc32c;
        $output.checksum_crc64nvme = checksum.checksum_crc64nvme;
        $output.checksum_sha1 = checksum.checksum_sha1;
        $output.checksum_sha256 = checksum.checksum_sha256;
        $output.checksum_type = checksum.checksum_type;
    }};
}

pub(super) use report;
