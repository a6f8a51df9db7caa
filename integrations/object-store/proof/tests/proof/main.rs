//! The wrapper over an S3 server, with each version of `object_store`, and under DataFusion. The server's address is in
//! `SEALSTONE_TEST_S3_ENDPOINT`: `tools/check stores` starts one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::duplicate_mod, reason = "one source for all versions of object_store")]

mod common;
mod datafusion;
mod kills;
mod v0_13;
mod v0_14;
