//! The first error of a value that cannot continue after it: every later call returns the same error.
//!
//! ```text
//! enter -> step -> settle     Ok: the next step may begin        Err, or a panic: no step begins again
//! ```

#[cfg(feature = "tokio")]
use std::task::Poll;

use crate::error::{Error, Result};

/// Remembers the first error. While a step runs, it holds [`Error::Poisoned`], which remains if the step panics.
#[derive(Debug, Default)]
pub(crate) struct Sticky(Option<Error>);

impl Sticky {
    /// A value that fails from the start.
    pub(crate) const fn failed(error: Error) -> Self {
        Self(Some(error))
    }

    /// # Errors
    /// The error that an earlier step returned.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.clone().map_or(Ok(()), Err)
    }

    /// Begins a step.
    ///
    /// # Errors
    /// The error that an earlier step returned.
    pub(crate) fn enter(&mut self) -> Result<()> {
        self.check()?;
        self.0 = Some(Error::Poisoned);
        Ok(())
    }

    /// Ends a step, and keeps its error.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        self.0 = result.as_ref().err().cloned();
        result
    }

    /// [`Sticky::settle`] for a step that the next poll may continue.
    #[cfg(feature = "tokio")]
    pub(crate) fn settle_poll<T>(&mut self, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        match polled {
            Poll::Ready(result) => Poll::Ready(self.settle(result)),
            Poll::Pending => {
                self.0 = None;
                Poll::Pending
            }
        }
    }

    pub(crate) const fn failure(&self) -> Option<&Error> {
        self.0.as_ref()
    }
}

/// A value whose steps stop permanently at the first error.
pub(crate) trait Guarded {
    fn sticky(&mut self) -> &mut Sticky;

    /// Runs `step` unless an earlier one has failed.
    ///
    /// # Errors
    /// As `step`; the error that an earlier step returned.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.sticky().enter()?;
        let result = step(self);
        self.sticky().settle(result)
    }

    /// The polling form of [`Guarded::guarded`].
    #[cfg(feature = "tokio")]
    fn poll_guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Poll<Result<T>>) -> Poll<Result<T>> {
        self.sticky().enter()?;
        let polled = step(self);
        self.sticky().settle_poll(polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(Sticky, u32);

    impl Guarded for Counter {
        fn sticky(&mut self) -> &mut Sticky {
            &mut self.0
        }
    }

    #[test]
    fn the_first_error_or_panic_is_returned_from_then_on() {
        let mut counter = Counter(Sticky::default(), 0);
        let count = |counter: &mut Counter| {
            counter.1 += 1;
            if counter.1 == 2 { Err(Error::Cancelled) } else { Ok(()) }
        };
        assert!(counter.guarded(count).is_ok());
        for _ in 0..3 {
            assert!(matches!(counter.guarded(count), Err(Error::Cancelled)));
        }
        assert_eq!(counter.1, 2);

        let mut counter = Counter(Sticky::default(), 0);
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            counter.guarded(|_| -> Result<()> { panic!("a step") })
        }));
        assert!(panics.is_err());
        assert!(matches!(counter.guarded(count), Err(Error::Poisoned)));
    }
}
