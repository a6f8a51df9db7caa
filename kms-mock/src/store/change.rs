//! A change, prepared beside the state: readers see the old state until the whole change is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::material::MaterialRotation;
use super::{
    Alias, AliasPlace, Grant, GrantPlace, Key, KeyStatus, Material, MultiRegion, Place, Region, RotationType, State,
};
use crate::error::KmsError;

/// One difference between two states.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Change {
    Key(Box<Key>),
    KeyGone(Place),
    Alias { place: AliasPlace, alias: Alias },
    AliasGone(AliasPlace),
    Grant { key: Place, grant: Box<Grant> },
    GrantGone(GrantPlace),
}

/// A state with pending changes: `None` for what is removed.
#[derive(Debug)]
pub(crate) struct Transaction<'s> {
    base: &'s State,
    keys: BTreeMap<Place, Option<Key>>,
    aliases: BTreeMap<AliasPlace, Option<Alias>>,
    grants: BTreeMap<GrantPlace, Option<Arc<Grant>>>,
}

impl<'s> Transaction<'s> {
    pub(super) fn new(base: &'s State) -> Self {
        Self {
            base,
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            grants: BTreeMap::new(),
        }
    }

    pub(crate) fn key(&self, place: &Place) -> Option<&Key> {
        match self.keys.get(place) {
            Some(changed) => changed.as_ref(),
            None => self.base.key(place).map(|key| &**key),
        }
    }

    /// A key, for changing.
    pub(crate) fn key_mut(&mut self, place: &Place) -> Option<&mut Key> {
        if !self.keys.contains_key(place) {
            let key = Key::clone(self.base.key(place)?);
            self.keys.insert(place.clone(), Some(key));
        }
        self.keys.get_mut(place)?.as_mut()
    }

    pub(crate) fn put_key(&mut self, key: Key) {
        self.keys.insert(key.place.clone(), Some(key));
    }

    pub(crate) fn alias(&self, place: &AliasPlace) -> Option<&Alias> {
        match self.aliases.get(place) {
            Some(changed) => changed.as_ref(),
            None => self.base.alias(place),
        }
    }

    pub(crate) fn put_alias(&mut self, place: AliasPlace, alias: Alias) {
        self.aliases.insert(place, Some(alias));
    }

    pub(crate) fn remove_alias(&mut self, place: &AliasPlace) {
        self.aliases.insert(place.clone(), None);
    }

    /// The grants on a key before the transaction.
    pub(crate) fn grants_on(&self, key: &Place) -> impl Iterator<Item = &Arc<Grant>> {
        self.base.grants_on(key, "")
    }

    pub(crate) fn put_grant(&mut self, key: Place, grant: Grant) {
        let id = grant.id.clone();
        self.grants.insert(GrantPlace { key, id }, Some(Arc::new(grant)));
    }

    /// Returns `false` if the grant does not exist.
    #[must_use]
    pub(crate) fn remove_grant(&mut self, place: GrantPlace) -> bool {
        let is_there = match self.grants.get(&place) {
            Some(changed) => changed.is_some(),
            None => self.base.grant(&place).is_some(),
        };
        self.grants.insert(place, None);
        is_there
    }

    /// Makes a new material current, for the key and its related keys.
    ///
    /// # Errors
    /// `KMSInternalException` if the random generator fails.
    pub(crate) fn rotate(&mut self, place: &Place, kind: RotationType, date: Duration) -> Result<(), KmsError> {
        let material = Material::random(place.id.uuid, Some(MaterialRotation { kind, date }))?;
        for place in self.relatives(place) {
            if let Some(key) = self.key_mut(&place) {
                key.add_material(material.clone());
            }
        }
        Ok(())
    }

    /// Records in a key and its related keys where they all are.
    pub(crate) fn relate(&mut self, place: &Place, config: &MultiRegion) {
        for region in config.regions() {
            let place = Place {
                region: region.clone(),
                id: place.id,
            };
            if let Some(key) = self.key_mut(&place) {
                key.multi_region = Some(config.clone());
            }
        }
    }

    fn relatives(&self, place: &Place) -> Vec<Place> {
        let related = self.key(place).map(Key::related).unwrap_or_default();
        if related.is_empty() {
            return vec![place.clone()];
        }
        related
    }

    /// Rotates and deletes keys that are due.
    pub(super) fn settle(&mut self, now: Duration) -> Result<(), KmsError> {
        let mut gone = BTreeSet::new();
        for place in self.base.due_keys(now) {
            let Some(key) = self.key(place) else { continue };
            if key.is_gone(now) {
                gone.insert(place);
            } else if let Some(rotation) = key.due_rotation(now) {
                // Once, no matter how many periods have passed.
                self.rotate(place, RotationType::Automatic, now)?;
                if let Some(key) = self.key_mut(place) {
                    key.set_rotation(Some(rotation.period_days), now);
                }
            }
        }
        if !gone.is_empty() {
            self.remove_keys(&gone, now);
        }
        Ok(())
    }

    fn remove_keys(&mut self, gone: &BTreeSet<&Place>, now: Duration) {
        for place in gone {
            let config = self.key(place).and_then(|key| key.multi_region.clone());
            self.keys.insert(Place::clone(place), None);
            for grant in self.base.grants_on(place, "") {
                let id = grant.id.clone();
                self.grants.insert(
                    GrantPlace {
                        key: Place::clone(place),
                        id,
                    },
                    None,
                );
            }
            if let Some(config) = config {
                self.part(place, config, now);
            }
        }
        let of_gone = self.base.aliases().filter(|(place, alias)| {
            gone.contains(&Place {
                region: place.region.clone(),
                id: alias.target,
            })
        });
        self.aliases.extend(of_gone.map(|(place, _)| (place.clone(), None)));
    }

    /// Removes a replica. After the last one, the waiting period of a primary key that is pending deletion begins.
    fn part(&mut self, place: &Place, mut config: MultiRegion, now: Duration) {
        config.replicas.remove(&place.region);
        self.relate(place, &config);
        if !config.replicas.is_empty() {
            return;
        }
        let primary = Place {
            region: Region::clone(&config.primary),
            id: place.id,
        };
        if let Some(key) = self.key_mut(&primary)
            && let KeyStatus::PendingReplicaDeletion { window_days } = key.status()
        {
            key.set_status(KeyStatus::pending(window_days, now), now, Duration::ZERO);
        }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        let keys = self.keys.into_iter().map(|(place, key)| match key {
            Some(key) => Change::Key(Box::new(key)),
            None => Change::KeyGone(place),
        });
        let aliases = self.aliases.into_iter().map(|(place, alias)| match alias {
            Some(alias) => Change::Alias { place, alias },
            None => Change::AliasGone(place),
        });
        let grants = self.grants.into_iter().map(|(place, grant)| match grant {
            Some(grant) => Change::Grant {
                key: place.key,
                grant: Box::new(Arc::unwrap_or_clone(grant)),
            },
            None => Change::GrantGone(place),
        });
        keys.chain(aliases).chain(grants).collect()
    }
}
