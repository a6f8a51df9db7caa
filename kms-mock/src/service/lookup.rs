//! Finding the key of a `KeyId`, and checking the caller's permissions.
//!
//! ```text
//! 1234abcd-...   arn:aws:kms:REGION:ACCOUNT:key/1234abcd-...   alias/x   arn:aws:kms:REGION:ACCOUNT:alias/x
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{AliasPlace, Key, KeyId, KeyManager, Place, State, Transaction};

/// Services whose AWS-managed keys are created at their first use, as `alias/aws/NAME`.
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

/// What a `KeyId` names, in the region of the call.
#[derive(Debug, Clone)]
enum Name {
    Key(Place),
    /// `alias/...`
    Alias(AliasPlace),
}

impl Service {
    /// Finds the key of a `KeyId` in any form. Creates AWS-managed keys.
    ///
    /// # Errors
    /// `NotFoundException`, `InvalidArnException`, `AccessDeniedException`.
    pub(super) fn find(&self, exchange: &Exchange<'_>, key_id: &str) -> Result<Arc<Key>, KmsError> {
        let name = self.name_of(exchange, key_id)?;
        if let Name::Alias(alias) = &name
            && is_aws_managed(&alias.name)
        {
            self.ensure_aws_managed_key(exchange.now, alias)?;
        }
        self.named(exchange, &name)
    }

    /// Finds a key by its id or ARN: operations that manage a key accept no alias.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn find_by_id(&self, exchange: &Exchange<'_>, key_id: &str) -> Result<Arc<Key>, KmsError> {
        let name = self.name_of(exchange, key_id)?;
        if let Name::Alias(_) = name {
            return Err(invalid_key_id(key_id));
        }
        self.named(exchange, &name)
    }

    fn named(&self, exchange: &Exchange<'_>, name: &Name) -> Result<Arc<Key>, KmsError> {
        let state = self.store.view(exchange.now)?;
        let key: Option<&Arc<Key>> = match name {
            Name::Key(place) => state.key(place),
            Name::Alias(alias) => state.aliased(alias),
        };
        key.map(Arc::clone).ok_or_else(|| match name {
            Name::Key(place) => self.no_such_key(place),
            Name::Alias(alias) => self.no_such_alias(alias),
        })
    }

    /// Changes a customer's key, named by its id or ARN.
    ///
    /// # Errors
    /// As [`Self::find_by_id`], and the error of `change`.
    pub(super) fn change_key<T>(
        &self,
        exchange: &Exchange<'_>,
        key_id: &str,
        change: impl FnOnce(&mut Key) -> Result<T, KmsError>,
    ) -> Reply<T> {
        self.change_keys(exchange, key_id, |transaction, place| {
            let key = transaction.key_mut(place).ok_or_else(|| self.no_such_key(place))?;
            change(key)
        })
    }

    /// Changes a customer's key, named by its id or ARN, and its related keys.
    ///
    /// # Errors
    /// As [`Self::find_by_id`], and the error of `change`.
    pub(super) fn change_keys<T>(
        &self,
        exchange: &Exchange<'_>,
        key_id: &str,
        change: impl FnOnce(&mut Transaction<'_>, &Place) -> Result<T, KmsError>,
    ) -> Reply<T> {
        let found = self.find_by_id(exchange, key_id)?;
        let place = &found.place;
        about([&found.arn], || {
            let changed = self.store.change(exchange.now, |transaction| {
                let key = transaction.key(place).ok_or_else(|| self.no_such_key(place))?;
                require_customer(exchange, key)?;
                change(transaction, place)
            });
            Ok(Done::new(changed?))
        })
    }

    /// Checks that the caller may use the key: `permission` is the name of a grant operation, `context` the context of
    /// a cryptographic operation.
    ///
    /// # Errors
    /// `AccessDeniedException`, `InvalidGrantTokenException`.
    pub(super) fn authorize(
        &self,
        exchange: &Exchange<'_>,
        key: &Key,
        permission: &str,
        context: Option<&BTreeMap<String, String>>,
        tokens: &[String],
    ) -> Result<(), KmsError> {
        if tokens.is_empty() && !exchange.is_grantee() {
            return Ok(());
        }
        let state = self.store.view(exchange.now)?;
        let mut by_token = false;
        for token in tokens {
            let (of, grant) = state.granted(&exchange.region, token).ok_or_else(invalid_grant_token)?;
            by_token |= *of == key.place && grant.grantee == exchange.caller && grant.permits(permission, context);
        }
        let by_grant = |state: &State| {
            state.grants_on(&key.place, "").any(|grant| {
                grant.grantee == exchange.caller && grant.visible <= exchange.now && grant.permits(permission, context)
            })
        };
        if exchange.is_grantee() && !by_token && !by_grant(&state) {
            return Err(exchange.denied(permission, &key.arn));
        }
        Ok(())
    }

    pub(super) fn alias_arn(&self, alias: &AliasPlace) -> String {
        format!("arn:aws:kms:{}:{}:{}", alias.region, self.account, alias.name)
    }

    pub(super) fn no_such_key(&self, place: &Place) -> KmsError {
        KmsError::not_found(format!("Key '{}' does not exist", place.arn(&self.account)))
    }

    pub(super) fn no_such_alias(&self, alias: &AliasPlace) -> KmsError {
        KmsError::not_found(format!("Alias {} is not found.", self.alias_arn(alias)))
    }

    fn name_of(&self, exchange: &Exchange<'_>, key_id: &str) -> Result<Name, KmsError> {
        let local = if key_id.starts_with("arn:") {
            let mut parts = key_id.splitn(6, ':').skip(1);
            let mut next = || parts.next().unwrap_or_default();
            let (partition, service, region, account, local) = (next(), next(), next(), next(), next());
            if (partition, service) != ("aws", "kms") || local.is_empty() {
                return Err(invalid_arn(key_id));
            }
            if region != exchange.region.as_str() {
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
            return Ok(Name::Alias(exchange.alias(local)));
        }
        match local.parse::<KeyId>() {
            Ok(id) => Ok(Name::Key(exchange.place(id))),
            Err(_) => Err(invalid_key_id(local)),
        }
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

/// What was sent, on one line and truncated.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
