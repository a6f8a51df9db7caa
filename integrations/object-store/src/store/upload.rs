//! Uploads in parts: one payload, whose chunks run on over the borders of the caller's parts.
//!
//! ```text
//! put_part   any lengths --Pending--> whole chunks, 5 MiB at least --RunningParts--> sealing, on the pool
//! Queue      sealed parts, in order --> the inner upload, whichever part's future is polled first
//! complete   what is pending and the final chunk --> the last part
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, Shared, try_join_all};
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{FutureExt, StreamExt, TryStreamExt, lock};
use sealstone::parts::{EqualParts, RunningPart, RunningParts, SealedPart};

use super::super::object_store;
use super::super::object_store::path::Path;
use super::super::object_store::{
    MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
};
use super::EncryptedStore;
use super::errors::{generic, refused};
use crate::error::StoreError;

/// The least that S3 takes as a part that is not the last, in bytes.
pub(super) const MIN_PART: usize = 5 * 1024 * 1024;
/// Bytes of a part that is not the caller's.
pub(super) const PART: usize = 8 * 1024 * 1024;
/// How many of those are sent at a time.
const PARTS: usize = 4;

impl<S: ObjectStore> EncryptedStore<S> {
    pub(super) async fn begin_upload(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (parts, attributes) = self.begin(location, opts.attributes, &opts.extensions).await?;
        let opts = PutMultipartOptions { attributes, ..opts };
        let upload = self.store.put_multipart_opts(location, opts).await?;
        let equal = self.config.equal_parts.and_then(NonZeroU64::new);
        Ok(Box::new(EncryptedUpload {
            location: location.to_string(),
            state: State::Open(parts),
            pending: Pending::default(),
            chunk_len: self.config.chunk_size.bytes(),
            queue: Arc::new(Queue {
                sealing: Mutex::default(),
                unsent: AtomicUsize::new(0),
                upload: lock::Mutex::new(Inner {
                    upload,
                    equal: equal.map(EqualParts::new),
                    failed: None,
                }),
            }),
        }))
    }
}

/// An upload whose parts are sealed.
struct EncryptedUpload {
    location: String,
    state: State,
    pending: Pending,
    chunk_len: usize,
    queue: Arc<Queue>,
}

enum State {
    /// More parts can follow.
    Open(RunningParts),
    /// The last part is being sent. It is kept here, because the call that waits for it may be dropped.
    Ending(UploadPart),
    /// The inner upload has all parts.
    Sent,
    /// A part is missing, or the upload was aborted.
    Failed,
}

#[async_trait]
impl MultipartUpload for EncryptedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let State::Open(parts) = &mut self.state else {
            return std::future::ready(Err(self.ended())).boxed();
        };
        self.pending.extend(data);
        let chunks = self.pending.len / self.chunk_len;
        if chunks * self.chunk_len < MIN_PART {
            // S3 refuses shorter parts, and this one may get longer.
            return std::future::ready(Ok(())).boxed();
        }
        match parts.next_part(chunks as u64) {
            Ok(part) => self.seal(part),
            Err(error) => {
                self.state = State::Failed;
                let error = refused(StoreError::sealstone(&self.location, error));
                std::future::ready(Err(error)).boxed()
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if matches!(self.state, State::Open(_))
            && let State::Open(parts) = mem::replace(&mut self.state, State::Failed)
        {
            let last = parts.last_part(self.pending.len);
            let last = last.map_err(|error| refused(StoreError::sealstone(&self.location, error)))?;
            self.state = State::Ending(self.seal(last));
        }
        if let State::Ending(sending) = &mut self.state {
            let sent = sending.await;
            self.state = if sent.is_ok() { State::Sent } else { State::Failed };
            sent?;
        }
        if !matches!(self.state, State::Sent) {
            return Err(self.ended());
        }
        if self.queue.unsent.load(Ordering::Acquire) > 0 {
            return Err(refused(StoreError::MissingPart {
                location: self.location.clone(),
            }));
        }
        let mut inner = self.queue.upload.lock().await;
        inner.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.state = State::Failed;
        let mut inner = self.queue.upload.lock().await;
        // Parts that are still being sealed must not follow.
        inner.failed = Some(sealstone::Error::Cancelled);
        inner.upload.abort().await
    }
}

impl EncryptedUpload {
    fn ended(&self) -> object_store::Error {
        generic(format!("{}: the upload has ended or failed", self.location))
    }

    /// Begins to seal what is pending as `part`; the future sends it.
    fn seal(&mut self, part: RunningPart) -> UploadPart {
        let plaintext = self.pending.take(part.plaintext_len());
        let waiting = Arc::new(Waiting {
            sealed: part.seal_async(plaintext).boxed().shared(),
            sending: Mutex::default(),
        });
        self.queue.push(waiting.clone());
        let (queue, location) = (self.queue.clone(), self.location.clone());
        async move {
            queue.send_up_to(&waiting).await;
            let sending = waiting.take();
            let sending = sending.map_err(|error| refused(StoreError::sealstone(location, error)))?;
            try_join_all(sending).await?;
            queue.unsent.fetch_sub(1, Ordering::Release);
            Ok(())
        }
        .boxed()
    }
}

/// Sealed parts on their way to the inner upload, which numbers them in the order in which it gets them.
struct Queue {
    sealing: Mutex<VecDeque<Arc<Waiting>>>,
    /// Parts that the inner upload has not confirmed: without them it must not be completed.
    unsent: AtomicUsize,
    upload: lock::Mutex<Inner>,
}

struct Inner {
    upload: Box<dyn MultipartUpload>,
    /// Cuts equal parts, if the store demands them.
    equal: Option<EqualParts>,
    /// Why a part is missing, or the abort: then no later one follows.
    failed: Option<sealstone::Error>,
}

/// A part in the queue.
struct Waiting {
    /// Sealed without being polled; whoever polls first sees it.
    sealed: Shared<BoxFuture<'static, sealstone::Result<SealedPart>>>,
    /// The inner upload's futures, once it has the part.
    sending: Mutex<Option<sealstone::Result<Vec<UploadPart>>>>,
}

impl Queue {
    fn push(&self, part: Arc<Waiting>) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
        self.parts().push_back(part);
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Waiting>>> {
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the inner upload all parts up to `last`, in order: the futures of the parts before it may not be polled.
    async fn send_up_to(&self, last: &Arc<Waiting>) {
        loop {
            let first = self.parts().front().cloned();
            let Some(first) = first.filter(|_| !last.is_sent()) else {
                return;
            };
            let sealed = first.sealed.clone().await;
            let mut inner = self.upload.lock().await;
            // Another part's future may have sent it meanwhile.
            if first.is_sent() {
                continue;
            }
            first.set(inner.send(sealed));
            self.parts().pop_front();
        }
    }
}

impl Inner {
    fn send(&mut self, part: sealstone::Result<SealedPart>) -> sealstone::Result<Vec<UploadPart>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let parts = part.and_then(|part| match &mut self.equal {
            Some(equal) => equal.add(part),
            None => Ok(vec![part]),
        });
        let parts = parts
            .inspect_err(|error| self.failed = Some(error.clone()))?
            .into_iter();
        Ok(parts
            .map(|part| self.upload.put_part(part.into_bytes().into()))
            .collect())
    }
}

impl Waiting {
    fn sending(&self) -> std::sync::MutexGuard<'_, Option<sealstone::Result<Vec<UploadPart>>>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_sent(&self) -> bool {
        self.sending().is_some()
    }

    fn set(&self, sending: sealstone::Result<Vec<UploadPart>>) {
        *self.sending() = Some(sending);
    }

    /// The inner upload's futures of a part that it has.
    fn take(&self) -> sealstone::Result<Vec<UploadPart>> {
        let mut sending = self.sending();
        sending.replace(Ok(Vec::new())).unwrap_or(Ok(Vec::new()))
    }
}

/// The length of the parts of an object of `len` bytes: stores take up to 10,000 of them, and sealing makes them longer.
pub(super) fn part_len(len: u64) -> usize {
    usize::try_from(len.div_ceil(9_000)).unwrap_or(usize::MAX).max(PART)
}

/// Sends all of a stream in parts of this length, a few at a time, and completes the upload; aborts it after an error.
pub(super) async fn send_all(
    stream: BoxStream<'static, Result<Bytes>>,
    upload: &mut Box<dyn MultipartUpload>,
    part_len: usize,
) -> Result<PutResult> {
    let sent = async {
        send_parts(stream, upload, part_len).await?;
        upload.complete().await
    };
    let sent = sent.await;
    if sent.is_err() {
        // That error matters more than one of cleaning up.
        let _ = upload.abort().await;
    }
    sent
}

async fn send_parts(
    mut stream: BoxStream<'static, Result<Bytes>>,
    upload: &mut Box<dyn MultipartUpload>,
    part_len: usize,
) -> Result<()> {
    let mut sending = FuturesUnordered::new();
    let mut pending = Pending::default();
    loop {
        let next = stream.try_next().await?;
        let has_ended = next.is_none();
        pending.extend(next);
        while pending.len >= part_len || (has_ended && pending.len > 0) {
            if sending.len() == PARTS {
                sending.next().await.transpose()?;
            }
            let part = pending.take(part_len.min(pending.len));
            sending.push(upload.put_part(PutPayload::from_iter(part)));
        }
        if has_ended {
            return sending.try_collect::<Vec<()>>().await.map(drop);
        }
    }
}

/// Bytes that wait for more.
#[derive(Default)]
struct Pending {
    buffers: VecDeque<Bytes>,
    len: usize,
}

impl Pending {
    fn extend(&mut self, buffers: impl IntoIterator<Item = Bytes>) {
        for buffer in buffers {
            self.len += buffer.len();
            self.buffers.push_back(buffer);
        }
    }

    /// The first `len` bytes.
    fn take(&mut self, len: usize) -> Vec<Bytes> {
        self.len -= len;
        let mut taken = Vec::new();
        let mut missing = len;
        while let Some(mut buffer) = self.buffers.pop_front() {
            if buffer.len() > missing {
                let rest = buffer.split_off(missing);
                self.buffers.push_front(rest);
            }
            missing -= buffer.len();
            taken.push(buffer);
            if missing == 0 {
                break;
            }
        }
        taken
    }
}

impl fmt::Debug for EncryptedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedUpload")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_any_length_fits_into_10_000_parts() {
        for len in [0, 1, 64 << 20, 78 << 30, 100 << 30, 50 << 40] {
            let part_len = part_len(len);
            assert!(part_len >= PART && len.div_ceil(part_len as u64) <= 9_000, "{len}");
        }
    }
}
