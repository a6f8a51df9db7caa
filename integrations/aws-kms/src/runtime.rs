//! A small runtime for the calls, so that futures can be polled and dropped anywhere, inside or outside any runtime.
//!
//! ```text
//! caller's future --spawn--> own runtime: the call, all of it within `timeout` --> caller's future
//!      dropped    --abort-->
//! ```

use std::future::Future;
use std::time::Duration;

use sealstone::error::{ProviderError, ProviderErrorClass};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::KmsKey;
use crate::errors::failure;

/// Replaces a timeout too long to add to the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The runtime; `None` only while it is being dropped.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// # Errors
    /// Class `Unavailable` if its thread cannot be started.
    pub(crate) fn start(key: Option<&KmsKey>) -> Result<Self, ProviderError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // These read configuration files and resolve host names.
            .max_blocking_threads(4)
            .thread_name("sealstone-aws-kms")
            .enable_all()
            .build()
            .map_err(|error| {
                let message = "its thread cannot be started";
                failure(ProviderErrorClass::Unavailable, key, message).with_source(error)
            })?;
        Ok(Self(Some(runtime)))
    }

    /// Runs the work until it ends, `timeout` passes, or this future is dropped.
    pub(crate) async fn run<T, F>(
        &self,
        timeout: Duration,
        key: Option<&KmsKey>,
        work: impl FnOnce(Instant) -> F,
    ) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + LONGEST);
        let work = work(deadline);
        let unavailable = |message: String| failure(ProviderErrorClass::Unavailable, key, message);
        let Some(runtime) = &self.0 else {
            return Err(unavailable("it is being dropped".to_owned()));
        };
        // The timer belongs to this runtime too, so it is created there.
        let mut task = AbortOnDrop(runtime.spawn(async move { timeout_at(deadline, work).await }));
        match (&mut task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(unavailable(format!(
                "no answer from KMS within {timeout:?}, waiting and retries included; check the network"
            ))),
            Err(error) if error.is_panic() => {
                let message = "the AWS client cannot work with its configuration";
                Err(failure(ProviderErrorClass::Configuration, key, message).with_source(error))
            }
            Err(error) => Err(unavailable("the call ended early".to_owned()).with_source(error)),
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Waiting for the shutdown is not allowed inside another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
