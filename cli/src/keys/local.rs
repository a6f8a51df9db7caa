//! Named keys of the key ring.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::rewrap::SlotChoice;
use sealstone::{Header, KeyRing};

use super::kind::{Key, Kind, Provider};
use super::{KeyOptions, KeySpec, passphrase, slots};
use crate::exit::Failure;
use crate::io::display;
use crate::report::Report;
use crate::sys;

const ID: &str = KeyRing::ID;

/// Where the key ring is.
#[derive(Debug, clap::Args)]
pub(crate) struct RingOptions {
    /// The key ring file [default: $SEALSTONE_KEYRING, or one in the user's configuration directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Keys", value_hint = ValueHint::FilePath)]
    keyring: Option<PathBuf>,
}

/// The kind.
#[derive(Debug)]
pub(super) struct Local;

impl Kind for Local {
    fn id(&self) -> &'static str {
        ID
    }

    fn forms(&self) -> &'static [&'static str] {
        &["local:NAME"]
    }

    fn parse(&self, rest: Option<&OsStr>) -> Result<KeySpec, String> {
        let name = rest.and_then(OsStr::to_str).unwrap_or_default();
        let name = key_name(name)?;
        Ok(KeySpec::new(LocalKey { name }))
    }

    fn candidates(&self) -> Vec<String> {
        names().iter().map(|name| format!("{ID}:{name}")).collect()
    }

    fn suggestion(&self, text: &str) -> Option<String> {
        let is_key = names().iter().any(|name| name == text);
        is_key.then(|| format!("the key ring has a key of this name: {ID}:{text}"))
    }

    fn store(&self, options: &KeyOptions) -> Option<PathBuf> {
        ring_path(options).ok()
    }

    fn slot_name(&self, key_id: &str) -> String {
        format!("{ID}:{}", name_of(key_id))
    }

    fn advice(&self, key_id: &str) -> String {
        let name = name_of(key_id);
        format!("--keyring FILE with the ring that has its key {name} (--key {ID}:{name})")
    }

    /// Of its file the key ring says all there is to say.
    fn fact(&self, error: &ProviderError) -> Option<String> {
        (error.class != ProviderErrorClass::BadCiphertext).then(|| error.message.clone())
    }
}

/// A named key.
#[derive(Debug)]
struct LocalKey {
    name: String,
}

impl LocalKey {
    fn default_key() -> Self {
        Self {
            name: KeyRing::DEFAULT_NAME.to_owned(),
        }
    }
}

impl Key for LocalKey {
    fn kind(&self) -> &'static dyn Kind {
        &Local
    }

    /// Only the default key is made on first use: another name may be a typing error.
    fn seal_with(&self, _: &[KeySpec], options: &KeyOptions, report: &Report) -> Result<Provider, Failure> {
        let (path, name) = (ring_path(options)?, &self.name);
        if name == KeyRing::DEFAULT_NAME {
            let (ring, created) = KeyRing::create_or_open(&path, name)?;
            if created {
                announce_key(report, &path, name);
            }
            return Ok(Arc::new(ring));
        }
        match KeyRing::open(&path).and_then(|ring| ring.with_sealing_key(name)) {
            Ok(ring) => Ok(Arc::new(ring)),
            Err(error) if error.class == ProviderErrorClass::NotFound => {
                Err(Failure::from(error).and(&format!("`sealstone keys new {name}` makes it")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_with(&self, options: &KeyOptions) -> Result<Option<Provider>, Failure> {
        let ring = KeyRing::open(&ring_path(options)?)?.with_sealing_key(&self.name)?;
        Ok(Some(Arc::new(ring)))
    }

    fn open_alone(&self, options: &KeyOptions) -> Result<Option<Provider>, Failure> {
        let ring = KeyRing::open(&ring_path(options)?)?;
        let alone = KeyRing::from_content(&ring.export(&[&self.name])?)?;
        Ok(Some(Arc::new(alone.with_sealing_key(&self.name)?)))
    }

    /// The key ring need not have the key any more.
    fn slots(&self, header: &Header, _: &KeyOptions) -> Result<SlotChoice, Failure> {
        let is_version = |key_id: &str| key_id.rsplit_once('#').is_some_and(|(name, _)| name == self.name);
        Ok(slots::named(header, |slot| {
            slot.provider == ID && is_version(&slot.key_id)
        }))
    }
}

/// The key that seals where no key is named.
pub(super) fn default_key() -> KeySpec {
    KeySpec::new(LocalKey::default_key())
}

/// The ring, to read an object of which no key is named; `None` if there is no ring: reading never makes one. One that
/// cannot be used is no reason not to ask for a passphrase.
pub(super) fn default_ring(
    header: &Header,
    options: &KeyOptions,
    report: &Report,
) -> Result<Option<Provider>, Failure> {
    let Ok(path) = ring_path(options) else {
        return Ok(None);
    };
    match KeyRing::open(&path) {
        Ok(ring) => Ok(Some(Arc::new(ring))),
        Err(error) if error.class == ProviderErrorClass::NotFound && options.local.keyring.is_none() => Ok(None),
        Err(error) if passphrase::can_open(header) => {
            report.note(&format!("warning: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The ring, to read many objects of which no key is named.
pub(super) fn ring(options: &KeyOptions) -> Result<Provider, Failure> {
    Ok(Arc::new(KeyRing::open(&ring_path(options)?)?))
}

/// Why [`default_ring`] is `None`.
pub(super) fn why_no_ring(options: &KeyOptions) -> Option<String> {
    let path = ring_path(options).ok()?;
    Some(format!("there is no key ring {}", display(&path)))
}

/// The key ring file: the option, the environment, the user's configuration directory.
pub(crate) fn ring_path(options: &KeyOptions) -> Result<PathBuf, Failure> {
    let found = options.local.keyring.clone().or_else(usual_ring);
    found.ok_or_else(|| Failure::usage("no home directory is set: say where the key ring is with --keyring FILE"))
}

/// The names of the ring's keys, for arguments that are not complete or could not be parsed; none if the ring cannot be
/// read.
pub(crate) fn names() -> Vec<String> {
    let ring = named_ring(std::env::args_os()).and_then(|path| KeyRing::open(&path).ok());
    ring.map_or_else(Vec::new, |ring| ring.entries().map(|entry| entry.name).collect())
}

/// Reports that a key was made, even if the output is to be quiet: nothing else says what must not be lost.
pub(crate) fn announce_key(report: &Report, ring: &Path, name: &str) {
    report.note(&format!(
        "made the key {name} in the key ring {}: keep a copy of that file; if it is lost, everything encrypted with it \
         is lost",
        display(ring)
    ));
}

/// Parses the name of a key.
pub(crate) fn key_name(text: &str) -> Result<String, String> {
    if KeyRing::is_key_name(text) {
        return Ok(text.to_owned());
    }
    Err("a key name is 1 to 64 letters, digits, '.', '_' and '-'".to_owned())
}

fn named_ring(args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args.skip_while(|arg| arg != "--keyring");
    args.nth(1).map(PathBuf::from).or_else(usual_ring)
}

fn usual_ring() -> Option<PathBuf> {
    let set = std::env::var_os("SEALSTONE_KEYRING").filter(|path| !path.is_empty());
    let usual = || sys::config_dir().map(|dir| dir.join("sealstone").join("keyring.json"));
    set.map(PathBuf::from).or_else(usual)
}

/// The name in a slot's key id, `NAME#VERSION`.
fn name_of(key_id: &str) -> &str {
    key_id.rsplit_once('#').map_or(key_id, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_name() {
        let spec = "local:work".parse::<KeySpec>().unwrap();
        assert_eq!(spec.downcast::<LocalKey>().unwrap().name, "work");
        for wrong in ["local", "local:", "local:a b", "local:a:b"] {
            assert!(wrong.parse::<KeySpec>().is_err(), "{wrong}");
        }
    }
}
