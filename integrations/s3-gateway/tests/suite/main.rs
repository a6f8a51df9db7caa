//! The integration tests, as modules of one program: linking the AWS SDK is most of what a program costs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backend_requests;
mod backends;
mod client;
mod corruption;
mod encryption;
mod multipart;
mod objects;
#[cfg(feature = "s3")]
mod s3_store;
mod server;
