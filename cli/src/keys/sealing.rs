//! The keys to seal with.

use super::kind::Provider;
use super::{KINDS, KeyOptions, KeySpec, local};
use crate::exit::Failure;
use crate::report::Report;

/// Refuses options that none of the keys to seal with would use.
pub(crate) fn check_options(keys: &[KeySpec], options: &KeyOptions) -> Result<(), Failure> {
    KINDS.iter().try_for_each(|kind| kind.check_options(keys, options))
}

/// The keys to seal with, fetched once: a passphrase is asked for once, however many inputs there are.
#[derive(Debug)]
pub(crate) struct SealingKeys<'a> {
    specs: Vec<KeySpec>,
    /// The keys whose place they take.
    replaced: Vec<KeySpec>,
    options: &'a KeyOptions,
    report: &'a Report,
    providers: Vec<Provider>,
}

impl<'a> SealingKeys<'a> {
    /// The keys that `specs` name; the default key if there are none.
    pub(crate) fn new(specs: &[KeySpec], options: &'a KeyOptions, report: &'a Report) -> Self {
        let mut specs = specs.to_vec();
        if specs.is_empty() {
            specs.push(local::default_key());
        }
        Self {
            specs,
            replaced: Vec::new(),
            options,
            report,
            providers: Vec::new(),
        }
    }

    /// The same, to take the place of these keys: a key service can do that by itself between its own.
    pub(crate) fn in_place_of(mut self, old: &[KeySpec]) -> Self {
        self.replaced = old.to_vec();
        self
    }

    /// The providers: the first makes the data key, the others wrap it.
    pub(crate) fn providers(&mut self) -> Result<&[Provider], Failure> {
        if self.providers.is_empty() {
            let specs = self.specs.iter();
            let made = specs.map(|spec| spec.key().seal_with(&self.replaced, self.options, self.report));
            self.providers = made.collect::<Result<_, Failure>>()?;
        }
        Ok(&self.providers)
    }
}
