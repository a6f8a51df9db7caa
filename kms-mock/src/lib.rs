//! A local AWS KMS.
//!
//! ```text
//! socket -> http -> faults -> service -> operations -> store
//!                                |          blob: wraps under key materials
//!                                +-> audit: one CloudTrail event for each call
//! ```

mod call;
mod clock;
mod error;
mod operation;
mod service;
