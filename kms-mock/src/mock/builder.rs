//! Configuring and starting a mock.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{MockKms, StartError};
use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::control::Control;
use crate::endpoint::Endpoint;
use crate::faults::{Faults, Settings};
use crate::http::{self, Handler, Limits};
use crate::service::{Service, ServiceConfig};
use crate::store::{Region, Seed};
use crate::tls::Tls;

/// The destination of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audit {
    /// Only to [`MockKms::audit_events`].
    #[default]
    Memory,
    /// Also to standard output, one event per line.
    Stdout,
    /// Also to the end of this file, one event per line.
    File(PathBuf),
}

/// Answers take microseconds, most of it in the socket: two threads serve more clients than a test has.
const WORKERS: usize = 2;
/// How long an answer in progress may delay the end of the mock. An audit log on a full pipe would block it forever.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events kept in memory, less than 2 KiB each.
const EVENTS_KEPT: usize = 4096;

/// The configuration of a mock.
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
    /// Sets the address to listen on. Port 0 picks a free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Serves over TLS only, for clients that require it, with a self-made certificate: [`MockKms::certificate`]. The
    /// control port stays without TLS.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Adds a control port on a free port of 127.0.0.1.
    pub fn control(self) -> Self {
        self.control_on(any_port())
    }

    /// Adds a control port on this address. Everyone who can reach it controls the mock.
    pub fn control_on(mut self, address: SocketAddr) -> Self {
        self.control = Some(address);
        self
    }

    /// Creates a key with this alias unless it exists.
    pub fn key(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Keeps the keys in this file, for later mocks.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Creates the keys that this file describes.
    pub fn seed_keys(mut self, path: impl Into<PathBuf>) -> Self {
        self.seed_keys = Some(path.into());
        self
    }

    /// Sets the destination of audit events.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Sets the region of the keys that it is started with, by default `us-east-1`. Calls are answered in the region
    /// that they are signed for.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Sets the account in ARNs: twelve digits.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// Sets the initial settings for all calls.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets how long a client may take for the head of a request and for its body each, by default 10 seconds.
    pub fn client_timeout(mut self, timeout: Duration) -> Self {
        self.limits.head_timeout = timeout;
        self.limits.body_timeout = timeout;
        self
    }

    /// Sets how many connections are served at a time, by default 1024.
    pub fn connections(mut self, connections: u16) -> Self {
        self.limits.connections = usize::from(connections.max(1));
        self
    }

    /// Starts the mock.
    ///
    /// # Errors
    ///
    /// An address is in use, a file cannot be used, or a setting is invalid.
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
                // Dropping the mock drops the sender: the error is the signal. The runtime's end closes all
                // connections.
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
            return Err(StartError::Keys("an account must have twelve digits".to_owned()));
        }
        let Some(region) = Region::parse(&self.region) else {
            return Err(StartError::Keys(
                "a region must have letters, digits and hyphens only".to_owned(),
            ));
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
