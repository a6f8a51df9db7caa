//! The header of an object among its metadata.

use object_store::{Attribute, Attributes};
use sealstone::format::{METADATA_IDENTIFIER, METADATA_KEY, is_metadata_key};
use sealstone::{Header, Result};

use crate::io::location::Service;

/// The key of the header in this store.
pub(super) const fn key(service: Service) -> &'static str {
    match service {
        Service::Azure => METADATA_IDENTIFIER,
        Service::S3 | Service::Gcs => METADATA_KEY,
    }
}

/// The header among the attributes of an object, if there is one.
pub(super) fn header_in(attributes: &Attributes) -> Option<Result<Header>> {
    let pairs: Vec<_> = attributes
        .iter()
        .filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(key) if is_metadata_key(key) => Some((key, value)),
            _ => None,
        })
        .collect();
    (!pairs.is_empty()).then(|| Header::from_metadata(pairs))
}

/// Puts the header among the attributes, in place of another one.
///
/// # Errors
/// [`HeaderTooLarge`](sealstone::Error::HeaderTooLarge) if it is longer than stores allow.
pub(super) fn set_header(attributes: &mut Attributes, header: &Header, service: Service) -> Result<()> {
    let value = header.to_metadata()?.into_values().next();
    let old: Vec<_> = attributes.iter().map(|(attribute, _)| attribute.clone()).collect();
    for attribute in old {
        if matches!(&attribute, Attribute::Metadata(key) if is_metadata_key(key)) {
            attributes.remove(&attribute);
        }
    }
    if let Some(value) = value {
        attributes.insert(Attribute::Metadata(key(service).into()), value.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealstone::{Encryptor, RawKey};

    use super::*;

    #[test]
    fn a_header_is_one_pair_that_each_store_can_name() {
        let wrapping = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
        let header = Encryptor::new(wrapping).begin().unwrap().header().clone();
        for service in [Service::S3, Service::Gcs, Service::Azure] {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::Metadata("other".into()), "pair".into());
            assert!(header_in(&attributes).is_none());
            let stale = Attribute::Metadata(key(service).to_uppercase().into());
            attributes.insert(stale, "stale".into());
            assert!(header_in(&attributes).unwrap().is_err());
            set_header(&mut attributes, &header, service).unwrap();
            assert_eq!(attributes.len(), 2);
            assert_eq!(header_in(&attributes).unwrap().unwrap(), header);
        }
        assert!(!key(Service::Azure).contains('-'));
    }
}
