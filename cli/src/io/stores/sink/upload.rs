//! An upload in parts: begun with the first one, aborted unless it is completed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, Result};
use tokio::sync;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use super::super::runtime::{is_inside, spawn, wait};

/// How long an abort may take: the program ends after it.
const ABORT: Duration = Duration::from_secs(5);

/// The parts of one upload.
pub(super) struct Parts {
    store: Arc<dyn ObjectStore>,
    path: Path,
    shared: Arc<Shared>,
    in_flight: VecDeque<JoinHandle<Result<()>>>,
    is_begun: bool,
}

/// What an abort needs, on whatever thread.
#[derive(Default)]
struct Shared {
    /// `None` before the upload is begun, and when it is completed.
    upload: sync::Mutex<Option<Box<dyn MultipartUpload>>>,
    sending: Mutex<Sending>,
}

/// The parts that an abort stops.
#[derive(Default)]
struct Sending {
    parts: Vec<AbortHandle>,
    is_aborted: bool,
}

impl Parts {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self {
            store,
            path,
            shared: Arc::default(),
            in_flight: VecDeque::new(),
            is_begun: false,
        }
    }

    /// Whether a part was sent.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Sends a part, when at most `most` are in flight with it. The first one begins the upload.
    pub(super) fn send(&mut self, part: Bytes, attributes: &Attributes, most: usize) -> Result<()> {
        while self.in_flight.len() >= most.max(1) {
            self.wait_for_one()?;
        }
        if !self.is_begun {
            self.begin(attributes)?;
        }
        let sent = wait(self.shared.upload.lock())
            .as_mut()
            .map(|upload| upload.put_part(part.into()));
        let task = spawn(sent.ok_or_else(aborted)?);
        let mut sending = self.shared.sending();
        if sending.is_aborted {
            task.abort();
        }
        sending.parts.retain(|part| !part.is_finished());
        sending.parts.push(task.abort_handle());
        drop(sending);
        self.in_flight.push_back(task);
        Ok(())
    }

    /// Waits until the store has all parts.
    pub(super) fn wait_for_all(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.wait_for_one()?;
        }
        Ok(())
    }

    /// Makes the object visible. All parts were waited for.
    pub(super) fn complete(&self) -> Result<()> {
        wait(async {
            let mut upload = self.shared.upload.lock().await;
            upload.as_mut().ok_or_else(aborted)?.complete().await?;
            *upload = None;
            Ok(())
        })
    }

    /// What aborts the upload.
    pub(super) fn undo(&self) -> Box<dyn FnOnce() + Send> {
        let shared = self.shared.clone();
        Box::new(move || shared.abort())
    }

    fn begin(&mut self, attributes: &Attributes) -> Result<()> {
        let options = PutMultipartOptions {
            attributes: attributes.clone(),
            ..PutMultipartOptions::default()
        };
        wait(async {
            // An abort waits for it, so that no upload begins after the abort.
            let mut upload = self.shared.upload.lock().await;
            *upload = Some(self.store.put_multipart_opts(&self.path, options).await?);
            Ok::<_, object_store::Error>(())
        })?;
        self.is_begun = true;
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<()> {
        match self.in_flight.pop_front() {
            Some(task) => wait(task).unwrap_or_else(|_| Err(aborted())),
            None => Ok(()),
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.shared.abort();
    }
}

impl Shared {
    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the parts that the store has. A failure is not reported: there is another one already.
    fn abort(&self) {
        let mut sending = self.sending();
        sending.is_aborted = true;
        for part in sending.parts.drain(..) {
            part.abort();
        }
        drop(sending);
        if is_inside() {
            return;
        }
        let _ = wait(async {
            timeout(ABORT, async {
                if let Some(mut upload) = self.upload.lock().await.take() {
                    let _ = upload.abort().await;
                }
            })
            .await
        });
    }
}

fn aborted() -> object_store::Error {
    object_store::Error::Generic {
        store: "upload",
        source: "the upload was aborted".into(),
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
