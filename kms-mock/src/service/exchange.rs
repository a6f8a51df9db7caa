//! One call while it is answered: its caller, time and region.

use std::time::Duration;

use super::Service;
use crate::call::Call;
use crate::error::KmsError;
use crate::store::{AliasPlace, KeyId, Place, Region};

/// Callers whose access keys begin with this have only the rights that grants give them.
const GRANTEE_PREFIX: &str = "GRANTEE";

/// A call and its circumstances.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) now: Duration,
    /// The signature's: each region has its own keys.
    pub(super) region: Region,
    /// The caller's ARN.
    pub(super) caller: String,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(service: &Service, call: &'a Call<'a>) -> Self {
        Self {
            call,
            now: service.clock.now(),
            region: Region::parse(call.region).unwrap_or_else(|| service.region.clone()),
            caller: format!("arn:aws:iam::{}:user/{}", service.account, call.access_key),
        }
    }

    pub(super) fn place(&self, id: KeyId) -> Place {
        let region = self.region.clone();
        Place { region, id }
    }

    pub(super) fn alias(&self, name: &str) -> AliasPlace {
        AliasPlace {
            region: self.region.clone(),
            name: name.to_owned(),
        }
    }

    pub(super) fn is_grantee(&self) -> bool {
        self.call.access_key.starts_with(GRANTEE_PREFIX)
    }

    pub(super) fn denied(&self, action: &str, resource: &str) -> KmsError {
        KmsError::denied(&self.caller, action, resource)
    }
}
