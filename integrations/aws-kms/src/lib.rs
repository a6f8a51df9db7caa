//! AWS KMS as a key provider for [`sealstone`], on AWS's own client: credentials, profiles, regions, single sign-on and
//! endpoints work as in every AWS tool.
//!
//! ```no_run
//! use std::sync::Arc;
//! use sealstone::{Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext};
//! use sealstone_aws_kms::AwsKms;
//!
//! let key = Arc::new(AwsKms::builder("alias/backups@eu-west-1".parse()?).build()?);
//! let context = EncryptionContext::new().with("bucket", "backups");
//! let object = Encryptor::new(key.clone()).with_context(context.clone()).seal(b"large, in practice")?;
//!
//! // Under another context, KMS does not unwrap the data key.
//! let decryptor = Decryptor::new(key);
//! let other = ExpectedContext::Exact(EncryptionContext::new().with("bucket", "other"));
//! assert!(decryptor.clone().with_context(other).open(&object).is_err());
//! assert_eq!(decryptor.with_context(ExpectedContext::Exact(context)).open(&object)?, b"large, in practice");
//! # Ok::<(), Error>(())
//! ```
//!
//! Sealing an object takes one GenerateDataKey, opening it one Decrypt. For millions of objects, put
//! [`IntermediateKeys`](sealstone::keys::IntermediateKeys) in between; the README says what that costs.
//!
//! [`KmsClient`] encrypts and decrypts data keys that are stored outside of slots.

mod builder;
mod calls;
mod client;
mod endpoint;
pub mod environment;
mod errors;
mod key;
mod limit;
mod provider;
mod runtime;
mod service;
mod settings;

pub use builder::{AnyKey, AwsKmsBuilder, KmsBuilder, KmsClientBuilder, SlotKey};
pub use client::{DecryptWith, Decrypted, Encrypted, KmsClient};
pub use errors::KmsError;
pub use key::KmsKey;
pub use provider::AwsKms;

const ID: &str = AwsKms::ID;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
