//! Keys of AWS KMS, in builds that have it.

#[cfg(feature = "aws-kms")]
mod client {
    use std::sync::{Arc, Mutex, PoisonError};

    use sealstone_aws_kms::AwsKms;
    pub(crate) use sealstone_aws_kms::KmsKey;

    use crate::args::Common;
    use crate::exit::Failure;
    use crate::providers::Provider;

    /// Takes what `--key aws-kms:` is followed by.
    pub(crate) fn parse(text: &str) -> Result<KmsKey, String> {
        text.parse::<KmsKey>().map_err(|error| error.message)
    }

    /// The clients that were made, by their own key and those they take slots over from.
    type Clients = Vec<(KmsKey, Vec<KmsKey>, Provider)>;

    /// The same key may be named for reading and writing, and is used for every input: over the same connections.
    static CLIENTS: Mutex<Clients> = Mutex::new(Vec::new());

    /// The client of the service for this key, which may have slots of the keys `from` wrapped anew. Nothing is called
    /// yet.
    pub(crate) fn provider(key: &KmsKey, from: &[KmsKey], common: &Common) -> Result<Provider, Failure> {
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
        let client: Provider = Arc::new(builder.build()?);
        clients.push((key.clone(), from.to_vec(), client.clone()));
        Ok(client)
    }

    /// Whether the name alone tells which slots are of this key.
    pub(crate) const fn is_arn(key: &KmsKey) -> bool {
        key.is_key_arn()
    }
}

#[cfg(not(feature = "aws-kms"))]
mod client {
    use crate::args::Common;
    use crate::exit::Failure;
    use crate::providers::Provider;

    /// There is none.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum KmsKey {}

    pub(crate) fn parse(_: &str) -> Result<KmsKey, String> {
        Err("this sealstone was built without AWS KMS; the feature aws-kms adds it".to_owned())
    }

    pub(crate) fn provider(key: &KmsKey, _: &[KmsKey], _: &Common) -> Result<Provider, Failure> {
        match *key {}
    }

    pub(crate) const fn is_arn(key: &KmsKey) -> bool {
        match *key {}
    }
}

pub(crate) use self::client::{KmsKey, is_arn, parse, provider};

/// The id of the provider, as slots name it.
pub(crate) const ID: &str = "aws-kms";
