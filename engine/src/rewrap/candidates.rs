//! The contexts and keys to try on an object.

use std::sync::Arc;

use super::{Change, Rewrap, SlotChoice};
use crate::context::EncryptionContext;
use crate::error::Result;
use crate::header::Header;
use crate::keys::KeyProvider;

/// The contexts that the object may have, at least one, in the order in which to try them.
pub(super) fn contexts(rewrap: &Rewrap, header: &Header) -> Result<Vec<EncryptionContext>> {
    if let Some(to) = &rewrap.context {
        to.validate()?;
    }
    let expected = rewrap.decryptor.context.resolve(header.context());
    let Some(to) = rewrap.context.as_ref().filter(|_| !rewrap.only_expected) else {
        return expected.map(|context| vec![context]);
    };
    match (expected, to.to_stored() == *header.context()) {
        (Err(error), false) => Err(error),
        (Err(_), true) => Ok(vec![to.clone()]),
        (Ok(expected), true) if expected != *to => Ok(vec![expected, to.clone()]),
        (Ok(expected), _) => Ok(vec![expected]),
    }
}

/// All keys. Those whose slots are replaced come first, so that one of these slots is opened.
pub(super) fn keys(rewrap: &Rewrap) -> Vec<Arc<dyn KeyProvider>> {
    let (mut keys, mut new) = (Vec::new(), Vec::new());
    for change in &rewrap.changes {
        match change {
            Change::Add(key) => new.push(key.clone()),
            Change::Replace(old, key) => {
                new.push(key.clone());
                keys.extend(old.parts().into_iter().filter_map(|old| match old {
                    SlotChoice::Key(old) => Some(old.clone()),
                    _ => None,
                }));
            }
            Change::Remove(_) => {}
        }
    }
    keys.extend(rewrap.decryptor.providers.iter().cloned());
    keys.extend(new);
    // A key that is listed twice would use up the calls of another.
    let mut distinct: Vec<Arc<dyn KeyProvider>> = Vec::new();
    for key in keys {
        if !distinct.iter().any(|other| Arc::ptr_eq(other, &key)) {
            distinct.push(key);
        }
    }
    distinct
}
