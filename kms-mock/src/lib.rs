//! A local AWS KMS for tests, compatible with AWS's own clients. **Not** a key service: keys are not protected.
//!
//! ```
//! use sealstone_kms_mock::{Fault, MockKms};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kms = MockKms::builder().key("alias/demo").start()?;
//! // Point clients at it with AWS_ENDPOINT_URL_KMS or the `endpoint_url` of their configuration. Any credentials work.
//! println!("{}", kms.endpoint());
//!
//! // Decrypt never answers from the fourth call on.
//! kms.faults().add(Fault { op: Some("Decrypt".to_owned()), skip_first: 3, hang: true, ..Fault::default() })?;
//!
//! // A fault without an effect is refused.
//! assert!(kms.faults().add(Fault::default()).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! socket -> http -> faults -> service -> operations -> store
//!                                |          blob: wraps under key materials
//!                                +-> audit: one CloudTrail event for each call
//! ```

mod audit;
mod auth;
mod blob;
mod call;
mod clock;
mod control;
mod endpoint;
mod error;
mod faults;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod mock;
mod operation;
mod service;
mod store;
mod tls;
mod wire;

pub use faults::{Fault, Faults, InjectedError, InvalidFault, Latency, Outage, Rate, RunningFault, Settings};
pub use mock::{Audit, MockKms, MockKmsBuilder, StartError};
