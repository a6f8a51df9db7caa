//! One call that many callers wait for.
//!
//! Every caller also drives the call: whichever caller is polled polls it, so the call does not stall when the caller
//! that started it is dropped or not polled. No lock is held while a caller is suspended.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use crate::keys::BoxFuture;

/// A call in progress, and its result once it has ended.
pub(crate) struct Flight<T> {
    call: Mutex<Call<T>>,
    waiting: Waiting,
}

enum Call<T> {
    /// The future is taken out while it is polled, so one that panics is not put back.
    Running(Option<BoxFuture<'static, T>>),
    Ended(T),
}

impl<T: Clone + Send + 'static> Flight<T> {
    pub(crate) fn new(call: BoxFuture<'static, T>) -> Arc<Self> {
        Arc::new(Self {
            call: Mutex::new(Call::Running(Some(call))),
            waiting: Waiting::default(),
        })
    }

    /// The call's result, the same for all callers; `None` if it panicked.
    pub(crate) fn join(self: Arc<Self>) -> Join<T> {
        Join(self)
    }

    fn poll(&self) -> Poll<Option<T>> {
        let mut call = match self.call.try_lock() {
            Ok(call) => call,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another caller is polling, and wakes the others when it has finished or is dropped.
            Err(TryLockError::WouldBlock) => return Poll::Pending,
        };
        match &mut *call {
            Call::Ended(result) => Poll::Ready(Some(result.clone())),
            Call::Running(future) => {
                let Some(mut running) = future.take() else {
                    return Poll::Ready(None);
                };
                let waker = Waker::from(Arc::new(self.waiting.clone()));
                match running.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => {
                        *future = Some(running);
                        Poll::Pending
                    }
                    Poll::Ready(result) => {
                        *call = Call::Ended(result.clone());
                        drop(call);
                        self.waiting.wake_all();
                        Poll::Ready(Some(result))
                    }
                }
            }
        }
    }
}

/// A caller that waits for the call.
pub(crate) struct Join<T>(Arc<Flight<T>>);

impl<T: Clone + Send + 'static> Future for Join<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Registered before polling the call, so that no wake in between is lost.
        self.0.waiting.add(context.waker());
        self.0.poll()
    }
}

/// The dropped caller may be the one that was woken to drive the call, so the others are woken.
impl<T> Drop for Join<T> {
    fn drop(&mut self) {
        self.0.waiting.wake_all();
    }
}

#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<Vec<Waker>>>);

impl Waiting {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        for waker in wakers {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        // A panic cannot leave a list of wakers half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}
