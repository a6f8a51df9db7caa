//! State files of the first version: one JSON document, of one region.
//!
//! ```text
//! {"version": 1, "account": "...", "region": "...", "time": ms since 1970, "keys": [...], "aliases": {"alias/...": ...}}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Change, Contents, StateFileError, millis, parse_json};
use crate::store::{Alias, AliasPlace, Grant, Key, Region};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: u32,
    account: String,
    region: Region,
    #[serde(with = "millis")]
    time: Duration,
    keys: Vec<OldKey>,
    aliases: BTreeMap<String, Alias>,
}

#[derive(Deserialize)]
struct OldKey {
    id: Value,
    grants: BTreeMap<String, Grant>,
    /// As today.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

pub(super) fn parse(text: &[u8]) -> Result<Contents, StateFileError> {
    let document: Document = parse_json(text)?;
    let region = &document.region;
    let (mut changes, mut places) = (Vec::new(), BTreeSet::new());
    for old in document.keys {
        let mut members = old.rest;
        members.insert(
            "place".to_owned(),
            serde_json::json!({ "region": region, "id": old.id }),
        );
        // A message of serde's may show a value, and that be the material.
        let key: Key = serde_json::from_value(Value::Object(members))
            .map_err(|_| StateFileError::Damaged("a key has a member that is not as it must be".to_owned()))?;
        let place = key.place.clone();
        if !places.insert(place.clone()) {
            return Err(StateFileError::Damaged(format!("key {} is there twice", place.id)));
        }
        changes.push(Change::Key(Box::new(key)));
        changes.extend(old.grants.into_values().map(|grant| Change::Grant {
            key: place.clone(),
            grant: Box::new(grant),
        }));
    }
    changes.extend(document.aliases.into_iter().map(|(name, alias)| Change::Alias {
        place: AliasPlace {
            region: region.clone(),
            name,
        },
        alias,
    }));
    Ok((document.account, changes, document.time))
}
