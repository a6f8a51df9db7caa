//! Failures of key providers.

use std::fmt;
use std::sync::Arc;

/// The kind of failure of a key provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorClass {
    /// The caller may not use the key.
    Denied,
    /// The key does not exist.
    NotFound,
    /// The key is disabled, pending deletion or otherwise unusable at present.
    KeyState,
    /// The wrapped key was wrapped under another key than the one requested.
    OtherKey,
    /// The wrapped key does not open: another key, another context, or altered bytes.
    BadCiphertext,
    /// The service is limiting the rate of calls.
    Throttled,
    /// The service cannot be reached or failed; a later call may succeed.
    Unavailable,
    /// The provider's own files or settings are unusable.
    Configuration,
}

impl ProviderErrorClass {
    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

/// A key provider's failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProviderError {
    /// The kind of failure.
    pub class: ProviderErrorClass,
    /// The provider's id, such as `local`.
    pub provider: String,
    /// The key concerned, if any.
    pub key_id: Option<String>,
    /// What happened and what to do, in one line, without secrets.
    pub message: String,
    /// The underlying error.
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ProviderError {
    /// An error of `class` from `provider`.
    pub fn new(class: ProviderErrorClass, provider: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            provider: provider.into(),
            key_id: None,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the key concerned.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.class.is_retryable()
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key provider {}", self.provider)?;
        if let Some(key_id) = &self.key_id {
            write!(f, ", key {key_id}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| -> &(dyn std::error::Error + 'static) { source.as_ref() })
    }
}
