//! Grants: which operations a principal may perform with a key, and under which contexts.
//!
//! ```text
//! token   key id[32 hex] | grant id[64 hex] | random[64 hex]
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KeyId, persist};
use crate::error::KmsError;

const KEY_LEN: usize = 32;
const ID_LEN: usize = 64;

/// A permission for one principal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) id: String,
    /// Gives access before the grant has propagated.
    pub(crate) token: String,
    pub(crate) name: Option<String>,
    #[serde(with = "persist::millis")]
    pub(crate) created: Duration,
    /// When it takes effect for calls without its token.
    #[serde(skip)]
    pub(crate) visible: Duration,
    pub(crate) grantee: String,
    pub(crate) retiring: Option<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) constraints: Constraints,
}

/// Omits the token: whoever has it has the grant's access.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Constraints on the encryption context, all of which must hold. Unknown constraints are refused: ignoring one would
/// widen the grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Constraints {
    /// The context must contain these pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_context_subset: Option<BTreeMap<String, String>>,
    /// The context must have exactly these pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_context_equals: Option<BTreeMap<String, String>>,
}

impl Constraints {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The pairs of each constraint.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let both = [&self.encryption_context_subset, &self.encryption_context_equals];
        both.into_iter().flatten()
    }

    /// Whether a context meets the constraints.
    pub(crate) fn allow(&self, context: &BTreeMap<String, String>) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_none_or(|pairs| pairs == context) && subset.is_none_or(|pairs| contains(context, pairs))
    }

    /// Whether `other` allows every context that `self` allows.
    pub(crate) fn imply(&self, other: &Self) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_some_and(|pairs| other.allow(pairs))
            || (other.encryption_context_equals.is_none()
                && other
                    .encryption_context_subset
                    .as_ref()
                    .is_none_or(|wanted| subset.is_some_and(|pairs| contains(pairs, wanted))))
    }
}

impl Grant {
    /// An id and a token for a grant on `key`.
    ///
    /// # Errors
    /// `KMSInternalException` if the random generator fails.
    pub(crate) fn new_names(key: KeyId) -> Result<(String, String), KmsError> {
        let mut random = [0; 64];
        getrandom::fill(&mut random).map_err(|_| KmsError::internal("The random generator failed."))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("{}{digits}", key.uuid.simple());
        Ok((digits[..ID_LEN].to_owned(), token))
    }

    /// Whether it permits `operation`; `context` is the context of a cryptographic operation.
    pub(crate) fn permits(&self, operation: &str, context: Option<&BTreeMap<String, String>>) -> bool {
        self.operations.iter().any(|permitted| permitted == operation)
            && context.is_none_or(|context| self.constraints.allow(context))
    }
}

/// The key and the grant id that a token names.
pub(super) fn places_of_token(token: &str) -> Option<(Uuid, &str)> {
    let (key, rest) = token.split_at_checked(KEY_LEN)?;
    Some((Uuid::try_parse(key).ok()?, rest.get(..ID_LEN)?))
}

fn contains(all: &BTreeMap<String, String>, pairs: &BTreeMap<String, String>) -> bool {
    pairs.iter().all(|(key, value)| all.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn constraints(equals: Option<&str>, subset: Option<&str>) -> Constraints {
        Constraints {
            encryption_context_equals: equals.map(pairs),
            encryption_context_subset: subset.map(pairs),
        }
    }

    #[test]
    fn constraints_hold_for_the_whole_context_or_a_part_of_it() {
        for (equals, subset, context, allowed) in [
            (None, None, "", true),
            (None, None, "a=1", true),
            (Some("a=1"), None, "a=1", true),
            (Some("a=1"), None, "a=1 b=2", false),
            (Some("a=1"), None, "", false),
            (Some(""), None, "", true),
            (Some(""), None, "a=1", false),
            (None, Some("a=1"), "a=1 b=2", true),
            (None, Some("a=1"), "a=2", false),
            (None, Some("a=1"), "A=1", false),
            (None, Some("a=1"), "", false),
            (Some("a=1 b=2"), Some("a=1"), "a=1 b=2", true),
            (Some("a=1"), Some("b=2"), "a=1 b=2", false),
        ] {
            let constraints = constraints(equals, subset);
            assert_eq!(constraints.allow(&pairs(context)), allowed, "{constraints:?} {context}");
        }
    }

    #[test]
    fn a_child_grant_is_at_least_as_narrow() {
        for (child, parent, narrow) in [
            ((None, None), (None, None), true),
            ((None, None), (None, Some("a=1")), false),
            ((None, Some("a=1 b=2")), (None, Some("a=1")), true),
            ((None, Some("a=1")), (None, Some("a=1 b=2")), false),
            ((Some("a=1 b=2"), None), (None, Some("a=1")), true),
            ((Some("a=1"), None), (Some("a=1"), None), true),
            ((Some("a=2"), None), (Some("a=1"), None), false),
            ((None, Some("a=1")), (Some("a=1"), None), false),
            ((Some("a=1"), None), (None, None), true),
        ] {
            let (child, parent) = (constraints(child.0, child.1), constraints(parent.0, parent.1));
            assert_eq!(child.imply(&parent), narrow, "{child:?} {parent:?}");
        }
    }
}
