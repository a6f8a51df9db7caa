//! Which key an object is sealed under, and how it is opened: S3's rules, in S3's order.
//!
//! ```text
//! write   SSE-C headers > explicit mode > the bucket's default > SSE-S3  --> ServerSide
//! read    the object's header, and SSE-C headers                         --> Unlocked
//! ```

mod request;

pub use self::request::{CustomerHeaders, SseRequest};

use std::sync::Arc;

use sealstone::error::{ProviderError, Result as EngineResult};
use sealstone::{Header, Unlocked};
use sealstone_s3_sse::{CustomerKey, Mode, ObjectName, ServerSide, SseError, context_from_header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::keys::Keys;

/// How a bucket encrypts objects whose requests do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketDefault {
    /// The mode.
    pub mode: DefaultMode,
    /// Whether requests with customers' keys are refused.
    pub blocks_customer_keys: bool,
}

/// The mode of a bucket's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultMode {
    /// SSE-S3.
    #[default]
    S3,
    /// SSE-KMS.
    Kms {
        /// The key; the gateway's default if there is none.
        key: Option<String>,
        /// Whether bucket keys are used.
        bucket_keys: bool,
    },
}

/// Why a request's encryption is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// It violates S3's rules, or does not match the object.
    Sse(SseError),
    /// The key service's key cannot be used.
    Provider(ProviderError),
    /// It names a mode that does not exist.
    UnknownMode(String),
    /// `aws:kms:dsse`.
    TwoLayers,
    /// It has a customer's key and another mode.
    CustomerKeyAndMode,
    /// It has settings of SSE-KMS without that mode.
    KmsSettingsWithoutMode,
    /// It has a customer's key and came over an unencrypted connection.
    InsecureCustomerKey,
    /// The bucket refuses customers' keys.
    CustomerKeysBlocked,
}

impl From<SseError> for RequestError {
    fn from(error: SseError) -> Self {
        Self::Sse(error)
    }
}

impl From<ProviderError> for RequestError {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl SseRequest {
    /// The mode and key of a new object.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn resolve(&self, keys: &Keys, name: &ObjectName, default: &BucketDefault) -> Result<ServerSide, RequestError> {
        if let Some(customer) = &self.customer {
            if self.mode.is_some() || self.has_kms_settings() {
                return Err(RequestError::CustomerKeyAndMode);
            }
            if default.blocks_customer_keys {
                return Err(RequestError::CustomerKeysBlocked);
            }
            return Ok(ServerSide::customer(customer.clone()));
        }
        match self.mode.as_deref() {
            Some("AES256") if self.has_kms_settings() => Err(RequestError::KmsSettingsWithoutMode),
            Some("AES256") => Ok(ServerSide::s3(keys.ring())),
            Some("aws:kms") => {
                let key = self.kms_key.as_deref().unwrap_or_else(|| keys.default_kms_key());
                // As in S3: the bucket's setting counts where the request has none.
                let inherited = matches!(default.mode, DefaultMode::Kms { bucket_keys: true, .. });
                self.kms(keys, name, key, self.bucket_key.unwrap_or(inherited))
            }
            Some("aws:kms:dsse") => Err(RequestError::TwoLayers),
            Some(other) => Err(RequestError::UnknownMode(other.to_owned())),
            None if self.kms_key.is_some() || self.context.is_some() => Err(RequestError::KmsSettingsWithoutMode),
            None => match &default.mode {
                DefaultMode::S3 => Ok(ServerSide::s3(keys.ring())),
                DefaultMode::Kms { key, bucket_keys } => {
                    let key = key.as_deref().unwrap_or_else(|| keys.default_kms_key());
                    self.kms(keys, name, key, self.bucket_key.unwrap_or(*bucket_keys))
                }
            },
        }
    }

    fn has_kms_settings(&self) -> bool {
        self.kms_key.is_some() || self.context.is_some()
    }

    fn kms(&self, keys: &Keys, name: &ObjectName, key: &str, bucket_key: bool) -> Result<ServerSide, RequestError> {
        let mode = if bucket_key {
            ServerSide::kms_with_bucket_keys(keys.bucket_keys(key)?)?
        } else {
            ServerSide::kms(keys.kms(key)?)?
        };
        match &self.context {
            Some(context) => Ok(mode.with_context(context_from_header(context, name)?)?),
            None => Ok(mode),
        }
    }
}

/// The mode and key that the object with this header opens under.
///
/// # Errors
/// A [`RequestError`].
pub fn of_object(keys: &Keys, header: &Header, customer: Option<CustomerKey>) -> Result<ServerSide, RequestError> {
    if let Some(customer) = customer {
        return Ok(ServerSide::customer(customer));
    }
    match Mode::of(header)? {
        Mode::S3 => Ok(ServerSide::s3(keys.ring())),
        Mode::Kms {
            key_id,
            bucket_key: false,
        } => Ok(ServerSide::kms(keys.kms(&key_id)?)?),
        Mode::Kms {
            key_id,
            bucket_key: true,
        } => Ok(ServerSide::kms_with_bucket_keys(keys.bucket_keys(&key_id)?)?),
        Mode::Customer => Err(SseError::CustomerKeyRequired.into()),
        mode => Err(SseError::OtherMode(mode).into()),
    }
}

/// Unlocks the object `name`, which has this header and mode. The key service is not called if it was recently.
///
/// # Errors
/// A [`RequestError`] if the request does not match the object; within, the engine's error.
pub async fn unlock(
    keys: &Keys,
    name: &ObjectName,
    header: &Header,
    mode: &ServerSide,
) -> Result<EngineResult<Unlocked>, RequestError> {
    let decryptor = Arc::new(mode.decryptor(name, header)?);
    let unlock = || {
        let (decryptor, header) = (decryptor.clone(), header.clone());
        async move { decryptor.unlock_async(header).await }
    };
    if Mode::of(header)? == Mode::Customer {
        // The key comes with each request, and each request must prove that it has it.
        return Ok(unlock().await);
    }
    let id = match header.to_detached() {
        Ok(bytes) => {
            let mut id = Sha256::new();
            let arn = name.arn();
            id.update((arn.len() as u64).to_be_bytes());
            id.update(arn);
            id.update(bytes);
            id.finalize()
        }
        Err(error) => return Ok(Err(error)),
    };
    Ok(keys.unlocked().get_or_unlock_async(&id, unlock).await)
}
