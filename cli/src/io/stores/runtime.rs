//! The runtime that requests run on. Commands wait for them on their own threads.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Requests wait most of the time; what takes time of a processor are their checksums and TLS.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime of this process.
fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sealstone-stores")
            .enable_all()
            .build()
            .expect("threads can be started: the program started others before")
    })
}

/// Waits for a result on the caller's thread, which is none of the runtime's.
pub(super) fn wait<F: Future>(work: F) -> F::Output {
    runtime().block_on(work)
}

/// Starts work, to be waited for later.
pub(super) fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime().spawn(work)
}

/// Whether the caller's thread is one of the runtime's, and must not wait.
pub(super) fn is_inside() -> bool {
    Handle::try_current().is_ok()
}
