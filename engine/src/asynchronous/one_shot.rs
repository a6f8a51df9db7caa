//! Objects in memory, sealed and opened without holding up the runtime: on the executor's pool, while the task waits.

use std::future::poll_fn;

use bytes::Bytes;

use crate::buffer::new_buffer;
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::Result;
use crate::executor::{Executor, Ordered};
use crate::unlocked::Unlocked;

/// Shorter work is done at once: handing it to another thread takes longer.
const INLINE: usize = 64 * 1024;

impl Encryptor {
    /// [`Encryptor::seal`] for an asynchronous program. The key is awaited. Over 64 KiB the executor's pool seals while the
    /// task waits; on the serial executor all of it is sealed by one poll.
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
    /// [`Decryptor::open`] for an asynchronous program: as [`Unlocked::open_async`], with the key awaited before.
    ///
    /// # Errors
    /// As [`Decryptor::open`].
    pub async fn open_async(&self, object: Bytes) -> Result<Bytes> {
        let header = Self::read_header(&object)?;
        header.check_complete()?;
        self.unlock_async(header).await?.open_async(object).await
    }
}

impl Unlocked {
    /// [`Unlocked::open`] for an asynchronous program. Over 64 KiB the executor's pool opens while the task waits; on the
    /// serial executor all of it is opened by one poll.
    ///
    /// # Errors
    /// As [`Unlocked::open`].
    pub async fn open_async(&self, object: Bytes) -> Result<Bytes> {
        let (unlocked, len) = (self.clone(), object.len() as u64);
        let open = move || unlocked.open(&object).map(Bytes::from);
        run(self.executor(), len, open).await
    }
}

/// Does `work` on `len` bytes.
async fn run<T: Send + 'static>(executor: &Executor, len: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    if len <= INLINE as u64 || executor.is_serial() {
        return work();
    }
    let mut jobs = Ordered::new(executor.clone(), INLINE);
    jobs.submit(work);
    let done = poll_fn(|cx| jobs.poll_next(cx)).await;
    done.expect("the job that was submitted has a result")
}
