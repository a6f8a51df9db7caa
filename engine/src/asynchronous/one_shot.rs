//! Seals and opens objects in memory without blocking the runtime: the executor's pool works while the task waits.

use std::future::poll_fn;

use bytes::Bytes;

use crate::buffer::new_buffer;
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::encrypt::parts::{RunningPart, SealedPart};
use crate::error::Result;
use crate::executor::{Executor, Ordered};
use crate::range::RangeOpener;
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

impl RangeOpener {
    /// [`RangeOpener::open`] for an asynchronous program. Over 64 KiB the executor's pool opens while the task waits;
    /// with the serial executor, one poll opens everything.
    ///
    /// # Errors
    /// As [`RangeOpener::open`].
    pub async fn open_async(&self, ciphertext: Bytes) -> Result<Bytes> {
        let (range, len) = (self.clone(), ciphertext.len() as u64);
        run(self.unlocked().executor(), len, move || range.open(&ciphertext)).await
    }
}

impl RunningPart {
    /// [`RunningPart::seal_scattered`] for an asynchronous program. The work begins with the call, not with the first
    /// poll: on the executor's pool over 64 KiB, or else, or with the serial executor, before the call returns.
    ///
    /// # Errors
    /// As [`RunningPart::seal`].
    pub fn seal_async(self, plaintext: Vec<Bytes>) -> impl Future<Output = Result<SealedPart>> + Send + use<> {
        let executor = self.executor().clone();
        let len = self.plaintext_len() as u64;
        start(&executor, len, move || self.seal_scattered(&plaintext))
    }
}

/// Runs `work`, which processes `len` bytes.
pub(super) async fn run<T: Send + 'static>(
    executor: &Executor,
    len: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    start(executor, len, work).await
}

/// Starts `work`, which processes `len` bytes, and returns its result as a future.
fn start<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
    executor: &Executor,
    len: u64,
    work: W,
) -> impl Future<Output = T> + Send + use<T, W> {
    let started = if len <= INLINE as u64 || executor.is_serial() {
        Started::Done(work())
    } else {
        let mut jobs = Ordered::new(executor.clone(), INLINE);
        jobs.submit(work);
        Started::OnPool(jobs)
    };
    async move {
        match started {
            Started::Done(result) => result,
            Started::OnPool(mut jobs) => {
                let done = poll_fn(|cx| jobs.poll_next(cx)).await;
                done.expect("the job that was submitted has a result")
            }
        }
    }
}

/// Work that may have ended.
enum Started<T> {
    Done(T),
    OnPool(Ordered<T>),
}
