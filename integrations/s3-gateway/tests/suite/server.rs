//! The server front: real sockets, real TLS, and the real program with real signals.

mod client;
mod connections;
mod double;
mod program;
mod requests;
mod secrets;
mod tls;
