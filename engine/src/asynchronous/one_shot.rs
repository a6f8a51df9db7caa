//! Seals and opens objects in memory without blocking the runtime: the executor's pool works while the task waits.

use std::future::poll_fn;

use bytes::Bytes;

use crate::buffer::new_buffer;
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::Result;
use crate::executor::{Executor, Ordered};
use crate::unlocked::Unlocked;

/// Shorter work is done inline: handing it to another thread takes longer.
const INLINE: usize = 64 * 1024;

impl Encryptor {
    /// [`Encryptor::seal`] for an asynchronous program. Awaits the key. Over 64 KiB the executor's pool seals while the
    /// task waits; with the serial executor, one poll seals everything.
    ///
    /// # Errors
    /// As [`Encryptor::seal`].
    pub async fn seal_async(&self, plaintext: Bytes) -> Result<Bytes> {
        let len = self.object_len(plaintext.len() as u64)?;
        let object = self.begin_async().await?;
        let executor = object.executor.clone();
        let seal = move || {
            let mut sealed = new_buffer(len)?;
            object.seal_into(&plaintext, &mut sealed)?;
            Ok(sealed.into())
        };
        run(&executor, len, seal).await
    }
}

impl Decryptor {
    /// [`Decryptor::open`] for an asynchronous program. Awaits the key, then opens as [`Unlocked::open_async`].
    ///
    /// # Errors
    /// As [`Decryptor::open`].
    pub async fn open_async(&self, object: Bytes) -> Result<Bytes> {
        let header = Self::read_header(&object)?;
        header.check_complete()?;
        let unlocked = self.unlock_at_async(header, &object).await?;
        unlocked.open_async(object).await
    }
}

impl Unlocked {
    /// [`Unlocked::open`] for an asynchronous program. Over 64 KiB the executor's pool opens while the task waits; with
    /// the serial executor, one poll opens everything.
    ///
    /// # Errors
    /// As [`Unlocked::open`].
    pub async fn open_async(&self, object: Bytes) -> Result<Bytes> {
        let (unlocked, len) = (self.clone(), object.len() as u64);
        let open = move || unlocked.open(&object).map(Bytes::from);
        run(self.executor(), len, open).await
    }
}

/// Runs `work`, which processes `len` bytes.
pub(super) async fn run<T: Send + 'static>(
    executor: &Executor,
    len: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if len <= INLINE as u64 || executor.is_serial() {
        return work();
    }
    let mut jobs = Ordered::new(executor.clone(), INLINE);
    jobs.submit(work);
    let done = poll_fn(|cx| jobs.poll_next(cx)).await;
    done.expect("the job that was submitted has a result")
}
