//! A running mock.
//!
//! ```text
//! MockKms::start()                       kms-mock (thread)
//!   bind, load keys  ------------------>   runtime: accepts, and answers on its workers
//!   drop  -------- stop ---------------->  ends all connections; joined
//! ```

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::control::Control;
use crate::endpoint::Endpoint;
use crate::faults::{Faults, Settings};
use crate::http::{self, Handler, Limits};
use crate::service::{Service, ServiceConfig};
use crate::store::{Region, Seed};
use crate::tls::Tls;

mod error;

pub use error::StartError;

/// Where the mock's audit log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audit {
    /// Only to [`MockKms::audit_events`].
    #[default]
    Memory,
    /// Also to standard output, one event a line.
    Stdout,
    /// Also to the end of this file, one event a line.
    File(PathBuf),
}

/// Answers take microseconds, of which the socket takes most: two threads feed more clients than a test has.
const WORKERS: usize = 2;
/// With an answer that is being made when the mock ends: an audit log that nobody reads may block it for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of the audit log, in memory: less than 2 KiB each.
const EVENTS_KEPT: usize = 4096;

/// A mock that runs until it is dropped.
///
/// It has threads and a runtime of its own: it can be started in any program, asynchronous or not.
#[derive(Debug)]
pub struct MockKms {
    endpoint: SocketAddr,
    control: Option<SocketAddr>,
    /// Of TLS, in PEM.
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
    /// A mock on a free port of 127.0.0.1, with no keys, no control port, and nothing on disk.
    ///
    /// # Errors
    ///
    /// The system gives no port or no thread.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// A mock that is told more.
    pub fn builder() -> MockKmsBuilder {
        MockKmsBuilder::default()
    }

    /// Its URL, such as `http://127.0.0.1:40001`: for `AWS_ENDPOINT_URL_KMS`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoint)
    }

    /// The certificate, in PEM, that clients have to trust: with TLS only. It is another one after each start.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// The URL of its control port, if it has one.
    #[must_use]
    pub fn control_endpoint(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// Where the keys are that it was started with. Calls are answered in the region that they are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account in its ARNs.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// What the audit log has, oldest first: the last 4096 events, in CloudTrail's shape.
    #[must_use]
    pub fn audit_events(&self) -> Vec<Value> {
        self.service.audit().events()
    }

    /// The faults that it makes on purpose: none at first.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Moves its clock forward, at most a hundred years in all: keys are deleted and rotated when their time comes.
    pub fn advance_clock(&self, by: Duration) {
        self.clock.advance(by);
        // A state that cannot be written is told by the next call that changes something.
        let _ = self.service.settle();
    }
}

impl Drop for MockKms {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the thread.
            let _ = thread.join();
        }
    }
}

/// How a mock is to be.
#[derive(Debug, Clone)]
#[must_use]
pub struct MockKmsBuilder {
    listen: SocketAddr,
    tls: bool,
    control: Option<SocketAddr>,
    account: String,
    region: String,
    audit: Audit,
    state: Option<PathBuf>,
    seed_keys: Option<PathBuf>,
    aliases: Vec<String>,
    settings: Settings,
    limits: Limits,
}

impl Default for MockKmsBuilder {
    fn default() -> Self {
        Self {
            listen: any_port(),
            tls: false,
            control: None,
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            audit: Audit::default(),
            state: None,
            seed_keys: None,
            aliases: Vec::new(),
            settings: Settings::default(),
            limits: Limits::default(),
        }
    }
}

impl MockKmsBuilder {
    /// Where it listens; port 0 takes a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Answers over TLS, and nothing without, for clients that insist on it. The certificate is its own:
    /// [`MockKms::certificate`]. The control port stays as it is.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Gives it a control port on a free port of 127.0.0.1.
    pub fn control(self) -> Self {
        self.control_on(any_port())
    }

    /// Gives it a control port here. Whoever reaches it can do anything to the mock.
    pub fn control_on(mut self, address: SocketAddr) -> Self {
        self.control = Some(address);
        self
    }

    /// Makes a key with this alias, unless there is one.
    pub fn key(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Keeps keys in this file, so that another mock can go on with them.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Makes the keys that this file describes.
    pub fn seed_keys(mut self, path: impl Into<PathBuf>) -> Self {
        self.seed_keys = Some(path.into());
        self
    }

    /// Where audit events go.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Where the keys are that it is started with: `us-east-1` unless given. Calls are answered in the region that they
    /// are signed for.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The account in its ARNs: twelve digits.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// What holds for all calls from the start.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How long a client may take for the head of a request, and how long for its body: 10 seconds.
    pub fn client_timeout(mut self, timeout: Duration) -> Self {
        self.limits.head_timeout = timeout;
        self.limits.body_timeout = timeout;
        self
    }

    /// How many connections are served at a time: 1024.
    pub fn connections(mut self, connections: u16) -> Self {
        self.limits.connections = usize::from(connections.max(1));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// An address is taken, a file cannot be used, or a setting makes no sense.
    pub fn start(self) -> Result<MockKms, StartError> {
        let endpoint = bind(self.listen)?;
        let control = self.control.map(bind).transpose()?;
        let clock = Arc::new(Clock::default());
        let service = Arc::new(self.service(clock.clone())?);
        let faults = Faults::new(&service);
        faults.set_settings(self.settings)?;

        let tls = self.tls.then(|| Tls::new(self.listen.ip())).transpose();
        let tls = tls.map_err(|error| StartError::Thread(io::Error::other(error)))?;
        let (acceptor, authority) = tls.map(|tls| (tls.acceptor, tls.authority)).unzip();
        let endpoint_address = endpoint.local_addr().map_err(StartError::Thread)?;
        let control_address = control
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(StartError::Thread)?;
        let limits = self.limits;
        let runtime = runtime().map_err(StartError::Thread)?;
        let handler = Endpoint {
            service: service.clone(),
            faults: faults.clone(),
            limits,
        };
        serve(&runtime, endpoint, acceptor, handler, limits)?;
        if let Some(listener) = control {
            let (service, faults, clock) = (service.clone(), faults.clone(), clock.clone());
            serve(
                &runtime,
                listener,
                None,
                Control {
                    service,
                    faults,
                    clock,
                    limits,
                },
                limits,
            )?;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("kms-mock".to_owned())
            .spawn(move || {
                // The sender is dropped with the mock: an error is the signal. With the runtime, all connections end.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_timeout(PATIENCE);
            })
            .map_err(StartError::Thread)?;
        Ok(MockKms {
            endpoint: endpoint_address,
            control: control_address,
            authority,
            account: self.account,
            region: self.region,
            service,
            faults,
            clock,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl MockKmsBuilder {
    fn service(&self, clock: Arc<Clock>) -> Result<Service, StartError> {
        if self.account.len() != 12 || !self.account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(StartError::Keys("an account has twelve digits".to_owned()));
        }
        let Some(region) = Region::parse(&self.region) else {
            return Err(StartError::Keys("a region has letters, digits and hyphens".to_owned()));
        };
        let unusable = |path: &Path, error: &dyn Display| StartError::Keys(format!("{}: {error}", path.display()));
        let seeds = match &self.seed_keys {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read(path)
                    .map(Zeroizing::new)
                    .map_err(|error| unusable(path, &error))?;
                Seed::parse_file(&text).map_err(|error| unusable(path, &error))?
            }
        };
        let audit = match &self.audit {
            Audit::Memory => AuditLog::default(),
            Audit::Stdout => AuditLog::to_stdout(),
            Audit::File(path) => AuditLog::to_file(path).map_err(|error| unusable(path, &error))?,
        };
        let service = Service::new(ServiceConfig {
            account: self.account.clone(),
            region,
            clock,
            audit: audit.keeping(EVENTS_KEPT),
            state: self.state.clone(),
            seeds,
            ..ServiceConfig::default()
        })
        .map_err(|error| StartError::Keys(error.to_string()))?;
        for alias in &self.aliases {
            service.ensure_alias(alias).map_err(|error| {
                let what = if error.message.is_empty() {
                    &error.kind
                } else {
                    &error.message
                };
                StartError::Keys(format!("key {alias:?}: {what}"))
            })?;
        }
        Ok(service)
    }
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| StartError::Listen { address, source })
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("kms-mock-worker")
        .enable_io()
        .enable_time()
        .build()
}

fn serve<H: Handler>(
    runtime: &Runtime,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: H,
    limits: Limits,
) -> Result<(), StartError> {
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Thread)?;
    runtime.spawn(http::serve(listener, tls, Arc::new(handler), limits));
    Ok(())
}
