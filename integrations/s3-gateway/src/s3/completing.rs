//! Completions of one upload wait for each other: each would upload the object's end, and undo another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The uploads that are being completed on this instance.
#[derive(Debug, Default)]
pub(super) struct Completing {
    uploads: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// Held while an upload is being completed.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    all: &'a Completing,
    upload: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Completing {
    /// Waits until no other request completes the upload.
    pub(super) async fn turn(&self, upload: &str) -> Turn<'_> {
        let lock = {
            let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            uploads.entry(upload.to_owned()).or_default().clone()
        };
        Turn {
            all: self,
            upload: upload.to_owned(),
            guard: Some(lock.lock_owned().await),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut uploads = self.all.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map has it: no one waits.
        if uploads
            .get(&self.upload)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            uploads.remove(&self.upload);
        }
    }
}
