//! The server front: real sockets, real TLS, and the real program with real signals.

mod client;
mod connections;
mod double;
#[cfg(unix)]
mod program;
mod requests;
#[cfg(unix)]
mod secrets;
mod tls;
