//! Aliases: names of keys that can be turned to other keys.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::input::{Checks, Input};
use super::lookup::require_customer;
use super::output::{Page, begin, seconds};
use super::{Exchange, Service};
use crate::error::KmsError;
use crate::store::{Alias, State};

/// Aliases of AWS's own keys begin so.
const RESERVED: &str = "alias/aws/";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct NameAndTarget {
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
struct NameOnly {
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
struct ListAliases {
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
    pub(super) fn create_alias(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let (alias, target) = self.alias_and_target(exchange)?;
        let now = exchange.now;
        self.store.change(now, |state| {
            if state.aliases.contains_key(&alias) {
                let message = format!("An alias with the name {} already exists", self.alias_arn(&alias));
                return Err(KmsError::new("AlreadyExistsException", message));
            }
            let key = state.key_mut(target).ok_or_else(|| self.no_such_key(target))?;
            require_customer(exchange, key)?;
            key.require_kept()?;
            let entry = Alias {
                target,
                created: now,
                updated: now,
            };
            state.aliases.insert(alias.clone(), entry);
            Ok(())
        })
    }

    pub(super) fn update_alias(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let (alias, target) = self.alias_and_target(exchange)?;
        let now = exchange.now;
        self.store.change(now, |state| {
            let key = state.key_mut(target).ok_or_else(|| self.no_such_key(target))?;
            require_customer(exchange, key)?;
            key.require_kept()?;
            let entry = self.alias_mut(state, &alias)?;
            entry.target = target;
            entry.updated = now;
            Ok(())
        })
    }

    /// The alias that is to be made or turned, and the key that it is to name.
    fn alias_and_target(&self, exchange: &mut Exchange<'_>) -> Result<(String, Uuid), KmsError> {
        let input: NameAndTarget = exchange.input()?;
        let alias = input.alias_name.unwrap_or_default();
        check_own(&alias)?;
        let target = self.id_of(exchange, &input.target_key_id.unwrap_or_default())?;
        exchange.findings.resources.push(self.alias_arn(&alias));
        Ok((alias, target))
    }

    pub(super) fn delete_alias(&self, exchange: &mut Exchange<'_>) -> Result<(), KmsError> {
        let input: NameOnly = exchange.input()?;
        let alias = input.alias_name.unwrap_or_default();
        check_own(&alias)?;
        let target = self.store.change(exchange.now, |state| {
            let target = self.alias_mut(state, &alias)?.target;
            state.aliases.remove(&alias);
            Ok(target)
        })?;
        let arns = [self.key_arn(target), self.alias_arn(&alias)];
        exchange.findings.resources.extend(arns);
        Ok(())
    }

    pub(super) fn list_aliases(&self, exchange: &mut Exchange<'_>) -> Result<AliasList, KmsError> {
        let input: ListAliases = exchange.input()?;
        let (state, only) = match &input.key_id {
            None => (self.store.view(exchange.now)?, None),
            Some(key_id) => {
                let (state, key) = self.find_by_id(exchange, key_id)?;
                (state, Some(key.id))
            }
        };
        let after = begin(input.marker, |marker| marker.starts_with("alias/"))?;
        let fitting = state
            .aliases
            .iter()
            .filter(|(name, alias)| **name > after && only.is_none_or(|id| id == alias.target));
        let page = Page::of(fitting, input.limit.or(Some(50)), |(name, _)| (*name).clone());
        let aliases = page.items.into_iter().map(|(name, alias)| AliasEntry {
            alias_arn: self.alias_arn(name),
            alias_name: name.clone(),
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

    fn alias_mut<'s>(&self, state: &'s mut State, alias: &str) -> Result<&'s mut Alias, KmsError> {
        state.aliases.get_mut(alias).ok_or_else(|| self.no_such_alias(alias))
    }
}

/// A name that customers may give.
///
/// # Errors
/// `NotAuthorizedException` for AWS's own, `InvalidAliasNameException` for what is none.
pub(super) fn check_own(alias: &str) -> Result<(), KmsError> {
    if alias.starts_with(RESERVED) {
        let message = "Alias names that begin with alias/aws/ are those of AWS's own keys.";
        return Err(KmsError::new("NotAuthorizedException", message));
    }
    match alias.strip_prefix("alias/") {
        Some(name) if !name.is_empty() => Ok(()),
        _ => Err(KmsError::new(
            "InvalidAliasNameException",
            "An alias begins with alias/, and something follows.",
        )),
    }
}
