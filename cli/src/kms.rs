//! Keys of AWS KMS, in builds that have it.

#[cfg(feature = "aws-kms")]
mod with {
    use std::sync::{Arc, Mutex, PoisonError};

    use sealstone_aws_kms::AwsKms;
    pub(crate) use sealstone_aws_kms::KmsKey;

    use crate::args::Common;
    use crate::exit::Failure;
    use crate::providers::Provider;

    /// One client for each key, with its connections: the same key may be named for reading and writing, and is used
    /// for every input.
    static CLIENTS: Mutex<Vec<(KmsKey, Provider)>> = Mutex::new(Vec::new());

    /// The client of the service for this key. Nothing is called yet.
    pub(crate) fn provider(key: &KmsKey, common: &Common) -> Result<Provider, Failure> {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| known == key) {
            return Ok(client.clone());
        }
        let builder = AwsKms::builder(key.clone());
        let builder = match &common.kms_endpoint {
            Some(url) => builder.endpoint_url(url),
            None => builder,
        };
        let client: Provider = Arc::new(builder.build()?);
        clients.push((key.clone(), client.clone()));
        Ok(client)
    }

    /// The ARN, if the key is named by it; otherwise only the service knows which key is meant.
    pub(crate) fn arn(key: &KmsKey) -> Option<&str> {
        key.arn()
    }
}

#[cfg(not(feature = "aws-kms"))]
mod without {
    use std::str::FromStr;

    use crate::args::Common;
    use crate::exit::Failure;
    use crate::providers::Provider;

    /// No key is one.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum KmsKey {}

    impl FromStr for KmsKey {
        type Err = String;

        fn from_str(_: &str) -> Result<Self, String> {
            Err("this sealstone was built without AWS KMS; the feature aws-kms adds it".to_owned())
        }
    }

    pub(crate) fn provider(key: &KmsKey, _: &Common) -> Result<Provider, Failure> {
        match *key {}
    }

    pub(crate) fn arn(key: &KmsKey) -> Option<&str> {
        match *key {}
    }
}

#[cfg(feature = "aws-kms")]
pub(crate) use self::with::{KmsKey, arn, provider};
#[cfg(not(feature = "aws-kms"))]
pub(crate) use self::without::{KmsKey, arn, provider};

/// The id of the provider, as slots name it.
pub(crate) const ID: &str = "aws-kms";
