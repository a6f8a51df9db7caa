//! What an object's keys are bound to.

use sealstone::EncryptionContext;

use crate::error::StoreError;

/// The encryption context of one object, in addition to the store's own. Pass it in the `extensions` of `PutOptions`,
/// `PutMultipartOptions`, `GetOptions` and `CopyOptions`: an object that was written with it is read with it, or not at
/// all. `get_range` and `get_ranges` take no options, and so do not read such objects.
///
/// ```
/// # use object_store_0_14::{GetOptions, PutOptions};
/// use sealstone::EncryptionContext;
/// use sealstone_object_store::ObjectContext;
///
/// let context = EncryptionContext::new().with("tenant", "4711");
/// let mut put = PutOptions::default();
/// put.extensions.insert(ObjectContext(context.clone()));
/// let mut get = GetOptions::default();
/// get.extensions.insert(ObjectContext(context));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectContext(pub EncryptionContext);

/// `first` and `second` together.
///
/// # Errors
/// [`StoreError::ContextConflict`] if both have a key.
pub(crate) fn joined(
    first: EncryptionContext,
    second: &EncryptionContext,
    location: &str,
) -> Result<EncryptionContext, StoreError> {
    let stored = second.to_stored();
    let is_supplied = |key: &str| stored.iter().any(|(other, value)| other == key && value.is_none());
    second.iter().try_fold(first, |context, (key, value)| {
        if context.value(key).is_some() {
            return Err(StoreError::ContextConflict {
                location: location.to_owned(),
                key: key.to_owned(),
            });
        }
        Ok(if is_supplied(key) {
            context.with_supplied(key, value)
        } else {
            context.with(key, value)
        })
    })
}
