//! The keys to read with.

use std::sync::Arc;

use sealstone::format::WrappedKey;
use sealstone::keys::KeyMatch;
use sealstone::{EncryptionContext, Error, Header};

use super::kind::Provider;
use super::passphrase::{self, Asked};
use super::{KeyOptions, KeySpec, local};
use crate::exit::{Code, Failure};
use crate::report::Report;

/// The keys to read with: each fetched when the first object needs it.
#[derive(Debug)]
pub(crate) struct ReadingKeys<'a> {
    specs: &'a [KeySpec],
    options: &'a KeyOptions,
    report: &'a Report,
    /// Those that need no person; `None` before the first object.
    stored: Option<Vec<Provider>>,
    asked: Option<Asked>,
}

impl<'a> ReadingKeys<'a> {
    /// The keys that `specs` name; the key ring and a passphrase if there are none.
    pub(crate) fn new(specs: &'a [KeySpec], options: &'a KeyOptions, report: &'a Report) -> Self {
        Self {
            specs,
            options,
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
        if self.may_ask() && passphrase::can_open(header) {
            // A program is asked as rarely as a person, and answers for all objects alike.
            if let Some(passphrase) = passphrase::from_command(self.options)? {
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

    /// Asks again for the next object, if what was typed did not open this one.
    pub(crate) fn forget_if_wrong(&mut self, failure: &Failure) {
        if failure.code == Code::NoAccess {
            self.asked = None;
        }
    }

    fn may_ask(&self) -> bool {
        self.specs.is_empty() || self.specs.iter().any(passphrase::is_asked_for)
    }

    fn stored(&mut self, header: &Header) -> Result<Vec<Provider>, Failure> {
        // A ring that cannot be used may not have mattered for an earlier object, and matter for this one.
        if self.stored.as_ref().is_none_or(Vec::is_empty) {
            let stored = if self.specs.is_empty() {
                let ring = local::default_ring(header, self.options, self.report)?;
                ring.into_iter().collect()
            } else {
                let specs = self.specs.iter();
                let opened = specs.map(|spec| spec.key().open_with(self.options));
                opened.filter_map(Result::transpose).collect::<Result<_, Failure>>()?
            };
            self.stored = Some(stored);
        }
        Ok(self.stored.clone().unwrap_or_default())
    }

    /// The engine's error where there is no key to try, and why there is none.
    fn nothing_to_try(&self, header: &Header) -> Failure {
        let slots = header.slots().iter().map(WrappedKey::name).collect();
        let reason = self.specs.is_empty().then(|| local::why_no_ring(self.options));
        let reasons = reason.flatten().into_iter().collect();
        Failure::from(Error::NoUsableKey { slots, reasons })
    }
}

fn fits(provider: &Provider, header: &Header) -> bool {
    let mut slots = header.slots().iter().filter(|slot| slot.provider == provider.id());
    slots.any(|slot| !matches!(provider.matches(slot), KeyMatch::No(_)))
}
