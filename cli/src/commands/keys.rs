//! `sealstone keys`: the key ring.

use std::path::Path;

use sealstone::{KeyRing, KeyRingEntry};
use serde::Serialize;

use crate::args::{Common, KeysAction, KeysArgs};
use crate::exit::{Code, Failure};
use crate::io::display;
use crate::providers::{announce_key, ring_path};
use crate::report::Report;

/// Does what is asked with the ring; gives the exit code.
pub(crate) fn run(args: &KeysArgs, common: &Common, report: &Report) -> u8 {
    let done = ring_path(common).and_then(|path| match &args.action {
        KeysAction::New { name } => new(&path, name, report),
        KeysAction::List => list(&path, report),
        KeysAction::Rotate { name } => rotate(&path, name, report),
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
    show_json(&ring, name, report)
}

fn rotate(path: &Path, name: &str, report: &Report) -> Result<(), Failure> {
    let ring = KeyRing::rotate(path, name)?;
    report.note(&format!(
        "made a new version of the key {name} in the key ring {}: renew your copy of that file",
        display(path)
    ));
    show_json(&ring, name, report)
}

fn list(path: &Path, report: &Report) -> Result<(), Failure> {
    let ring = KeyRing::open(path)?;
    report.detail(|| format!("the key ring {}", display(path)));
    for entry in ring.entries() {
        if report.is_json() {
            report.json(&Key::from(entry), false)?;
            continue;
        }
        let newest = entry.versions.last().map_or("", |version| version.id.as_str());
        let count = entry.versions.len();
        let line = format!(
            "{}  {count} {}, newest {newest}\n",
            entry.name,
            if count == 1 { "version" } else { "versions" }
        );
        report.print(line.as_bytes())?;
    }
    Ok(())
}

fn show_json(ring: &KeyRing, name: &str, report: &Report) -> Result<(), Failure> {
    match ring.entries().find(|entry| entry.name == name) {
        Some(entry) if report.is_json() => report.json(&Key::from(entry), false),
        _ => Ok(()),
    }
}

/// A key as scripts get it: no secrets.
#[derive(Serialize)]
struct Key {
    name: String,
    versions: Vec<Version>,
}

/// One version of it.
#[derive(Serialize)]
struct Version {
    id: String,
    created: u64,
}

impl From<KeyRingEntry> for Key {
    fn from(entry: KeyRingEntry) -> Self {
        let versions = entry.versions.into_iter().map(|version| Version {
            id: version.id,
            created: version.created,
        });
        Self {
            name: entry.name,
            versions: versions.collect(),
        }
    }
}
