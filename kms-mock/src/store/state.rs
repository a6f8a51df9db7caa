//! All keys, aliases and grants at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::{Grant, Key, KeyId, Place, Region, grant, persist};

/// All keys, aliases and grants of all regions.
#[derive(Debug, Default)]
pub(crate) struct State {
    keys: BTreeMap<Place, Arc<Key>>,
    aliases: BTreeMap<AliasPlace, Alias>,
    grants: BTreeMap<GrantPlace, Arc<Grant>>,
    /// When which key will change without a call.
    due: BTreeSet<(Duration, Place)>,
}

/// A name of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    pub(crate) target: KeyId,
    #[serde(with = "persist::millis")]
    pub(crate) created: Duration,
    #[serde(with = "persist::millis")]
    pub(crate) updated: Duration,
}

/// An alias's region and name, which begins with `alias/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasPlace {
    pub(crate) region: Region,
    pub(crate) name: String,
}

/// A grant's key and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantPlace {
    pub(crate) key: Place,
    pub(crate) id: String,
}

impl State {
    pub(crate) fn key(&self, place: &Place) -> Option<&Arc<Key>> {
        self.keys.get(place)
    }

    /// The keys of a region in the order of their ids, all or those after one.
    pub(crate) fn keys_of(&self, region: &Region, after: Option<KeyId>) -> impl Iterator<Item = &Arc<Key>> {
        let place = |id| Place {
            region: region.clone(),
            id,
        };
        let start = after.map_or_else(|| Included(place(KeyId::FIRST)), |id| Excluded(place(id)));
        let keys = self.keys.range((start, Unbounded)).map(|(_, key)| key);
        keys.take_while(move |key| key.place.region == *region)
    }

    pub(crate) fn alias(&self, place: &AliasPlace) -> Option<&Alias> {
        self.aliases.get(place)
    }

    /// The aliases of a region in the order of their names, after this one.
    pub(crate) fn aliases_of(&self, region: &Region, after: &str) -> impl Iterator<Item = (&str, &Alias)> {
        let start = AliasPlace {
            region: region.clone(),
            name: after.to_owned(),
        };
        let aliases = self.aliases.range((Excluded(start), Unbounded));
        let aliases = aliases.take_while(move |(place, _)| place.region == *region);
        aliases.map(|(place, alias)| (place.name.as_str(), alias))
    }

    /// The key of an alias.
    pub(crate) fn aliased(&self, place: &AliasPlace) -> Option<&Arc<Key>> {
        let target = self.aliases.get(place)?.target;
        self.keys.get(&Place {
            region: place.region.clone(),
            id: target,
        })
    }

    pub(crate) fn grant(&self, place: &GrantPlace) -> Option<&Arc<Grant>> {
        self.grants.get(place)
    }

    /// The grants on a key in the order of their ids, after this one.
    pub(crate) fn grants_on(&self, key: &Place, after: &str) -> impl Iterator<Item = &Arc<Grant>> {
        let start = GrantPlace {
            key: key.clone(),
            id: after.to_owned(),
        };
        let grants = self.grants.range((Excluded(start), Unbounded));
        let grants = grants.take_while(move |(place, _)| place.key == *key);
        grants.map(|(_, grant)| grant)
    }

    /// The grants on all keys of a region.
    pub(crate) fn grants_of(&self, region: &Region) -> impl Iterator<Item = (&Place, &Arc<Grant>)> {
        let first = GrantPlace {
            key: Place {
                region: region.clone(),
                id: KeyId::FIRST,
            },
            id: String::new(),
        };
        let grants = self.grants.range(first..).map(|(place, grant)| (&place.key, grant));
        grants.take_while(move |(key, _)| key.region == *region)
    }

    /// The grant in this region that a token belongs to.
    pub(crate) fn granted(&self, region: &Region, token: &str) -> Option<(&Place, &Arc<Grant>)> {
        let (uuid, id) = grant::places_of_token(token)?;
        let found = [false, true].into_iter().find_map(|is_multi_region| {
            let key = Place {
                region: region.clone(),
                id: KeyId { is_multi_region, uuid },
            };
            self.grants.get_key_value(&GrantPlace { key, id: id.to_owned() })
        });
        let (place, grant) = found?;
        (grant.token == token).then_some((&place.key, grant))
    }

    /// Whether any key is due to change by `now`.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.due.first().is_some_and(|(due, _)| *due <= now)
    }

    /// The keys that are due to change by `now`.
    pub(super) fn due_keys(&self, now: Duration) -> impl Iterator<Item = &Place> {
        let due = self.due.iter().take_while(move |(due, _)| *due <= now);
        due.map(|(_, place)| place)
    }

    pub(super) fn aliases(&self) -> impl Iterator<Item = (&AliasPlace, &Alias)> {
        self.aliases.iter()
    }

    /// The changes that lead from an empty state to this one.
    pub(super) fn as_changes(&self) -> impl Iterator<Item = Change> {
        let keys = self.keys.values().map(|key| Change::Key(Box::new(Key::clone(key))));
        let aliases = self.aliases.iter().map(|(place, alias)| Change::Alias {
            place: place.clone(),
            alias: alias.clone(),
        });
        let grants = self.grants.iter().map(|(place, grant)| Change::Grant {
            key: place.key.clone(),
            grant: Box::new(Grant::clone(grant)),
        });
        keys.chain(aliases).chain(grants)
    }

    pub(super) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Key(key) => self.put_key(*key),
                Change::KeyGone(place) => self.remove_key(&place),
                Change::Alias { place, alias } => drop(self.aliases.insert(place, alias)),
                Change::AliasGone(place) => drop(self.aliases.remove(&place)),
                Change::Grant { key, grant } => {
                    let id = grant.id.clone();
                    self.grants.insert(GrantPlace { key, id }, Arc::from(grant));
                }
                Change::GrantGone(place) => drop(self.grants.remove(&place)),
            }
        }
    }

    fn put_key(&mut self, key: Key) {
        let place = key.place.clone();
        self.remove_key(&place);
        if let Some(due) = key.next_due() {
            self.due.insert((due, place.clone()));
        }
        self.keys.insert(place, Arc::new(key));
    }

    fn remove_key(&mut self, place: &Place) {
        if let Some(due) = self.keys.remove(place).and_then(|key| key.next_due()) {
            self.due.remove(&(due, place.clone()));
        }
    }

    /// Describes an inconsistency in a state that was read. This program writes none.
    pub(super) fn contradiction(&self, account: &str) -> Option<String> {
        for key in self.keys.values() {
            if key.materials().is_empty() {
                return Some(format!("key {} has no material", key.place.id));
            }
            if key.arn != key.place.arn(account) {
                return Some(format!("the ARN of key {} is {}", key.place.id, key.arn));
            }
            if let Some(place) = key.related().iter().find(|place| !self.keys.contains_key(place)) {
                return Some(format!("key {} is related to {}", key.arn, place.arn(account)));
            }
        }
        let aliases = self.aliases.keys();
        if let Some(place) = aliases.into_iter().find(|place| self.aliased(place).is_none()) {
            return Some(format!("{} names a key that is not there", place.name));
        }
        let mut grants = self.grants.keys();
        let grant = grants.find(|place| !self.keys.contains_key(&place.key))?;
        Some(format!("grant {} is on a key that is not there", grant.id))
    }
}
