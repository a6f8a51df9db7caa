//! The checksum of an object that was uploaded in parts.

use base64ct::{Base64, Encoding};
use crc_fast::{CrcAlgorithm, checksum_combine};
use s3s::dto::{CompleteMultipartUploadInput, CompletedPart};
use s3s::{S3Result, s3_error};

use super::{bad_digest, checksum_of};
use crate::objects::{Checksum, ChecksumAlgorithm};
use crate::uploads::{Completion, Upload};

use crate::s3::errors;

/// The checksums of the parts of a completion, and what follows for the object.
pub(in crate::s3) struct PartChecksums {
    algorithm: ChecksumAlgorithm,
    composite: bool,
    /// The length of each part, and the value of its checksum.
    parts: Vec<(u64, Vec<u8>)>,
}

impl PartChecksums {
    /// CRC64NVME of the whole object, if the upload named no checksum: its parts have it.
    pub(in crate::s3) fn of(upload: &Upload, completion: &Completion) -> Self {
        let (algorithm, composite) = upload.checksum.unwrap_or((ChecksumAlgorithm::Crc64Nvme, false));
        let parts = completion.parts().iter();
        Self {
            algorithm,
            composite,
            parts: parts
                .map(|part| (part.receipt.plaintext_len(), part.checksum.clone()))
                .collect(),
        }
    }

    /// Compares what the client announces with what its parts had.
    pub(in crate::s3) fn check(&self, input: &CompleteMultipartUploadInput, len: u64) -> S3Result<()> {
        if input.mpu_object_size.is_some_and(|size| u64::try_from(size) != Ok(len)) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header does not match what was computed."
            ));
        }
        let listed = input
            .multipart_upload
            .as_ref()
            .and_then(|upload| upload.parts.as_deref());
        for (named, (_, value)) in listed.unwrap_or_default().iter().zip(&self.parts) {
            let announced = part_value(self.algorithm, named);
            if announced.is_some_and(|announced| *announced != Base64::encode_string(value)) {
                return Err(errors::error(
                    "InvalidPart",
                    400,
                    "One or more of the specified parts could not be found. The checksum of a part does not match.",
                ));
            }
        }
        let announced = [
            (ChecksumAlgorithm::Crc32, &input.checksum_crc32),
            (ChecksumAlgorithm::Crc32c, &input.checksum_crc32c),
            (ChecksumAlgorithm::Crc64Nvme, &input.checksum_crc64nvme),
            (ChecksumAlgorithm::Sha1, &input.checksum_sha1),
            (ChecksumAlgorithm::Sha256, &input.checksum_sha256),
        ];
        let announced = announced.iter().find(|(algorithm, _)| *algorithm == self.algorithm);
        if let Some((_, Some(announced))) = announced {
            let computed = self.of_object().map(|checksum| Base64::encode_string(&checksum.value));
            // With or without the number of parts.
            let announced = announced.split_once('-').map_or(&**announced, |(value, _)| value);
            if computed.as_deref() != Some(announced) {
                let name = self.algorithm.name();
                return Err(bad_digest(&format!(
                    "The {name} you specified did not match the calculated checksum."
                )));
            }
        }
        Ok(())
    }

    /// The object's checksum; `None` if its parts have others.
    pub(in crate::s3) fn of_object(&self) -> Option<Checksum> {
        let len = self.algorithm.value_len();
        if self.parts.iter().any(|(_, value)| value.len() != len) {
            return None;
        }
        let value = if self.composite {
            let values: Vec<u8> = self.parts.iter().flat_map(|(_, value)| value.iter().copied()).collect();
            checksum_of(self.algorithm, &values)
        } else {
            self.combined()?
        };
        Some(Checksum {
            algorithm: self.algorithm,
            composite: self.composite,
            value,
        })
    }

    /// The checksum of the parts' bytes, one after another, from the parts' checksums.
    fn combined(&self) -> Option<Vec<u8>> {
        let crc = match self.algorithm {
            ChecksumAlgorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            ChecksumAlgorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
            ChecksumAlgorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => return None,
        };
        let number = |value: &[u8]| value.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let mut parts = self.parts.iter();
        let (_, first) = parts.next()?;
        let combined = parts.fold(number(first), |combined, (len, value)| {
            checksum_combine(crc, combined, number(value), *len)
        });
        Some(combined.to_be_bytes()[8 - self.algorithm.value_len()..].to_vec())
    }
}

fn part_value(algorithm: ChecksumAlgorithm, part: &CompletedPart) -> Option<&String> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => part.checksum_crc32.as_ref(),
        ChecksumAlgorithm::Crc32c => part.checksum_crc32c.as_ref(),
        ChecksumAlgorithm::Crc64Nvme => part.checksum_crc64nvme.as_ref(),
        ChecksumAlgorithm::Sha1 => part.checksum_sha1.as_ref(),
        ChecksumAlgorithm::Sha256 => part.checksum_sha256.as_ref(),
    }
}
