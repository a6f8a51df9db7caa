//! Completion: the parts that the client names become the object.

use bytes::Bytes;
use futures_util::StreamExt;
use sealstone::Unlocked;
use sealstone::composite::{CompositeObject, Receipt};
use sha2::{Digest, Sha256};

use super::part::sealed_len;
use super::{MAX_PARTS, MIN_PART, Part, PartBytes, Upload, UploadError};
use crate::backend::{Backend, BackendError, Body, Condition, StoredRange, UploadedPart, single};
use crate::objects::{Checksum, Note, ObjectError, label};

/// A part as a completion names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number.
    pub number: u16,
    /// Its `ETag`, without quotes.
    pub etag: String,
}

/// What a completion is made of: the parts, in the object's order.
#[derive(Debug)]
pub struct Completion {
    parts: Vec<Part>,
    /// The first part number that is free for the object's end.
    end_number: u16,
    id: [u8; 32],
}

impl Completion {
    /// Finds the parts that the client names among those that were uploaded.
    ///
    /// # Errors
    /// [`UploadError::InvalidPart`], [`UploadError::InvalidPartOrder`], [`UploadError::PartTooSmall`],
    /// [`UploadError::NoRoomForEnd`].
    pub fn new(uploaded: &[Part], named: &[CompletedPart]) -> Result<Self, UploadError> {
        if named.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(UploadError::InvalidPartOrder);
        }
        let mut parts = Vec::with_capacity(named.len());
        for named in named {
            let same = |part: &&Part| part.number == named.number && part.etag == named.etag;
            // The last one: the store keeps no other of the same number.
            let found = uploaded.iter().rev().find(same);
            parts.push(found.ok_or(UploadError::InvalidPart(named.number))?.clone());
        }
        if let [all_but_last @ .., _] = &parts[..]
            && let Some(short) = all_but_last.iter().find(|part| part.receipt.plaintext_len() < MIN_PART)
        {
            return Err(UploadError::PartTooSmall(short.number));
        }
        let in_store = |part: &&Part| matches!(part.bytes, PartBytes::InStore(_));
        let last = parts.iter().rev().find(in_store).map_or(0, |part| part.number);
        let is_free = |number: &u16| !uploaded.iter().filter(in_store).any(|part| part.number == *number);
        let end_number = (last + 1..=MAX_PARTS).find(is_free).ok_or(UploadError::NoRoomForEnd)?;
        Ok(Self {
            parts,
            end_number,
            id: completion_id(named),
        })
    }

    /// The parts, in the object's order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The object's plaintext length in bytes.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        let lens = self.parts.iter().map(|part| part.receipt.plaintext_len());
        lens.fold(0, u64::saturating_add)
    }
}

impl Upload {
    /// Makes the object, and returns its `ETag` in the store. `unlocked` was unlocked for this completion only: it seals
    /// nothing afterwards.
    ///
    /// # Errors
    /// [`UploadError::NoSuchUpload`], [`UploadError::InvalidPart`], [`UploadError::Object`].
    pub async fn complete(
        &self,
        backend: &dyn Backend,
        unlocked: &Unlocked,
        completion: &Completion,
        checksum: Option<Checksum>,
        condition: Condition,
    ) -> Result<String, UploadError> {
        let object = unlocked.composite(self.id.commitment())?;
        let note = Note {
            checksum,
            completion: Some(completion.id),
        };
        let receipts = completion
            .parts
            .iter()
            .map(|part| (label(part.number), part.receipt.clone()));
        let receipts: Vec<([u8; 2], Receipt)> = receipts.collect();
        let end: Bytes = seal_end(&object, &receipts, &note)?;
        let uploaded = self.upload_end(backend, completion, end).await?;
        let completed = backend
            .complete_upload(&self.at, &self.in_store, &uploaded, condition)
            .await;
        let etag = match completed {
            Err(BackendError::NoSuchUpload) => return Err(UploadError::NoSuchUpload),
            Err(BackendError::InvalidPart) => return Err(UploadError::InvalidPart(0)),
            etag => etag?,
        };
        if let Err(error) = self.forget(backend).await {
            tracing::warn!(%error, "what is left of a completed upload stays until it is swept");
        }
        Ok(etag)
    }

    /// Uploads the end of the object; returns all parts of the store's upload.
    async fn upload_end(
        &self,
        backend: &dyn Backend,
        completion: &Completion,
        end: Bytes,
    ) -> Result<Vec<UploadedPart>, UploadError> {
        let mut parts = Vec::with_capacity(completion.parts.len() + 1);
        let mut body = Body {
            len: end.len() as u64,
            bytes: single(end),
        };
        for part in &completion.parts {
            match &part.bytes {
                PartBytes::InStore(etag) => parts.push(UploadedPart {
                    number: part.number,
                    etag: etag.clone(),
                }),
                PartBytes::Staged(id) => {
                    let len = sealed_len(part.receipt.plaintext_len())?;
                    let staged = match backend.get(&self.staged(id), StoredRange::Bytes(0..len), None).await {
                        // Completed by another request.
                        Err(BackendError::NoSuchKey) => return Err(UploadError::NoSuchUpload),
                        staged => staged?,
                    };
                    if staged.range != (0..len) || staged.object.len != len {
                        return Err(ObjectError::OtherBytes.into());
                    }
                    body = Body {
                        len: len + body.len,
                        bytes: staged.bytes.chain(body.bytes).boxed(),
                    };
                }
            }
        }
        let number = completion.end_number;
        let etag = match backend.put_part(&self.at, &self.in_store, number, body).await {
            Err(BackendError::NoSuchUpload) => return Err(UploadError::NoSuchUpload),
            etag => etag?,
        };
        parts.push(UploadedPart { number, etag });
        Ok(parts)
    }
}

/// Identifies these parts in this order; the manifest's note keeps it. A client that repeats a completion whose response
/// was lost is known by it.
#[must_use]
pub fn completion_id(parts: &[CompletedPart]) -> [u8; 32] {
    let mut id = Sha256::new();
    for part in parts {
        id.update(part.number.to_be_bytes());
        id.update((part.etag.len() as u64).to_be_bytes());
        id.update(&part.etag);
    }
    id.finalize().into()
}

fn seal_end(object: &CompositeObject, receipts: &[([u8; 2], Receipt)], note: &Note) -> Result<Bytes, UploadError> {
    Ok(object.complete(receipts, &note.encode())?.bytes.into())
}
