//! What the server knows of a connection, passed to requests as an extension.

use std::net::SocketAddr;

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// Whether it is encrypted, here or by the proxy in front.
    pub encrypted: bool,
    /// The client's address.
    pub peer: Option<SocketAddr>,
}
