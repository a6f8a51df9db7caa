//! Aliases: names of keys that can be moved to other keys.

use serde::{Deserialize, Serialize};

use super::input::{Checks, Input};
use super::lookup::require_customer;
use super::output::{Page, begin, seconds};
use super::reply::{Done, Reply, about};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Alias, AliasPlace, KeyId, Place, Transaction};

/// The prefix of every alias.
pub(super) const PREFIX: &str = "alias/";
/// The prefix of the aliases of AWS-managed keys.
const RESERVED: &str = "alias/aws/";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct NameAndTarget {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

impl Input for NameAndTarget {
    fn check(&self, checks: &mut Checks) {
        checks.required("aliasName", self.alias_name.as_ref());
        checks.name("aliasName", self.alias_name.as_deref());
        checks.key_id("targetKeyId", self.target_key_id.as_deref());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct NameOnly {
    alias_name: Option<String>,
}

impl Input for NameOnly {
    fn check(&self, checks: &mut Checks) {
        checks.required("aliasName", self.alias_name.as_ref());
        checks.name("aliasName", self.alias_name.as_deref());
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
pub(super) struct ListAliases {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Input for ListAliases {
    fn check(&self, checks: &mut Checks) {
        checks.text("keyId", self.key_id.as_deref(), 2048);
        checks.page(self.limit, 100, self.marker.as_deref());
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AliasList {
    aliases: Vec<AliasEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AliasEntry {
    alias_arn: String,
    alias_name: String,
    #[serde(serialize_with = "seconds")]
    creation_date: std::time::Duration,
    #[serde(serialize_with = "seconds")]
    last_updated_date: std::time::Duration,
    target_key_id: String,
}

impl Service {
    pub(super) fn create_alias(&self, exchange: &Exchange<'_>, input: NameAndTarget) -> Reply<()> {
        let now = exchange.now;
        self.change_alias(exchange, input, |transaction, alias, target| {
            if transaction.alias(alias).is_some() {
                let message = format!("An alias with the name {} already exists", self.alias_arn(alias));
                return Err(KmsError::new("AlreadyExistsException", message));
            }
            self.require_target(exchange, transaction, target)?;
            let entry = Alias {
                target: target.id,
                created: now,
                updated: now,
            };
            transaction.put_alias(alias.clone(), entry);
            Ok(())
        })
    }

    pub(super) fn update_alias(&self, exchange: &Exchange<'_>, input: NameAndTarget) -> Reply<()> {
        let now = exchange.now;
        self.change_alias(exchange, input, |transaction, alias, target| {
            self.require_target(exchange, transaction, target)?;
            let entry = transaction.alias(alias).ok_or_else(|| self.no_such_alias(alias))?;
            let entry = Alias {
                target: target.id,
                created: entry.created,
                updated: now,
            };
            transaction.put_alias(alias.clone(), entry);
            Ok(())
        })
    }

    fn require_target(
        &self,
        exchange: &Exchange<'_>,
        transaction: &Transaction<'_>,
        target: &Place,
    ) -> Result<(), KmsError> {
        let key = transaction.key(target).ok_or_else(|| self.no_such_key(target))?;
        require_customer(exchange, key)?;
        key.require_kept()
    }

    /// Changes an alias, given its new target.
    fn change_alias(
        &self,
        exchange: &Exchange<'_>,
        input: NameAndTarget,
        change: impl FnOnce(&mut Transaction<'_>, &AliasPlace, &Place) -> Result<(), KmsError>,
    ) -> Reply<()> {
        let alias = input.alias_name.unwrap_or_default();
        check_own(&alias)?;
        let target = input.target_key_id.unwrap_or_default();
        if is_alias(&target) {
            return Err(KmsError::validation("Aliases must refer to keys. Not aliases").into());
        }
        let target = self.find_by_id(exchange, &target)?;
        let alias = exchange.alias(&alias);
        about([&target.arn, &self.alias_arn(&alias)], || {
            let changed = self
                .store
                .change(exchange.now, |transaction| change(transaction, &alias, &target.place));
            Ok(Done::new(changed?))
        })
    }

    pub(super) fn delete_alias(&self, exchange: &Exchange<'_>, input: NameOnly) -> Reply<()> {
        let alias = input.alias_name.unwrap_or_default();
        check_own(&alias)?;
        let alias = exchange.alias(&alias);
        let target = self.store.change(exchange.now, |transaction| {
            let entry = transaction.alias(&alias).ok_or_else(|| self.no_such_alias(&alias))?;
            let target = exchange.place(entry.target);
            transaction.remove_alias(&alias);
            Ok(target)
        })?;
        let done = Done::new(()).and_about(target.arn(&self.account));
        Ok(done.and_about(self.alias_arn(&alias)))
    }

    pub(super) fn list_aliases(&self, exchange: &Exchange<'_>, input: ListAliases) -> Reply<AliasList> {
        let Some(key_id) = &input.key_id else {
            return Ok(Done::new(self.page_of_aliases(exchange, input, None)?));
        };
        let key = self.find_by_id(exchange, key_id)?;
        about([&key.arn], || {
            Ok(Done::new(self.page_of_aliases(exchange, input, Some(key.place.id))?))
        })
    }

    fn page_of_aliases(
        &self,
        exchange: &Exchange<'_>,
        input: ListAliases,
        only: Option<KeyId>,
    ) -> Result<AliasList, KmsError> {
        let after = begin(input.marker, |marker| marker.starts_with("alias/"))?;
        let state = self.store.view(exchange.now)?;
        let aliases = state.aliases_of(&exchange.region, &after);
        let fitting = aliases.filter(|(_, alias)| only.is_none_or(|id| id == alias.target));
        let page = Page::of(fitting, input.limit.or(Some(50)), |(name, _)| (*name).to_owned());
        let aliases = page.items.into_iter().map(|(name, alias)| AliasEntry {
            alias_arn: self.alias_arn(&exchange.alias(name)),
            alias_name: name.to_owned(),
            creation_date: alias.created,
            last_updated_date: alias.updated,
            target_key_id: alias.target.to_string(),
        });
        Ok(AliasList {
            aliases: aliases.collect(),
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        })
    }
}

/// Checks that customers may use this alias.
///
/// # Errors
/// `ValidationException` and `InvalidAliasNameException` for invalid aliases, `NotAuthorizedException` for AWS's own.
pub(super) fn check_own(alias: &str) -> Result<(), KmsError> {
    let Some(name) = alias.strip_prefix(PREFIX) else {
        return Err(KmsError::validation(
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ));
    };
    if alias.starts_with(RESERVED) {
        return Err(KmsError::new("NotAuthorizedException", ""));
    }
    if name.contains(':') {
        let message = format!("{alias} contains invalid characters for an alias");
        return Err(KmsError::validation(message));
    }
    if name.is_empty() {
        return Err(KmsError::new(
            "InvalidAliasNameException",
            "An alias has a name after alias/.",
        ));
    }
    Ok(())
}

/// Whether a `KeyId` is an alias or the ARN of one.
fn is_alias(key_id: &str) -> bool {
    let local = match key_id.strip_prefix("arn:") {
        Some(rest) => rest.splitn(5, ':').nth(4).unwrap_or_default(),
        None => key_id,
    };
    local.starts_with(PREFIX)
}
