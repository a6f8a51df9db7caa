//! What the program needs to know about a kind of key.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::rewrap::SlotChoice;
use sealstone::{Header, KeyProvider};

use super::{KeyOptions, KeySpec};
use crate::exit::{Code, Failure};
use crate::io::Source;
use crate::report::Report;

/// What wraps and unwraps data keys.
pub(crate) type Provider = Arc<dyn KeyProvider>;

/// A kind of key.
pub(crate) trait Kind: Debug + Sync {
    /// The word that its keys begin with on the command line, which is also the id of its provider in slots.
    fn id(&self) -> &'static str;

    /// How its keys are written, for help texts and errors.
    fn forms(&self) -> &'static [&'static str];

    /// Parses what follows `ID:`, or `None` for the id alone. An error never repeats the text, which may be a secret.
    fn parse(&self, rest: Option<&OsStr>) -> Result<KeySpec, String>;

    /// What completion offers: keys and the beginnings of keys. One that ends in `file:` is continued with paths.
    fn candidates(&self) -> Vec<String>;

    /// The key of this kind that was probably meant by a text that is no key.
    fn suggestion(&self, _text: &str) -> Option<String> {
        None
    }

    /// Refuses options that none of the keys to seal with would use.
    fn check_options(&self, _keys: &[KeySpec], _options: &KeyOptions) -> Result<(), Failure> {
        Ok(())
    }

    /// The file that holds all keys of this kind: never to be overwritten, whichever keys are used.
    fn store(&self, _options: &KeyOptions) -> Option<PathBuf> {
        None
    }

    /// What its provider's calls wait for, if that takes long enough for a person to wonder.
    fn waits_for(&self) -> Option<&'static str> {
        None
    }

    /// A slot's key as people know it.
    fn slot_name(&self, key_id: &str) -> String {
        format!("{}:{key_id}", self.id())
    }

    /// Replaces slot names that only programs can read in a text.
    fn shorten(&self, text: String) -> String {
        text
    }

    /// What to add to the command line to open a slot.
    fn advice(&self, key_id: &str) -> String;

    /// What a person needs to know of an error, if that is not all that it says.
    fn fact(&self, _error: &ProviderError) -> Option<String> {
        None
    }

    /// The exit code for an error, if it is not the one that other kinds have.
    fn code(&self, _class: ProviderErrorClass) -> Option<Code> {
        None
    }
}

/// One key, as the command line names it.
pub(crate) trait Key: Any + Debug + Send + Sync {
    /// Its kind.
    fn kind(&self) -> &'static dyn Kind;

    /// The provider to seal with. It takes the place of the keys `replaced`, if there are any: a key service may be able
    /// to do that by itself.
    fn seal_with(&self, replaced: &[KeySpec], options: &KeyOptions, report: &Report) -> Result<Provider, Failure>;

    /// The provider to open with; `None` if a person must be asked.
    fn open_with(&self, options: &KeyOptions) -> Result<Option<Provider>, Failure>;

    /// The same without other keys that are stored with it: what it opens are its own slots.
    fn open_alone(&self, options: &KeyOptions) -> Result<Option<Provider>, Failure> {
        self.open_with(options)
    }

    /// Its slots in `header`, which need not open with it.
    fn slots(&self, header: &Header, options: &KeyOptions) -> Result<SlotChoice, Failure>;

    /// What it is read from, if that is named with it.
    fn source(&self) -> Option<Source> {
        None
    }
}
