//! How a key of AWS KMS is named, in builds that have it.

#[cfg(feature = "aws-kms")]
pub(crate) use sealstone_aws_kms::KmsKey;

/// The id of the provider, as slots name it.
pub(crate) const ID: &str = "aws-kms";

/// There is none.
#[cfg(not(feature = "aws-kms"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KmsKey {}

/// Takes what `--key aws-kms:` is followed by.
#[cfg(feature = "aws-kms")]
pub(crate) fn parse(text: &str) -> Result<KmsKey, String> {
    text.parse::<KmsKey>().map_err(|error| error.message)
}

#[cfg(not(feature = "aws-kms"))]
pub(crate) fn parse(_: &str) -> Result<KmsKey, String> {
    Err("this sealstone was built without AWS KMS; the feature aws-kms adds it".to_owned())
}
