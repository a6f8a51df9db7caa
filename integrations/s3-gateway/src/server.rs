//! The server in front of the S3 service: sockets, TLS, limits, logs, metrics.
//!
//! ```text
//! accept --> TLS --> HTTP/1.1 --> checks --> s3s --> Gateway
//!   |                   |           |
//! places         access log, metrics, request ids
//! ```
//!
//! HTTP/1.1 only, as AWS S3: a body that fails in its middle closes the connection, so that no client takes it for whole.
//! Too much load waits instead of being refused: for a place among the connections, then among the requests.

mod access_log;
mod admin;
mod auth;
mod body;
mod checks;
mod connections;
mod exchange;
mod host;
mod metrics;
mod quiet;
mod service;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use self::tls::TlsFiles;

use self::access_log::AccessLog;
use self::auth::Auth;
use self::connections::Connections;
use self::metrics::Metrics;
use self::service::Service;
use self::tls::Tls;
use crate::config::AccessKeys;
use crate::domains::Domains;

/// How the server listens.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// The address for health and metrics.
    pub admin_listen: Option<SocketAddr>,
    /// The certificate; without one, HTTP is served.
    pub tls: Option<TlsFiles>,
    /// Whether `X-Forwarded-Proto` says if a connection is encrypted.
    pub trust_forwarded_proto: bool,
    /// The domains whose subdomains are buckets.
    pub domains: Vec<String>,
    /// Where requests are logged.
    pub access_log: AccessLogTarget,
    /// What clients may use up.
    pub limits: Limits,
}

/// Where requests are logged: a line of JSON for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// At standard error.
    Stderr,
    /// At the end of a file.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// What clients may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. More wait in the system's queue.
    pub connections: usize,
    /// Requests at a time, until the last byte of their response. More wait, with their bodies unread.
    pub requests: usize,
    /// For the TLS handshake, for each head of a request with the time that a connection is idle before it, and for the
    /// body until the signature is verified: the fields of a form.
    pub idle_timeout: Duration,
    /// Without a byte of the request's body, or with none of the response taken.
    pub stall_timeout: Duration,
    /// For the requests in progress when the server is shut down.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests: 256,
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(300),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// A request's XML: 10,000 parts with their checksums have 3 MB.
const MAX_XML: usize = 4 * 1024 * 1024;
/// All fields of a form, beside its file. They are in memory.
const MAX_FORM: usize = 1024 * 1024;

/// The longest file in a form, in bytes. Longer objects are uploaded by PUT.
const MAX_FORM_FILE: u64 = 1 << 20;

/// A server that has its addresses, and serves nothing yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    admin: Option<TcpListener>,
    settings: Settings,
    tls: Option<Arc<Tls>>,
    auth: Auth,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
}

/// Controls a server that runs.
#[derive(Debug, Clone)]
pub struct Handle {
    tls: Option<Arc<Tls>>,
    auth: Auth,
    log: Arc<AccessLog>,
    stop: watch::Sender<bool>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All requests were finished.
    Finished,
    /// Requests were cut off after [`Limits::shutdown_timeout`].
    CutOff,
}

impl Server {
    /// Reads the certificate, opens the access log and listens.
    ///
    /// # Errors
    /// A file cannot be used, or an address is in use.
    pub async fn bind(settings: Settings, keys: AccessKeys) -> io::Result<Self> {
        let tls = settings.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let log = Arc::new(AccessLog::open(&settings.access_log)?);
        let listen = |address: SocketAddr| async move {
            let listener = TcpListener::bind(address).await;
            listener.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
        };
        let listener = listen(settings.listen).await?;
        let admin = match settings.admin_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self {
            listener,
            admin,
            settings,
            tls,
            auth: Auth::new(keys),
            log,
            metrics: Arc::default(),
            stop: watch::Sender::new(false),
        })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address of health and metrics.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Controls the server while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            tls: self.tls.clone(),
            auth: self.auth.clone(),
            log: self.log.clone(),
            stop: self.stop.clone(),
        }
    }

    /// Serves `s3` until [`Handle::shut_down`], and then until the requests in progress are finished. Its authentication,
    /// hosts and limits are set here.
    ///
    /// # Errors
    /// A domain is invalid.
    pub async fn serve(self, s3: S3ServiceBuilder) -> io::Result<Ended> {
        let service = Arc::new(Service::new(
            configured(s3, self.auth, &self.settings.domains)?,
            Arc::new(Semaphore::new(self.settings.limits.requests)),
            self.log.clone(),
            self.metrics.clone(),
            self.settings.trust_forwarded_proto,
            self.settings.limits,
        ));
        if let Some(admin) = self.admin {
            tokio::spawn(admin::serve(admin, self.metrics.clone(), self.stop.subscribe()));
        }
        let connections = Connections::new(service, self.tls, self.metrics, self.settings.limits);
        let ended = connections.serve(self.listener, self.stop.subscribe()).await;
        self.log.flush();
        Ok(ended)
    }
}

impl Handle {
    /// Stops accepting connections, and ends [`Server::serve`] when the requests in progress are finished.
    pub fn shut_down(&self) {
        self.stop.send_replace(true);
    }

    /// Replaces the access keys of clients.
    pub fn set_access_keys(&self, keys: AccessKeys) {
        self.auth.replace(keys);
    }

    /// Reads the certificate again, and opens the access log again. What fails stays as it was.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn reload(&self) -> io::Result<()> {
        let log = self.log.reopen();
        let tls = self.tls.as_ref().map_or(Ok(()), |tls| tls.reload());
        log.and(tls)
    }
}

fn configured(mut s3: S3ServiceBuilder, auth: Auth, domains: &[String]) -> io::Result<s3s::service::S3Service> {
    let mut config = S3Config::default();
    config.xml_max_body_size = MAX_XML;
    config.form_max_fields_size = MAX_FORM;
    // s3s keeps it in memory, and before it knows who sends it.
    config.post_object_max_file_size = MAX_FORM_FILE;
    s3.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    s3.set_auth(auth.clone());
    s3.set_access(auth);
    if !domains.is_empty() {
        s3.set_host(Domains::new(domains)?);
    }
    Ok(s3.build())
}
