//! A running mock.
//!
//! ```text
//! MockKms::start()                       kms-mock (thread)
//!   bind, load keys  ------------------>   runtime: accepts and answers on its workers
//!   drop  -------- stop ---------------->  ends all connections; joined
//! ```

mod builder;
mod error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

pub use self::builder::{Audit, MockKmsBuilder};
pub use self::error::StartError;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::service::Service;

/// A mock that runs until it is dropped.
///
/// It has its own threads and runtime, so that it works in any program, asynchronous or not.
#[derive(Debug)]
pub struct MockKms {
    endpoint: SocketAddr,
    control: Option<SocketAddr>,
    /// The TLS certificate authority in PEM.
    authority: Option<String>,
    account: String,
    region: String,
    service: Arc<Service>,
    faults: Faults,
    clock: Arc<Clock>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockKms {
    /// Starts a mock on a free port of 127.0.0.1, without keys, without a control port, and with nothing on disk.
    ///
    /// # Errors
    ///
    /// The system provides no port or no thread.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Configures a mock.
    pub fn builder() -> MockKmsBuilder {
        MockKmsBuilder::default()
    }

    /// The URL for `AWS_ENDPOINT_URL_KMS`, such as `http://127.0.0.1:40001`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoint)
    }

    /// The certificate in PEM that clients must trust; `None` without TLS. It is new after each start.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// The URL of the control port, if there is one.
    #[must_use]
    pub fn control_endpoint(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// The region of the keys that it was started with. Calls are answered in the region that they are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account in ARNs.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The last 4096 events of the audit log, oldest first, in CloudTrail's format.
    #[must_use]
    pub fn audit_events(&self) -> Vec<Value> {
        self.service.audit().events()
    }

    /// The injected faults: none at first.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Moves the clock forward, by at most a hundred years in total, and deletes and rotates the keys that are due.
    pub fn advance_clock(&self, by: Duration) {
        self.clock.advance(by);
        // If the state cannot be written, the next call that changes something reports it.
        let _ = self.service.settle();
    }
}

impl Drop for MockKms {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread reports its own panic.
            let _ = thread.join();
        }
    }
}
