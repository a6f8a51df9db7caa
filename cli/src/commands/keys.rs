//! `sealstone keys`: the key ring.

mod transfer;

use std::path::Path;

use sealstone::KeyRing;
use sealstone::keys::{KeyRingEntry, KeyVersion};
use serde::Serialize;
use time::OffsetDateTime;

use crate::args::{Common, DeleteArgs, KeysAction, KeysArgs};
use crate::exit::{Code, Failure};
use crate::io::display;
use crate::keys::local::{announce_key, ring_path};
use crate::report::Report;
use crate::{prompt, text};

/// Runs the action; returns the exit code.
pub(crate) fn run(args: &KeysArgs, common: &Common, report: &Report) -> u8 {
    let done = ring_path(&common.keys).and_then(|path| match &args.action {
        KeysAction::New { name } => new(&path, name, report),
        KeysAction::List => list(&path, report),
        KeysAction::Rotate { name } => rotate(&path, name, report),
        KeysAction::Export { names, output } => transfer::export(&path, names, output.as_deref(), report),
        KeysAction::Import { input, rename } => transfer::import(&path, input, rename.as_deref(), report),
        KeysAction::Delete(args) => delete(&path, args, report),
    });
    super::finish(report, "keys", done)
}

fn new(path: &Path, name: &str, report: &Report) -> Result<(), Failure> {
    let (ring, created) = KeyRing::create_or_open(path, name)?;
    if !created {
        let message = format!(
            "the key ring {} has a key {name} already; `sealstone keys rotate {name}` makes a new version of it",
            display(path)
        );
        return Err(Failure::new(Code::OutputExists, message));
    }
    announce_key(report, path, name);
    show_json(path, &ring, name, report)
}

fn rotate(path: &Path, name: &str, report: &Report) -> Result<(), Failure> {
    let ring = KeyRing::rotate(path, name)?;
    report.note(&format!(
        "made a new version of the key {name} in the key ring {}: renew your copy of that file",
        display(path)
    ));
    show_json(path, &ring, name, report)
}

fn list(path: &Path, report: &Report) -> Result<(), Failure> {
    let ring = KeyRing::open(path)?;
    if report.is_json() {
        return ring
            .entries()
            .try_for_each(|entry| report.json(&Key::new(path, entry), false));
    }
    let entries: Vec<_> = ring.entries().collect();
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut lines = format!("key ring {}\n", text::one_line(&display(path)));
    for KeyRingEntry { name, versions, .. } in &entries {
        let dates = match versions.as_slice() {
            [only] => format!("made {}, id {}", date(only), only.id),
            [first, .., newest] => format!("made {}, newest {}, id {}", date(first), date(newest), newest.id),
            [] => String::new(),
        };
        lines.push_str(&format!("{name:<width$}  {}, {dates}\n", count(versions.len())));
    }
    report.print(lines.as_bytes())
}

fn delete(path: &Path, args: &DeleteArgs, report: &Report) -> Result<(), Failure> {
    let name = &args.name;
    let ring = KeyRing::open(path)?;
    let entry = ring.entries().find(|entry| entry.name == *name);
    let Some(entry) = entry else {
        // Says which keys there are.
        return Ok(ring.with_sealing_key(name).map(drop)?);
    };
    let version = args.version.as_deref().map(|id| find(&entry, id)).transpose()?;
    let what = match version {
        Some(_) if entry.versions.len() == 1 => {
            let message = format!("it is the only version of the key {name}; --all deletes that");
            return Err(Failure::usage(message));
        }
        Some(version) => format!("the version {} of {} of the key {name}", version.id, date(version)),
        None => format!("the key {name} with {}", count(entry.versions.len())),
    };
    let ring = display(path);
    if !args.yes {
        report.note(&format!(
            "this deletes {what} from the key ring {ring}: what was encrypted for it alone can never be decrypted again"
        ));
        if prompt::line("Type the name of the key to delete it: ")? != *name {
            return Err(Failure::usage("another name was typed: nothing was deleted"));
        }
    }
    KeyRing::delete(path, name, version.map(|version| version.id.as_str()))?;
    report.note(&format!(
        "deleted {what} from the key ring {ring}; copies of that file still have it"
    ));
    Ok(())
}

/// The version whose id begins so.
fn find<'a>(entry: &'a KeyRingEntry, start: &str) -> Result<&'a KeyVersion, Failure> {
    let mut found = entry.versions.iter().filter(|version| version.id.starts_with(start));
    match (found.next(), found.next()) {
        (Some(version), None) if !start.is_empty() => Ok(version),
        (None, _) => {
            let message = format!(
                "the key {} has no version {start}; `sealstone keys list --json` shows them",
                entry.name
            );
            Err(Failure::new(Code::NotFound, message))
        }
        _ => Err(Failure::usage(format!(
            "several versions of the key {} begin with {start:?}",
            entry.name
        ))),
    }
}

fn count(versions: usize) -> String {
    format!("{versions} {}", if versions == 1 { "version" } else { "versions" })
}

/// The day it was made, in UTC.
fn date(version: &KeyVersion) -> String {
    let seconds = i64::try_from(version.created).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(|| "at an unknown time".to_owned(), |time| time.date().to_string())
}

fn show_json(path: &Path, ring: &KeyRing, name: &str, report: &Report) -> Result<(), Failure> {
    match ring.entries().find(|entry| entry.name == name) {
        Some(entry) if report.is_json() => report.json(&Key::new(path, entry), false),
        _ => Ok(()),
    }
}

/// A key as scripts get it: no secrets.
#[derive(Serialize)]
struct Key {
    ring: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_bytes: Option<String>,
    name: String,
    versions: Vec<Version>,
}

/// One version of it.
#[derive(Serialize)]
struct Version {
    id: String,
    created: u64,
}

impl Key {
    fn new(path: &Path, entry: KeyRingEntry) -> Self {
        let versions = entry.versions.into_iter().map(|version| Version {
            id: version.id,
            created: version.created,
        });
        Self {
            ring: display(path),
            ring_bytes: text::path_bytes(path),
            name: entry.name,
            versions: versions.collect(),
        }
    }
}
