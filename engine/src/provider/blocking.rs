//! A provider whose futures need an async runtime, for callers that have none, or another.
//!
//! ```text
//! caller:  work = owned future of the call, ending in a reply --channel--> thread:  driver(work)
//!          Answer <-------------- reply, or an error when the reply is dropped unsent
//! ```

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::{BoxFuture, GeneratedKey, KeyMatch, KeyProvider};
use crate::context::EncryptionContext;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::keys::DataKey;

/// Drives another provider's futures on a thread of its own, so that its own can be polled by anything, inside or
/// outside any runtime.
///
/// Calls run one after another. A call whose future was dropped before its turn is left out. The thread ends, and
/// the driver is dropped there, when this is dropped and the running call has ended.
pub struct BlockingProvider {
    provider: Arc<dyn KeyProvider>,
    thread: mpsc::Sender<BoxFuture<'static, ()>>,
}

impl BlockingProvider {
    /// For a provider that needs no runtime, only a thread that it may block.
    ///
    /// # Errors
    /// Class `Unavailable` if no thread can be started.
    pub fn new(provider: impl KeyProvider + 'static) -> Result<Self, ProviderError> {
        Self::with_driver(provider, pollster::block_on)
    }

    /// `driver` drives a future to its end, for example `move |future| runtime.block_on(future)`. If it panics, or
    /// returns before the end, the call fails as `Unavailable`.
    ///
    /// # Errors
    /// Class `Unavailable` if no thread can be started.
    pub fn with_driver(
        provider: impl KeyProvider + 'static,
        mut driver: impl FnMut(BoxFuture<'static, ()>) + Send + 'static,
    ) -> Result<Self, ProviderError> {
        let (sender, receiver) = mpsc::channel();
        let run = move || {
            for work in receiver {
                // The call fails by its dropped reply; the driver is tried again for the next one.
                let _ = catch_unwind(AssertUnwindSafe(|| driver(work)));
            }
        };
        let spawned = thread::Builder::new().name("sealstone-provider".to_owned()).spawn(run);
        spawned.map_err(|error| unavailable(provider.id(), "its thread cannot be started").with_source(error))?;
        Ok(Self {
            provider: Arc::new(provider),
            thread: sender,
        })
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Answer<T> {
        let slot = Arc::new(Mutex::new(Slot::default()));
        let reply = Reply {
            slot: Some(Arc::clone(&slot)),
            provider: self.provider.id().to_owned(),
        };
        let work = Box::pin(async move {
            if reply.is_awaited() {
                reply.send(work.await);
            }
        });
        // Without the thread the work comes back and is dropped, and the reply with it.
        let _ = self.thread.send(work);
        Answer { slot }
    }
}

impl fmt::Debug for BlockingProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingProvider").field(&self.provider).finish()
    }
}

impl KeyProvider for BlockingProvider {
    fn id(&self) -> &str {
        self.provider.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.provider.matches(slot)
    }

    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        self.provider.can_rewrap(slot)
    }

    fn generate<'a>(&'a self, context: &'a EncryptionContext) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        let (provider, context) = (Arc::clone(&self.provider), context.clone());
        Box::pin(self.call(async move { provider.generate(&context).await }))
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        let (provider, context) = (Arc::clone(&self.provider), context.clone());
        // The thread may outlive the caller's key: it has its own, wiped as that is.
        let data_key = DataKey::filled_by(|copy| copy.copy_from_slice(data_key.expose()));
        Box::pin(self.call(async move { provider.wrap(&data_key, &context).await }))
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        let (provider, wrapped, context) = (Arc::clone(&self.provider), wrapped.clone(), context.clone());
        Box::pin(self.call(async move { provider.unwrap(&wrapped, &context).await }))
    }

    fn rewrap<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        let (provider, wrapped) = (Arc::clone(&self.provider), wrapped.clone());
        let (from, to) = (from.clone(), to.clone());
        Box::pin(self.call(async move { provider.rewrap(&wrapped, &from, &to).await }))
    }

    fn rebind<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        let (provider, wrapped) = (Arc::clone(&self.provider), wrapped.clone());
        let (from, to) = (from.clone(), to.clone());
        Box::pin(self.call(async move { provider.rebind(&wrapped, &from, &to).await }))
    }
}

/// Where a result waits for the caller, or the caller for it.
struct Slot<T> {
    result: Option<Result<T, ProviderError>>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            result: None,
            waker: None,
        }
    }
}

/// Nothing panics while the lock is held, so a poisoned one is as good.
fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's end. Dropped unsent it sends an error, so that no panic leaves a caller waiting.
struct Reply<T> {
    /// `None` when the result was sent.
    slot: Option<Arc<Mutex<Slot<T>>>>,
    provider: String,
}

impl<T> Reply<T> {
    fn is_awaited(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1)
    }

    fn send(mut self, result: Result<T, ProviderError>) {
        self.deliver(result);
    }

    fn deliver(&mut self, result: Result<T, ProviderError>) {
        let Some(slot) = self.slot.take() else { return };
        let waker = {
            let mut slot = lock(&slot);
            slot.result = Some(result);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.deliver(Err(unavailable(
            &self.provider,
            "the call was given up: its driver panicked or returned early",
        )));
    }
}

/// The caller's end.
struct Answer<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Future for Answer<T> {
    type Output = Result<T, ProviderError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn unavailable(provider: &str, message: &str) -> ProviderError {
    ProviderError::new(ProviderErrorClass::Unavailable, provider, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::RawKey;
    use crate::provider::testing::{assert_binds_names_and_context, assert_round_trips};

    /// Awaits a timer of tokio's before each call: it panics unless a runtime of tokio's drives it.
    #[derive(Debug)]
    struct NeedsTokio(RawKey);

    impl NeedsTokio {
        fn new() -> Self {
            Self(RawKey::from_slice(&[7; 32]).unwrap())
        }
    }

    impl KeyProvider for NeedsTokio {
        fn id(&self) -> &str {
            self.0.id()
        }

        fn matches(&self, slot: &WrappedKey) -> KeyMatch {
            self.0.matches(slot)
        }

        fn wrap<'a>(
            &'a self,
            data_key: &'a DataKey,
            context: &'a EncryptionContext,
        ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.0.wrap(data_key, context).await
            })
        }

        fn unwrap<'a>(
            &'a self,
            wrapped: &'a WrappedKey,
            context: &'a EncryptionContext,
        ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.0.unwrap(wrapped, context).await
            })
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    fn on_tokio() -> BlockingProvider {
        let runtime = runtime();
        BlockingProvider::with_driver(NeedsTokio::new(), move |future| runtime.block_on(future)).unwrap()
    }

    fn assert_unavailable(provider: &BlockingProvider) {
        let error = pollster::block_on(provider.generate(&EncryptionContext::new())).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Unavailable);
        assert_eq!(error.provider, "raw");
    }

    #[test]
    fn blocks_outside_any_runtime() {
        assert_round_trips(&on_tokio());
        assert_binds_names_and_context(&on_tokio());
    }

    #[test]
    fn blocks_inside_a_runtime_of_one_thread() {
        runtime().block_on(async { assert_round_trips(&on_tokio()) });
    }

    #[test]
    fn blocks_inside_a_runtime_of_many_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let task = runtime.spawn(async { assert_round_trips(&on_tokio()) });
        runtime.block_on(task).unwrap();
    }

    #[test]
    fn is_awaited_inside_a_runtime() {
        let provider = on_tokio();
        let context = EncryptionContext::new();
        let opened = runtime().block_on(async {
            let generated = provider.generate(&context).await.unwrap();
            let opened = provider.unwrap(&generated.wrapped, &context).await.unwrap();
            opened.expose() == generated.data_key.expose()
        });
        assert!(opened);
    }

    #[test]
    fn a_provider_without_a_runtime_needs_no_driver() {
        assert_round_trips(&BlockingProvider::new(RawKey::from_slice(&[7; 32]).unwrap()).unwrap());
    }

    #[test]
    fn many_threads_may_call_at_once() {
        let provider = on_tokio();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_round_trips(&provider));
            }
        });
    }

    #[test]
    fn a_panic_fails_the_call_and_not_the_next() {
        let runtime = runtime();
        let mut calls = 0;
        let provider = BlockingProvider::with_driver(NeedsTokio::new(), move |future| {
            calls += 1;
            assert!(calls > 1, "the first call panics, as it should in this test");
            runtime.block_on(future);
        });
        let provider = provider.unwrap();
        assert_unavailable(&provider);
        assert_round_trips(&provider);
    }

    #[test]
    fn a_future_that_panics_fails_the_call() {
        assert_unavailable(&BlockingProvider::new(NeedsTokio::new()).unwrap());
    }

    #[test]
    fn a_driver_that_returns_early_fails_the_call() {
        assert_unavailable(&BlockingProvider::with_driver(NeedsTokio::new(), drop).unwrap());
    }

    #[test]
    fn a_call_nobody_awaits_any_more_is_left_out() {
        let provider = BlockingProvider::new(RawKey::from_slice(&[7; 32]).unwrap()).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let (polled, was_polled) = mpsc::channel();
        let first = provider.call(async move { gate.recv().map_err(|_| unavailable("raw", "")) });
        drop(provider.call(async move { polled.send(()).map_err(|_| unavailable("raw", "")) }));
        open.send(()).unwrap();
        pollster::block_on(first).unwrap();
        assert_round_trips(&provider);
        assert!(was_polled.recv().is_err());
    }

    #[test]
    fn the_thread_and_its_driver_end_when_dropped() {
        let (alive, ended) = mpsc::channel::<()>();
        let provider = BlockingProvider::with_driver(NeedsTokio::new(), move |future| {
            let _ = &alive;
            drop(future);
        });
        drop(provider);
        assert_eq!(
            ended.recv_timeout(Duration::from_secs(60)),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
