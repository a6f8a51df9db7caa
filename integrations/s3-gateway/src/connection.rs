//! What the server knows of a connection, passed to requests as an extension.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// Whether it is encrypted, here or by the proxy in front.
    pub encrypted: bool,
    /// The client's address.
    pub peer: Option<SocketAddr>,
}

/// Who sent a request, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Identified {
    pub access_key: String,
    pub operation: &'static str,
    pub bucket: String,
    pub key: Option<String>,
}

/// Receives who sent a request whose signature was verified, for operations that s3s reports to no one.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Identified) + Send + Sync>);

impl Observer {
    /// Calls `report` once for each such request.
    pub fn new(report: impl Fn(Identified) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    pub(crate) fn report(&self, identified: Identified) {
        (self.0)(identified);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
