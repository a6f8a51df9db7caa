//! Errors of the wrapper as the store's callers see them.

use sealstone::Error;
use sealstone::error::ProviderErrorClass;

use super::super::object_store;
use crate::error::StoreError;

/// What errors name as their store.
const NAME: &str = "EncryptedStore";

/// The error that a caller gets, with the cause as its source.
pub(super) fn refused(error: StoreError) -> object_store::Error {
    let path = match &error {
        StoreError::Changed { location } => {
            return object_store::Error::Precondition {
                path: location.clone(),
                source: Box::new(error),
            };
        }
        StoreError::CopyTooLarge { .. } => {
            return object_store::Error::NotSupported {
                source: Box::new(error),
            };
        }
        StoreError::Sealstone { location, error } if is_denied(error) => location.clone(),
        _ => return generic(error),
    };
    object_store::Error::PermissionDenied {
        path,
        source: Box::new(error),
    }
}

/// Whether the key provider says that the caller may not use the key.
fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Provider(error) if error.class == ProviderErrorClass::Denied)
}

/// Wraps a store's error for a cache that clones errors for all who wait.
pub(super) fn shared(error: object_store::Error) -> Error {
    Error::from_io("reading the header", std::io::Error::other(error))
}

/// The error of a cache, with the kind that [`shared`] has wrapped.
pub(super) fn unshared(location: impl std::fmt::Display, error: Error) -> object_store::Error {
    let path = location.to_string();
    let source = Box::new(error.clone());
    let Error::Io { source: io, .. } = &error else {
        return refused(StoreError::sealstone(path, error));
    };
    match io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<object_store::Error>())
    {
        Some(object_store::Error::NotFound { .. }) => object_store::Error::NotFound { path, source },
        Some(object_store::Error::Precondition { .. }) => object_store::Error::Precondition { path, source },
        Some(object_store::Error::PermissionDenied { .. }) => object_store::Error::PermissionDenied { path, source },
        Some(object_store::Error::Unauthenticated { .. }) => object_store::Error::Unauthenticated { path, source },
        _ => generic(source),
    }
}

pub(super) fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic {
        store: NAME,
        source: error.into(),
    }
}
