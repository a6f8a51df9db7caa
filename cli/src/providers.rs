//! From what `--key` says to key providers: for sealing all of them, for reading those that an object needs.

mod kms;
mod passphrase;
mod raw;
mod watched;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealstone::{
    EncryptionContext, Error, Header, KeyMatch, KeyProvider, KeyRing, ProviderErrorClass, SlotChoice, WrappedKey,
};

use self::passphrase::Asked;
pub(crate) use self::passphrase::check_command;
pub(crate) use self::watched::watched;
use crate::args::Common;
use crate::exit::{Code, Failure, keys_to_add};
use crate::io::{Descriptor, Roles, Source, display};
use crate::key_spec::{KeySpec, PassphraseFrom, SlotSpec};
use crate::kms::KmsKey;
use crate::report::Report;
use crate::sys;

/// A key, however it is kept.
pub(crate) type Provider = Arc<dyn KeyProvider>;

/// The key ring file: the option, the environment, the user's configuration directory.
pub(crate) fn ring_path(common: &Common) -> Result<PathBuf, Failure> {
    let found = common.keyring.clone().or_else(usual_ring);
    found.ok_or_else(|| Failure::usage("no home directory is set: say where the key ring is with --keyring FILE"))
}

/// The same of arguments that were not, or could not be, understood.
pub(crate) fn named_ring(args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args.skip_while(|arg| arg != "--keyring");
    args.nth(1).map(PathBuf::from).or_else(usual_ring)
}

fn usual_ring() -> Option<PathBuf> {
    let set = std::env::var_os("SEALSTONE_KEYRING").filter(|path| !path.is_empty());
    let usual = || sys::config_dir().map(|dir| dir.join("sealstone").join("keyring.json"));
    set.map(PathBuf::from).or_else(usual)
}

/// Adds what the keys that `specs` name are read from to the roles: the key ring if there are none.
pub(crate) fn add_keys(roles: &mut Roles, specs: &[KeySpec], common: &Common) {
    for spec in specs {
        match spec {
            KeySpec::RawFile(path) | KeySpec::Passphrase(PassphraseFrom::File(path)) => {
                roles.add_key(Source::named(path));
            }
            KeySpec::Passphrase(PassphraseFrom::Descriptor(number)) => {
                roles.add_key(Source::Descriptor(Descriptor(*number)));
            }
            KeySpec::Local(_) | KeySpec::Passphrase(PassphraseFrom::Terminal) | KeySpec::AwsKms(_) => {}
        }
    }
    let Ok(ring) = ring_path(common) else { return };
    if specs.is_empty() || specs.iter().any(|spec| matches!(spec, KeySpec::Local(_))) {
        roles.add_key(Source::Path(ring));
    } else {
        roles.keep(ring);
    }
}

/// The keys to seal with, fetched once: a passphrase is asked for once, however many inputs there are.
#[derive(Debug)]
pub(crate) struct SealingKeys<'a> {
    specs: Vec<KeySpec>,
    /// Keys of AWS KMS whose slots those of it may take over.
    rewraps_from: Vec<KmsKey>,
    common: &'a Common,
    report: &'a Report,
    providers: Vec<Provider>,
}

impl<'a> SealingKeys<'a> {
    /// The keys that `specs` name; the default key if there are none.
    pub(crate) fn new(specs: &[KeySpec], common: &'a Common, report: &'a Report) -> Self {
        let mut specs = specs.to_vec();
        if specs.is_empty() {
            specs.push(KeySpec::Local(KeyRing::DEFAULT_NAME.to_owned()));
        }
        Self {
            specs,
            rewraps_from: Vec::new(),
            common,
            report,
            providers: Vec::new(),
        }
    }

    /// The same, to take the place of these keys: a key service can do that by itself between its own.
    pub(crate) fn in_place_of(mut self, old: &[KeySpec]) -> Self {
        let keys = old.iter().filter_map(|spec| match spec {
            KeySpec::AwsKms(key) => Some(key.clone()),
            _ => None,
        });
        self.rewraps_from = keys.collect();
        self
    }

    /// The providers: the first makes the data key, the others wrap it.
    pub(crate) fn providers(&mut self) -> Result<&[Provider], Failure> {
        if self.providers.is_empty() {
            let made: Result<_, Failure> = self.specs.iter().map(|spec| self.provider(spec)).collect();
            self.providers = made?;
        }
        Ok(&self.providers)
    }

    fn provider(&self, spec: &KeySpec) -> Result<Provider, Failure> {
        Ok(match spec {
            KeySpec::Local(name) => Arc::new(self.ring(name)?),
            KeySpec::RawFile(path) => raw::key(path)?,
            KeySpec::Passphrase(from) => Arc::new(passphrase::new(from, self.common)?),
            KeySpec::AwsKms(key) => kms::client(key, &self.rewraps_from, self.common)?,
        })
    }

    /// The ring. Only the default key is made on first use: another name may be a slip of the pen.
    fn ring(&self, name: &str) -> Result<KeyRing, Failure> {
        let path = ring_path(self.common)?;
        if name == KeyRing::DEFAULT_NAME {
            let (ring, created) = KeyRing::create_or_open(&path, name)?;
            if created {
                announce_key(self.report, &path, name);
            }
            return Ok(ring);
        }
        let make_it = format!("`sealstone keys new {name}` makes it");
        let ring = KeyRing::open(&path).and_then(|ring| ring.with_sealing_key(name));
        ring.map_err(|error| match error.class {
            ProviderErrorClass::NotFound => Failure::from(error).and(&make_it),
            _ => error.into(),
        })
    }
}

/// Says that a key was made, even if told to be quiet: nothing else says what must not be lost.
pub(crate) fn announce_key(report: &Report, ring: &Path, name: &str) {
    report.note(&format!(
        "made the key {name} in the key ring {}: keep a copy of that file; if it is lost, all that was encrypted with \
         it is lost",
        display(ring)
    ));
}

/// The keys to read with: each fetched when the first object needs it.
#[derive(Debug)]
pub(crate) struct ReadingKeys<'a> {
    specs: &'a [KeySpec],
    common: &'a Common,
    report: &'a Report,
    /// Those that are had without asking a person; `None` before the first object.
    stored: Option<Vec<Provider>>,
    asked: Option<Asked>,
}

impl<'a> ReadingKeys<'a> {
    /// The keys that `specs` name; the key ring and a passphrase if there are none.
    pub(crate) fn new(specs: &'a [KeySpec], common: &'a Common, report: &'a Report) -> Self {
        Self {
            specs,
            common,
            report,
            stored: None,
            asked: None,
        }
    }

    /// The providers to try on the object `name`, which is bound to `context` if that is known. A person is asked only
    /// if nothing else fits.
    pub(crate) fn for_object(
        &mut self,
        header: &Header,
        context: Option<&EncryptionContext>,
        name: &str,
    ) -> Result<Vec<Provider>, Failure> {
        let stored = self.stored(header)?;
        if stored.iter().any(|provider| fits(provider, header)) {
            return Ok(stored);
        }
        if self.may_ask() && has_passphrase(header) {
            // A program is asked as rarely as a person, and answers for all objects alike.
            if let Some(passphrase) = passphrase::stored(&PassphraseFrom::Terminal, self.common)? {
                let all = [stored, vec![Arc::new(passphrase)]].concat();
                self.stored = Some(all.clone());
                return Ok(all);
            }
            let (asked, provider) = Asked::for_object(self.asked.as_ref(), (header, context), name, self.report)?;
            self.asked = Some(asked);
            return Ok([stored, vec![provider]].concat());
        }
        if stored.is_empty() {
            return Err(self.nothing_to_try(header));
        }
        Ok(stored)
    }

    /// Has a person asked again for the next object, if what was typed opened this one not.
    pub(crate) fn forget_if_wrong(&mut self, failure: &Failure) {
        if failure.code == Code::NoAccess {
            self.asked = None;
        }
    }

    fn may_ask(&self) -> bool {
        let asks = |spec: &KeySpec| *spec == KeySpec::Passphrase(PassphraseFrom::Terminal);
        self.specs.is_empty() || self.specs.iter().any(asks)
    }

    fn stored(&mut self, header: &Header) -> Result<Vec<Provider>, Failure> {
        // A ring that could not be used may have been no reason to fail for another object, and be one for this.
        if self.stored.as_ref().is_none_or(Vec::is_empty) {
            self.stored = Some(if self.specs.is_empty() {
                self.default_ring(header)?
            } else {
                let specs = self.specs.iter();
                let made: Result<Vec<_>, Failure> = specs.map(|spec| self.provider(spec)).collect();
                made?.into_iter().flatten().collect()
            });
        }
        Ok(self.stored.clone().unwrap_or_default())
    }

    /// The ring, if there is one: reading never makes it. One that cannot be used is no reason not to ask for a
    /// passphrase.
    fn default_ring(&self, header: &Header) -> Result<Vec<Provider>, Failure> {
        let Ok(path) = ring_path(self.common) else {
            return Ok(Vec::new());
        };
        match KeyRing::open(&path) {
            Ok(ring) => Ok(vec![Arc::new(ring)]),
            Err(error) if error.class == ProviderErrorClass::NotFound && self.common.keyring.is_none() => {
                Ok(Vec::new())
            }
            Err(error) if has_passphrase(header) => {
                self.report.note(&format!("warning: {error}"));
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn provider(&self, spec: &KeySpec) -> Result<Option<Provider>, Failure> {
        Ok(Some(match spec {
            KeySpec::Local(name) => Arc::new(KeyRing::open(&ring_path(self.common)?)?.with_sealing_key(name)?),
            KeySpec::RawFile(path) => raw::key(path)?,
            KeySpec::Passphrase(PassphraseFrom::Terminal) => return Ok(None),
            KeySpec::Passphrase(from) => match passphrase::stored(from, self.common)? {
                Some(passphrase) => Arc::new(passphrase),
                None => return Ok(None),
            },
            KeySpec::AwsKms(key) => kms::client(key, &[], self.common)?,
        }))
    }

    /// The engine's answer where there is nothing to offer it, and why there is nothing.
    fn nothing_to_try(&self, header: &Header) -> Failure {
        let slots: Vec<_> = header.slots().iter().map(WrappedKey::name).collect();
        let mut reasons = Vec::new();
        if let (true, Ok(path)) = (self.specs.is_empty(), ring_path(self.common)) {
            reasons.push(format!("there is no key ring {}", display(&path)));
        }
        Failure::from(Error::NoUsableKey { slots, reasons })
    }
}

fn fits(provider: &Provider, header: &Header) -> bool {
    let slots = header.slots().iter().filter(|slot| slot.provider == provider.id());
    slots
        .into_iter()
        .any(|slot| !matches!(provider.matches(slot), KeyMatch::No(_)))
}

/// The slots of `header` that `spec` means. The key ring need not have them any more. Which slots are of an alias, only
/// the service can tell.
pub(crate) fn slots_of(spec: &SlotSpec, header: &Header, common: &Common) -> Result<SlotChoice, Failure> {
    let kms = match spec {
        SlotSpec::Of(KeySpec::AwsKms(key)) => {
            let client = kms::client(key, &[], common)?;
            if !kms::is_arn(key) {
                return Ok(SlotChoice::Key(client));
            }
            Some(client)
        }
        _ => None,
    };
    let raw = match spec {
        SlotSpec::Of(KeySpec::RawFile(path)) => Some(raw::key(path)?),
        _ => None,
    };
    let is_meant = |slot: &&WrappedKey| match spec {
        SlotSpec::Named(name) => slot.name() == *name,
        SlotSpec::Of(KeySpec::Local(name)) => {
            let named = slot.key_id.rsplit_once('#').map(|(name, _)| name);
            slot.provider == "local" && named == Some(name.as_str())
        }
        SlotSpec::Of(KeySpec::RawFile(_)) => raw
            .as_ref()
            .is_some_and(|key| slot.provider == key.id() && slot.key_id == key.fingerprint()),
        SlotSpec::Of(KeySpec::Passphrase(_)) => slot.provider == "passphrase",
        SlotSpec::Of(KeySpec::AwsKms(_)) => kms
            .as_ref()
            .is_some_and(|client| slot.provider == crate::kms::ID && client.matches(slot) == KeyMatch::Yes),
    };
    let names = header.slots().iter().filter(is_meant).map(WrappedKey::name);
    Ok(SlotChoice::Named(names.collect()))
}

fn has_passphrase(header: &Header) -> bool {
    header.slots().iter().any(|slot| slot.provider == "passphrase")
}

/// What to add to a failure of the keys offered, where the engine's text does not have it.
pub(crate) fn explain(failure: Failure, header: &Header) -> Failure {
    let others: Vec<_> = header.slots().iter().map(WrappedKey::name).collect();
    if failure.code == Code::NoAccess && others.len() > 1 && !failure.message.contains("add --key") {
        return failure.and(&format!("or {}", keys_to_add(&others)));
    }
    failure
}
