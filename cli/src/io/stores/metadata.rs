//! The header of an object among its metadata.

use object_store::{Attribute, Attributes};
use sealstone::format::METADATA_KEY;
use sealstone::{Header, Result};

use crate::io::location::Service;

/// The name of the pair, in this store. Names in Azure are identifiers, without dashes.
fn name(service: Service) -> String {
    match service {
        Service::Azure => METADATA_KEY.replace('-', "_"),
        Service::S3 | Service::Gcs => METADATA_KEY.to_owned(),
    }
}

/// The header among the attributes of an object, if there is one.
pub(super) fn header_in(attributes: &Attributes, service: Service) -> Option<Result<Header>> {
    let name = name(service);
    let pairs: Vec<_> = attributes
        .iter()
        .filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(key) if key.eq_ignore_ascii_case(&name) => Some((METADATA_KEY, value.as_ref())),
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
    let name = name(service);
    let old: Vec<_> = attributes.iter().map(|(attribute, _)| attribute.clone()).collect();
    for attribute in old {
        if matches!(&attribute, Attribute::Metadata(key) if key.eq_ignore_ascii_case(&name)) {
            attributes.remove(&attribute);
        }
    }
    for (_, value) in header.to_metadata()? {
        attributes.insert(Attribute::Metadata(name.clone().into()), value.into());
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
        let key = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
        let header = Encryptor::new(key).begin().unwrap().header().clone();
        for service in [Service::S3, Service::Gcs, Service::Azure] {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::Metadata("other".into()), "pair".into());
            assert!(header_in(&attributes, service).is_none());
            let stale = Attribute::Metadata(name(service).to_uppercase().into());
            attributes.insert(stale, "stale".into());
            assert!(header_in(&attributes, service).unwrap().is_err());
            set_header(&mut attributes, &header, service).unwrap();
            assert_eq!(attributes.len(), 2);
            assert_eq!(header_in(&attributes, service).unwrap().unwrap(), header);
        }
        assert!(!name(Service::Azure).contains('-'));
    }
}
