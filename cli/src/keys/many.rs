//! The keys to open many objects with, a few at a time: no person can be asked about one of them.

use std::sync::Arc;

use super::kind::Provider;
use super::{KeyOptions, KeySpec, local, passphrase};
use crate::exit::Failure;

/// The providers to open with: the key ring if no key is named.
pub(crate) fn keys_of_many(specs: &[KeySpec], options: &KeyOptions) -> Result<Vec<Provider>, Failure> {
    if specs.is_empty() {
        return Ok(vec![local::ring(options)?]);
    }
    let opened = specs.iter().map(|spec| spec.key().open_with(options));
    opened.map(|provider| known(provider?, options)).collect()
}

/// The same for keys whose slots are to be replaced, each without the other keys that are stored with it.
pub(crate) fn keys_to_replace(specs: &[KeySpec], options: &KeyOptions) -> Result<Vec<Provider>, Failure> {
    let opened = specs.iter().map(|spec| spec.key().open_alone(options));
    opened.map(|provider| known(provider?, options)).collect()
}

/// The provider, or what a program answers in the place of a person.
fn known(provider: Option<Provider>, options: &KeyOptions) -> Result<Provider, Failure> {
    if let Some(provider) = provider {
        return Ok(provider);
    }
    match passphrase::from_command(options)? {
        Some(passphrase) => Ok(Arc::new(passphrase)),
        None => Err(Failure::usage(
            "--recursive asks for no passphrase; use passphrase:file:PATH or passphrase:fd:N",
        )),
    }
}
