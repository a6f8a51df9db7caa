//! The files and descriptors that keys are read from.

use super::{KINDS, KeyOptions, KeySpec, local};
use crate::io::{Roles, Source};

/// Adds what the keys `specs` are read from to the roles: the key ring if there are none. Files with other keys are not
/// read, and must not be overwritten either.
pub(crate) fn add_keys(roles: &mut Roles, specs: &[KeySpec], options: &KeyOptions) {
    let default = [local::default_key()];
    let used = if specs.is_empty() { &default } else { specs };
    for source in used.iter().filter_map(|spec| spec.key().source()) {
        roles.add_key(source);
    }
    for kind in KINDS {
        let is_used = || used.iter().any(|spec| spec.key().kind().id() == kind.id());
        match kind.store(options) {
            Some(store) if is_used() => roles.add_key(Source::Path(store)),
            Some(store) => roles.keep(store),
            None => {}
        }
    }
}
