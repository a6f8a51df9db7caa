//! Which keys protect which objects.

use std::fmt;
use std::sync::Arc;

use sealstone::KeyProvider;

/// The keys of the objects under one prefix.
#[derive(Clone)]
pub struct Keys {
    sealing: Vec<Arc<dyn KeyProvider>>,
    opening: Vec<Arc<dyn KeyProvider>>,
}

impl Keys {
    /// Objects are sealed for `key`, and opened with it.
    #[must_use]
    pub fn new(key: Arc<dyn KeyProvider>) -> Self {
        Self {
            sealing: vec![key],
            opening: Vec::new(),
        }
    }

    /// Seals objects for `key` too: each of the keys opens them.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.sealing.push(key);
        self
    }

    /// Opens objects with `key` too, for example those that were sealed before a rotation. No object is sealed for it.
    #[must_use]
    pub fn with_opening_key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.opening.push(key);
        self
    }

    /// Those that objects are sealed for; at least one.
    pub(crate) fn sealing(&self) -> &[Arc<dyn KeyProvider>] {
        &self.sealing
    }

    /// Those that no object is sealed for.
    pub(crate) fn only_opening(&self) -> &[Arc<dyn KeyProvider>] {
        &self.opening
    }

    /// Those that objects are opened with; at least one.
    pub(crate) fn opening(&self) -> impl Iterator<Item = &Arc<dyn KeyProvider>> {
        self.sealing.iter().chain(&self.opening)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |keys: &[Arc<dyn KeyProvider>]| keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>();
        f.debug_struct("Keys")
            .field("sealing", &ids(&self.sealing))
            .field("opening", &ids(&self.opening))
            .finish()
    }
}

/// The rule for one prefix of paths.
#[derive(Debug, Clone)]
struct Rule {
    prefix: String,
    keys: Keys,
}

/// Keys by prefix: those of the longest prefix that a path has.
#[derive(Debug, Clone)]
pub(crate) struct KeyPolicy {
    default: Keys,
    /// Longest prefix first.
    rules: Vec<Rule>,
}

/// Identifies the rule that applies to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleId(Option<usize>);

impl KeyPolicy {
    pub(crate) const fn new(default: Keys) -> Self {
        Self {
            default,
            rules: Vec::new(),
        }
    }

    pub(crate) const fn default_mut(&mut self) -> &mut Keys {
        &mut self.default
    }

    /// Adds a rule; one for the same prefix is replaced.
    pub(crate) fn add(&mut self, prefix: &str, keys: Keys) {
        let prefix = prefix.to_owned();
        self.rules.retain(|rule| rule.prefix != prefix);
        self.rules.push(Rule { prefix, keys });
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
    }

    pub(crate) fn rule(&self, path: &str) -> RuleId {
        RuleId(self.rules.iter().position(|rule| is_under(path, &rule.prefix)))
    }

    pub(crate) fn keys(&self, path: &str) -> &Keys {
        self.rule(path).0.map_or(&self.default, |index| &self.rules[index].keys)
    }
}

/// Whether `path` is `prefix`, or lies under it: whole segments are compared.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealstone::RawKey;

    fn keys(byte: u8) -> Keys {
        Keys::new(Arc::new(RawKey::from_slice(&[byte; 32]).unwrap()))
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_decides() {
        let mut policy = KeyPolicy::new(keys(0));
        policy.add("tenant", keys(1));
        policy.add("tenant/a", keys(2));
        policy.add("tenant", keys(3));
        let rule = |path: &str| policy.rule(path).0.map(|index| policy.rules[index].prefix.as_str());
        assert_eq!(rule("tenants/a"), None);
        assert_eq!(rule("tenant"), Some("tenant"));
        assert_eq!(rule("tenant/ab/c"), Some("tenant"));
        assert_eq!(rule("tenant/a/c"), Some("tenant/a"));
        assert_eq!(policy.rules.len(), 2);
    }
}
