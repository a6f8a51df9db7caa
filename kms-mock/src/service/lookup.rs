//! From a `KeyId` to a key, and whether the caller may use it.
//!
//! ```text
//! 1234abcd-...   arn:aws:kms:REGION:ACCOUNT:key/1234abcd-...   alias/x   arn:aws:kms:REGION:ACCOUNT:alias/x
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Key, KeyManager, State};

/// Services whose AWS-managed keys are made at their first use, as `alias/aws/NAME`.
const AWS_SERVICES: &[&str] = &[
    "dynamodb",
    "ebs",
    "glue",
    "lambda",
    "rds",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
];

/// What a `KeyId` names.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Key(Uuid),
    /// `alias/...`
    Alias(&'a str),
}

impl Service {
    /// The key of a `KeyId` in any form; AWS-managed ones are made now.
    ///
    /// # Errors
    /// `NotFoundException`, `InvalidArnException`, `AccessDeniedException`.
    pub(super) fn find(&self, exchange: &mut Exchange<'_>, key_id: &str) -> Result<(Arc<State>, Arc<Key>), KmsError> {
        let name = self.name_of(exchange, key_id)?;
        let mut state = self.store.view(exchange.now)?;
        if let Name::Alias(alias) = name
            && !state.aliases.contains_key(alias)
            && is_aws_managed(alias)
        {
            self.create_aws_managed_key(exchange.now, alias)?;
            state = self.store.view(exchange.now)?;
        }
        let key = Arc::clone(self.key_named(&state, name)?);
        exchange.findings.resources.push(key.arn.clone());
        Ok((state, key))
    }

    /// The id of a key that is given by its id or ARN: operations that manage a key take no alias.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn id_of(&self, exchange: &mut Exchange<'_>, key_id: &str) -> Result<Uuid, KmsError> {
        let Name::Key(id) = self.name_of(exchange, key_id)? else {
            return Err(invalid_key_id(key_id));
        };
        let state = self.store.view(exchange.now)?;
        let key = self.key_named(&state, Name::Key(id))?;
        exchange.findings.resources.push(key.arn.clone());
        Ok(id)
    }

    /// The key that is given by its id or ARN.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn find_by_id(
        &self,
        exchange: &mut Exchange<'_>,
        key_id: &str,
    ) -> Result<(Arc<State>, Arc<Key>), KmsError> {
        let id = self.id_of(exchange, key_id)?;
        let state = self.store.view(exchange.now)?;
        let key = Arc::clone(state.keys.get(&id).ok_or_else(|| self.no_such_key(id))?);
        Ok((state, key))
    }

    /// Changes a customer's key, which is given by its id or ARN.
    ///
    /// # Errors
    /// As [`Self::find`], and that of `change`.
    pub(super) fn change_key<T>(
        &self,
        exchange: &mut Exchange<'_>,
        key_id: &str,
        change: impl FnOnce(&mut Key) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let id = self.id_of(exchange, key_id)?;
        self.store.change(exchange.now, |state| {
            let key = state.key_mut(id).ok_or_else(|| self.no_such_key(id))?;
            require_customer(exchange, key)?;
            change(key)
        })
    }

    /// Whether the caller may do this with the key: `permission` is a name of AWS's grant operations, `context` that
    /// of a cryptographic operation.
    ///
    /// # Errors
    /// `AccessDeniedException`, `InvalidGrantTokenException`.
    pub(super) fn authorize(
        &self,
        exchange: &Exchange<'_>,
        (state, key): (&State, &Key),
        permission: &str,
        context: Option<&BTreeMap<String, String>>,
        tokens: &[String],
    ) -> Result<(), KmsError> {
        let mut by_token = false;
        for token in tokens {
            let (of, grant) = state.granted(token).ok_or_else(invalid_grant_token)?;
            by_token |= of.id == key.id && grant.grantee == exchange.caller && grant.permits(permission, context);
        }
        let by_grant = || {
            let mut grants = key.grants.values();
            grants.any(|grant| {
                grant.grantee == exchange.caller && grant.visible <= exchange.now && grant.permits(permission, context)
            })
        };
        if exchange.is_grantee() && !by_token && !by_grant() {
            return Err(exchange.denied(permission, &key.arn));
        }
        Ok(())
    }

    pub(super) fn key_arn(&self, id: Uuid) -> String {
        format!("arn:aws:kms:{}:{}:key/{id}", self.region, self.account)
    }

    pub(super) fn alias_arn(&self, alias: &str) -> String {
        format!("arn:aws:kms:{}:{}:{alias}", self.region, self.account)
    }

    pub(super) fn no_such_key(&self, id: Uuid) -> KmsError {
        KmsError::not_found(format!("Key '{}' does not exist", self.key_arn(id)))
    }

    pub(super) fn no_such_alias(&self, alias: &str) -> KmsError {
        KmsError::not_found(format!("Alias {} is not found.", self.alias_arn(alias)))
    }

    fn key_named<'s>(&self, state: &'s State, name: Name<'_>) -> Result<&'s Arc<Key>, KmsError> {
        match name {
            Name::Key(id) => state.keys.get(&id).ok_or_else(|| self.no_such_key(id)),
            Name::Alias(alias) => state.aliased(alias).ok_or_else(|| self.no_such_alias(alias)),
        }
    }

    fn name_of<'k>(&self, exchange: &Exchange<'_>, key_id: &'k str) -> Result<Name<'k>, KmsError> {
        let local = if key_id.starts_with("arn:") {
            let mut parts = key_id.splitn(6, ':').skip(1);
            let mut next = || parts.next().unwrap_or_default();
            let (partition, service, region, account, local) = (next(), next(), next(), next(), next());
            if (partition, service) != ("aws", "kms") || local.is_empty() {
                return Err(invalid_arn(key_id));
            }
            if region != self.region {
                return Err(KmsError::not_found(format!("Invalid arn {}", shown(region))));
            }
            if account != self.account {
                return Err(exchange.denied(exchange.call.operation.name(), &shown(key_id)));
            }
            match local.strip_prefix("key/") {
                Some(id) => id,
                None if local.starts_with("alias/") => local,
                None => return Err(invalid_arn(key_id)),
            }
        } else {
            key_id
        };
        if local.starts_with("alias/") {
            return Ok(Name::Alias(local));
        }
        // Only this form: `Uuid` reads others too.
        let id = Some(local).filter(|local| local.len() == 36);
        let id = id
            .and_then(|local| Uuid::try_parse(local).ok())
            .ok_or_else(|| invalid_key_id(local))?;
        Ok(Name::Key(id))
    }
}

/// # Errors
/// `AccessDeniedException` for a key that AWS manages.
pub(super) fn require_customer(exchange: &Exchange<'_>, key: &Key) -> Result<(), KmsError> {
    match key.manager {
        KeyManager::Customer => Ok(()),
        KeyManager::Aws => Err(exchange.denied(exchange.call.operation.name(), &key.arn)),
    }
}

pub(super) fn invalid_grant_token() -> KmsError {
    KmsError::new("InvalidGrantTokenException", "The grant token is not that of a grant.")
}

fn is_aws_managed(alias: &str) -> bool {
    let service = alias.strip_prefix("alias/aws/");
    service.is_some_and(|service| AWS_SERVICES.contains(&service))
}

fn invalid_key_id(key_id: &str) -> KmsError {
    KmsError::not_found(format!("Invalid keyId '{}'", shown(key_id)))
}

fn invalid_arn(arn: &str) -> KmsError {
    KmsError::new("InvalidArnException", format!("Invalid arn {}", shown(arn)))
}

/// What was sent, on one line and not too much of it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
