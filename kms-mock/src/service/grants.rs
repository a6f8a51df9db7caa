//! Grants: permissions for principals that have no others.

mod members;

use std::sync::Arc;

use self::members::{
    CreateGrant, GrantEntry, GrantList, Granted, ListGrants, ListRetirableGrants, OF_OTHER_KEYS, RetireGrant,
    RevokeGrant,
};
use super::lookup::{invalid_grant_token, require_customer};
use super::output::{Page, begin};
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Constraints, Grant, GrantPlace, Key, Place};

impl Granted {
    fn of(grant: &Grant) -> Self {
        Self {
            grant_token: grant.token.clone(),
            grant_id: grant.id.clone(),
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "all handlers have the signature that `serve` takes"
)]
impl Service {
    /// A grantee can pass on what it was granted, and no more.
    pub(super) fn create_grant(&self, exchange: &Exchange<'_>, input: CreateGrant) -> Reply<Granted> {
        let key = self.find_by_id(exchange, input.key_id.as_deref().unwrap_or_default())?;
        about([&key.arn], || {
            self.require_grantable(exchange, &key, &input)?;
            let granted = self.put_grant(exchange, &key.place, input)?;
            let response = serde_json::json!({ "grantId": granted.grant_id, "keyId": key.arn });
            Ok(Done::new(granted).with_response(response))
        })
    }

    /// # Errors
    /// Unless the caller may create this grant, the grant is valid for the key, and the call is not a dry run.
    fn require_grantable(&self, exchange: &Exchange<'_>, key: &Key, input: &CreateGrant) -> Result<(), KmsError> {
        self.authorize(exchange, key, "CreateGrant", None, &input.grant_tokens)?;
        require_customer(exchange, key)?;
        check_operations(&input.operations)?;
        if input.grantee_service_principal.is_some() || input.retiring_service_principal.is_some() {
            return Err(KmsError::unsupported("This mock of AWS KMS has no service principals."));
        }
        for principal in input.grantee_principal.iter().chain(&input.retiring_principal) {
            check_arn(principal)?;
        }
        let constraints = input.constraints.clone().unwrap_or_default();
        if exchange.is_grantee() && !self.may_pass_on(exchange, key, &input.operations, &constraints)? {
            return Err(exchange.denied("CreateGrant", &key.arn));
        }
        if input.dry_run == Some(true) {
            key.require_enabled(key.status())?;
            return Err(KmsError::dry_run());
        }
        Ok(())
    }

    fn put_grant(&self, exchange: &Exchange<'_>, place: &Place, input: CreateGrant) -> Result<Granted, KmsError> {
        let (id, token) = Grant::new_names(place.id)?;
        let grant = Grant {
            id,
            token,
            name: input.name,
            created: exchange.now,
            visible: exchange.now.saturating_add(self.propagation_delay()),
            grantee: input.grantee_principal.unwrap_or_default(),
            retiring: input.retiring_principal,
            operations: input.operations,
            constraints: input.constraints.unwrap_or_default(),
        };
        self.store.change(exchange.now, |transaction| {
            let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
            key.require_enabled(key.status())?;
            // A request that is repeated with a name returns the grant that it created the first time.
            let same = |old: &&Arc<Grant>| {
                old.name == grant.name
                    && old.grantee == grant.grantee
                    && old.retiring == grant.retiring
                    && old.operations == grant.operations
                    && old.constraints == grant.constraints
            };
            if grant.name.is_some()
                && let Some(old) = transaction.grants_on(place).find(same)
            {
                return Ok(Granted::of(old));
            }
            let granted = Granted::of(&grant);
            transaction.put_grant(place.clone(), grant);
            Ok(granted)
        })
    }

    pub(super) fn list_grants(&self, exchange: &Exchange<'_>, input: ListGrants) -> Reply<GrantList> {
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        about([&key.arn], || {
            let after = begin(input.marker, is_grant_id)?;
            let state = self.store.view(exchange.now)?;
            let fitting = state.grants_on(&key.place, &after).filter(|grant| {
                input.grant_id.as_ref().is_none_or(|id| *id == grant.id)
                    && input
                        .grantee_principal
                        .as_ref()
                        .is_none_or(|grantee| *grantee == grant.grantee)
            });
            let fitting = fitting.map(|grant| (&key.place, &**grant));
            Ok(Done::new(self.grant_page(fitting, input.limit)))
        })
    }

    pub(super) fn list_retirable_grants(
        &self,
        exchange: &Exchange<'_>,
        input: ListRetirableGrants,
    ) -> Reply<GrantList> {
        let principal = input.retiring_principal.unwrap_or_default();
        check_arn(&principal)?;
        let after = begin(input.marker, is_grant_id)?;
        let state = self.store.view(exchange.now)?;
        let mut fitting: Vec<_> = state
            .grants_of(&exchange.region)
            .map(|(key, grant)| (key, &**grant))
            .filter(|(_, grant)| grant.retiring.as_ref() == Some(&principal) && grant.id > after)
            .collect();
        fitting.sort_unstable_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        Ok(Done::new(self.grant_page(fitting.into_iter(), input.limit)))
    }

    fn grant_page<'g>(&self, grants: impl Iterator<Item = (&'g Place, &'g Grant)>, limit: Option<i64>) -> GrantList {
        let page = Page::of(grants, limit.or(Some(50)), |(_, grant)| grant.id.clone());
        let grants = page.items.into_iter().map(|(key, grant)| GrantEntry {
            key_id: key.arn(&self.account),
            grant_id: grant.id.clone(),
            name: grant.name.clone().unwrap_or_default(),
            creation_date: grant.created,
            grantee_principal: grant.grantee.clone(),
            retiring_principal: grant.retiring.clone(),
            issuing_account: format!("arn:aws:iam::{}:root", self.account),
            operations: grant.operations.clone(),
            constraints: grant.constraints.clone(),
        });
        GrantList {
            grants: grants.collect(),
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        }
    }

    pub(super) fn revoke_grant(&self, exchange: &Exchange<'_>, input: RevokeGrant) -> Reply<()> {
        let key = self.find_by_id(exchange, &input.key_id.unwrap_or_default())?;
        let place = GrantPlace {
            key: key.place.clone(),
            id: input.grant_id.unwrap_or_default(),
        };
        about([&key.arn], || self.remove_grant(exchange, place, input.dry_run))
    }

    /// Retires a grant, named by its token or by its key and id, if the caller may.
    pub(super) fn retire_grant(&self, exchange: &Exchange<'_>, input: RetireGrant) -> Reply<()> {
        match (&input.grant_token, &input.key_id, &input.grant_id) {
            (Some(token), None, None) => {
                let state = self.store.view(exchange.now)?;
                let granted = state.granted(&exchange.region, token);
                let (key, grant) = granted.ok_or_else(invalid_grant_token)?;
                let (key, grant) = (key.clone(), Arc::clone(grant));
                drop(state);
                about([&key.arn(&self.account)], || {
                    self.retire(exchange, key.clone(), &grant, input.dry_run)
                })
            }
            (None, Some(key_id), Some(grant_id)) => {
                let key = self.find_by_id(exchange, key_id)?;
                about([&key.arn], || {
                    let place = GrantPlace {
                        key: key.place.clone(),
                        id: grant_id.clone(),
                    };
                    let grant = self.store.view(exchange.now)?.grant(&place).map(Arc::clone);
                    let grant = grant.ok_or_else(|| no_such_grant(grant_id))?;
                    self.retire(exchange, place.key, &grant, input.dry_run)
                })
            }
            _ => {
                let message = "Please specify either a grant token, or a key ARN and a grant ID.";
                Err(KmsError::validation(message).into())
            }
        }
    }

    fn retire(&self, exchange: &Exchange<'_>, key: Place, grant: &Grant, dry_run: Option<bool>) -> Reply<()> {
        let is_retiring = grant.retiring.as_ref() == Some(&exchange.caller);
        let is_grantee = grant.grantee == exchange.caller && grant.permits("RetireGrant", None);
        if exchange.is_grantee() && !is_retiring && !is_grantee {
            return Err(exchange.denied("RetireGrant", &key.arn(&self.account)).into());
        }
        let id = grant.id.clone();
        self.remove_grant(exchange, GrantPlace { key, id }, dry_run)
    }

    fn remove_grant(&self, exchange: &Exchange<'_>, place: GrantPlace, dry_run: Option<bool>) -> Reply<()> {
        let removed = self.store.change(exchange.now, |transaction| {
            let missing = no_such_grant(&place.id);
            if !transaction.remove_grant(place) {
                return Err(missing);
            }
            match dry_run {
                // The error drops the change.
                Some(true) => Err(KmsError::dry_run()),
                _ => Ok(()),
            }
        });
        Ok(Done::new(removed?))
    }

    /// Whether one of the caller's grants allows everything that the new one would.
    fn may_pass_on(
        &self,
        exchange: &Exchange<'_>,
        key: &Key,
        operations: &[String],
        constraints: &Constraints,
    ) -> Result<bool, KmsError> {
        let state = self.store.view(exchange.now)?;
        let mut grants = state.grants_on(&key.place, "");
        Ok(grants.any(|grant| {
            grant.grantee == exchange.caller
                && grant.permits("CreateGrant", None)
                && operations.iter().all(|operation| grant.operations.contains(operation))
                && constraints.imply(&grant.constraints)
        }))
    }
}

/// The grant itself may have been revoked since: a caller that revokes page by page continues after it.
fn is_grant_id(marker: &str) -> bool {
    marker.len() == 64 && marker.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// # Errors
/// `ValidationException` for operations that no grant on a symmetric encryption key can have.
fn check_operations(operations: &[String]) -> Result<(), KmsError> {
    if operations.iter().all(|operation| operation == "CreateGrant") {
        let message = "Grants must not contain only the CreateGrant operation.";
        return Err(KmsError::validation(message));
    }
    let impossible = operations
        .iter()
        .find(|operation| OF_OTHER_KEYS.contains(&operation.as_str()));
    match impossible {
        None => Ok(()),
        Some(operation) => Err(KmsError::validation(format!(
            "{operation} is not valid for a KMS key of key spec SYMMETRIC_DEFAULT."
        ))),
    }
}

fn check_arn(principal: &str) -> Result<(), KmsError> {
    if principal.starts_with("arn:aws") && principal.splitn(6, ':').count() == 6 {
        return Ok(());
    }
    Err(KmsError::new("InvalidArnException", "A principal is named by its ARN."))
}

fn no_such_grant(grant_id: &str) -> KmsError {
    let shown: String = grant_id.chars().filter(|c| !c.is_control()).take(128).collect();
    KmsError::not_found(format!("Grant ID {shown} not found"))
}
