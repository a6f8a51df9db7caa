//! The encryption headers of a request.

use std::fmt;

use sealstone_s3_sse::CustomerKey;
use zeroize::Zeroizing;

use super::RequestError;

/// The three headers of a customer's key, as they came.
pub struct CustomerHeaders {
    /// The algorithm.
    pub algorithm: Option<String>,
    /// The key in base64.
    pub key: Option<Zeroizing<String>>,
    /// The key's MD5 in base64.
    pub md5: Option<String>,
}

impl CustomerHeaders {
    /// The headers of a request.
    #[must_use]
    pub fn new(algorithm: Option<String>, key: Option<String>, md5: Option<String>) -> Self {
        Self {
            algorithm,
            key: key.map(Zeroizing::new),
            md5,
        }
    }

    /// The key, if there is one.
    ///
    /// # Errors
    /// [`RequestError::InsecureCustomerKey`] if there is one and `allowed` is not set; [`RequestError::Sse`] if the
    /// headers are invalid.
    pub fn key(self, allowed: bool) -> Result<Option<CustomerKey>, RequestError> {
        let key = self.key.as_deref().map(String::as_str);
        let parsed = CustomerKey::from_headers(self.algorithm.as_deref(), key, self.md5.as_deref());
        match parsed {
            Ok(None) => Ok(None),
            _ if !allowed => Err(RequestError::InsecureCustomerKey),
            Ok(key) => Ok(key),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for CustomerHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerHeaders")
    }
}

/// How a request wants a new object to be encrypted.
#[derive(Debug, Clone, Default)]
pub struct SseRequest {
    /// `x-amz-server-side-encryption`.
    pub mode: Option<String>,
    /// The key service's key.
    pub kms_key: Option<String>,
    /// The encryption context, as the header has it.
    pub context: Option<String>,
    /// Whether to use a bucket key.
    pub bucket_key: Option<bool>,
    /// The customer's key.
    pub customer: Option<CustomerKey>,
}
