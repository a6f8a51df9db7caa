//! A conformance suite for key providers: what [`KeyProvider`] promises, checked for any implementation.
//!
//! ```
//! use sealstone::RawKey;
//! use sealstone::testing::Conformance;
//!
//! let [key, other] = [1, 2].map(|byte| RawKey::from_slice(&[byte; 32]).expect("32 bytes"));
//! Conformance::new(&key, &other).assert();
//! ```
//!
//! Run it in the provider's own tests. It makes a few hundred calls, fewer with
//! [`with_samples`](Conformance::with_samples), and needs a key that it may wrap with.

mod checks;
mod slots;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::EncryptionContext;
use crate::keys::KeyProvider;

/// The suite, with the providers that it tests.
#[derive(Debug, Clone)]
#[must_use = "nothing is checked yet"]
pub struct Conformance<'a> {
    provider: &'a dyn KeyProvider,
    other: &'a dyn KeyProvider,
    twin: Option<&'a dyn KeyProvider>,
    context: EncryptionContext,
    samples: usize,
    threads: usize,
}

/// A promise that the provider broke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The check that found it, as [`Conformance::checks`] lists it.
    pub check: &'static str,
    /// What the provider did, and what it should have done.
    pub message: String,
}

impl<'a> Conformance<'a> {
    /// Tests `provider`. `other` is a provider of the same kind with another key, which must not open its slots.
    pub fn new(provider: &'a dyn KeyProvider, other: &'a dyn KeyProvider) -> Self {
        Self {
            provider,
            other,
            twin: None,
            context: EncryptionContext::new()
                .with("conformance", "stored")
                .with_supplied("object", "supplied"),
            samples: usize::MAX,
            threads: 8,
        }
    }

    /// Adds a second provider with the same key, as another process would have: each must open the other's slots.
    pub const fn with_twin(mut self, twin: &'a dyn KeyProvider) -> Self {
        self.twin = Some(twin);
        self
    }

    /// Sets the context to wrap under, for a provider that requires certain pairs.
    pub fn with_context(mut self, context: EncryptionContext) -> Self {
        self.context = context;
        self
    }

    /// Sets at how many places a wrapped key is damaged, at most, for a provider whose calls are slow. By default at
    /// every byte.
    pub const fn with_samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets how many threads call the provider at once; by default 8.
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The names of the checks, in the order in which they run.
    pub fn checks() -> impl Iterator<Item = &'static str> {
        checks::CHECKS.iter().map(|(name, _)| *name)
    }

    /// Runs every check and returns the failures, at most one for each check. A panic of the provider is a failure.
    #[must_use]
    pub fn run(&self) -> Vec<Failure> {
        let failure = |&(check, run): &(&'static str, checks::Check)| {
            let message = match catch_unwind(AssertUnwindSafe(|| run(self))) {
                Ok(Ok(())) => return None,
                Ok(Err(message)) => message,
                Err(panic) => format!("a call panicked: {}", panic_message(panic.as_ref())),
            };
            Some(Failure { check, message })
        };
        checks::CHECKS.iter().filter_map(failure).collect()
    }

    /// Runs every check.
    ///
    /// # Panics
    /// If any check fails. The message lists all failures.
    pub fn assert(&self) {
        let failures: Vec<String> = self.run().iter().map(ToString::to_string).collect();
        assert!(
            failures.is_empty(),
            "the provider {:?} fails {} of {} checks:\n{}",
            self.provider,
            failures.len(),
            checks::CHECKS.len(),
            failures.join("\n")
        );
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.message)
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
