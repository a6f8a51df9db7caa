//! Clients of AWS KMS, in builds that have it.

#[cfg(feature = "aws-kms")]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "aws-kms")]
use sealstone_aws_kms::AwsKms;

use super::Provider;
use crate::args::Common;
use crate::exit::Failure;
use crate::kms::KmsKey;

/// The clients that were made, by their own key and those they take slots over from.
#[cfg(feature = "aws-kms")]
type Clients = Vec<(KmsKey, Vec<KmsKey>, Provider)>;

/// The same key may be named for reading and writing, and is used for every input: over the same connections.
#[cfg(feature = "aws-kms")]
static CLIENTS: Mutex<Clients> = Mutex::new(Vec::new());

/// The client of the service for this key, which may have slots of the keys `from` wrapped anew. Nothing is called yet.
#[cfg(feature = "aws-kms")]
pub(super) fn client(key: &KmsKey, from: &[KmsKey], common: &Common) -> Result<Provider, Failure> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = clients
        .iter()
        .find(|(own, others, _)| own == key && others.as_slice() == from);
    if let Some((.., client)) = known {
        return Ok(client.clone());
    }
    let builder = AwsKms::builder(key.clone()).rewraps_from(from.iter().cloned());
    let builder = match &common.kms_endpoint {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    let builder = if common.kms_insecure_endpoint {
        builder.allow_insecure_endpoint()
    } else {
        builder
    };
    let client: Provider = Arc::new(builder.build()?);
    clients.push((key.clone(), from.to_vec(), client.clone()));
    Ok(client)
}

#[cfg(not(feature = "aws-kms"))]
pub(super) fn client(key: &KmsKey, _: &[KmsKey], _: &Common) -> Result<Provider, Failure> {
    match *key {}
}

/// Whether the name alone tells which slots are of this key.
#[cfg(feature = "aws-kms")]
pub(super) const fn is_arn(key: &KmsKey) -> bool {
    key.is_key_arn()
}

#[cfg(not(feature = "aws-kms"))]
pub(super) const fn is_arn(key: &KmsKey) -> bool {
    match *key {}
}
