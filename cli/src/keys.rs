//! Keys: what `--key` names, and the providers to seal and to open with.
//!
//! ```text
//! --key TEXT -> KeySpec (a key of one of KINDS) -> SealingKeys, ReadingKeys -> Provider
//! ```
//!
//! A kind of key is one file of this module, in the list [`KINDS`]; one with options of its own is in [`KeyOptions`] too.

#[cfg(feature = "aws-kms")]
mod aws_kms;
mod kind;
pub(crate) mod local;
mod many;
mod passphrase;
mod raw;
mod reading;
mod sealing;
mod slots;
mod sources;
mod spec;
mod watched;

pub(crate) use self::kind::{Kind, Provider};
pub(crate) use self::many::{keys_of_many, keys_to_replace};
pub(crate) use self::reading::ReadingKeys;
pub(crate) use self::sealing::{SealingKeys, check_options};
pub(crate) use self::slots::{keys_to_add, shorten_slots, slot_name, slots_of};
pub(crate) use self::sources::add_keys;
pub use self::spec::{KeySpec, SlotSpec};
pub(crate) use self::watched::watched;

/// All kinds of keys of this build, in the order of help texts.
static KINDS: &[&dyn Kind] = &[
    &local::Local,
    &raw::Raw,
    &passphrase::Passphrases,
    #[cfg(feature = "aws-kms")]
    &aws_kms::Kms,
];

/// The kinds that a build may lack.
const OPTIONAL: &[Optional] = &[Optional {
    id: "aws-kms",
    name: "AWS KMS",
    feature: "cloud",
}];

/// The options that say where keys are, for all commands.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyOptions {
    #[command(flatten)]
    local: local::RingOptions,
    #[command(flatten)]
    passphrase: passphrase::PassphraseOptions,
    #[cfg(feature = "aws-kms")]
    #[command(flatten)]
    aws_kms: aws_kms::KmsOptions,
}

/// The kind of keys whose provider has this id.
pub(crate) fn kind(id: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.id() == id)
}

/// How keys are written, for help texts and errors.
pub(crate) fn forms() -> String {
    let forms: Vec<_> = KINDS.iter().flat_map(|kind| kind.forms()).copied().collect();
    let lacking = OPTIONAL.iter().filter(|optional| kind(optional.id).is_none());
    let hints = lacking.map(|Optional { name, feature, .. }| format!("; for {name}, build with --features {feature}"));
    one_of(&forms) + &hints.collect::<String>()
}

/// What completion offers for a key.
pub(crate) fn candidates() -> impl Iterator<Item = String> {
    KINDS.iter().flat_map(|kind| kind.candidates())
}

/// The key that was probably meant by a text that is none.
pub(crate) fn suggestion(text: &str) -> Option<String> {
    KINDS.iter().find_map(|kind| kind.suggestion(text))
}

/// A kind of key that this build may lack.
#[derive(Debug)]
struct Optional {
    id: &'static str,
    name: &'static str,
    /// The feature of this crate that adds it.
    feature: &'static str,
}

impl Optional {
    fn find(id: &str) -> Option<&'static Self> {
        OPTIONAL.iter().find(|optional| optional.id == id)
    }

    /// How to get a build that has it.
    fn how_to_get(&self) -> String {
        let Self { name, feature, .. } = self;
        format!("sealstone was built without {name}; install it with: cargo install sealstone-cli --features {feature}")
    }
}

fn one_of(forms: &[&str]) -> String {
    match forms {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_forms_and_candidates_begin_with_them() {
        for kind in KINDS {
            let of_id = KINDS.iter().filter(|other| other.id() == kind.id());
            assert_eq!(of_id.count(), 1);
            for form in kind.forms().iter().copied().map(str::to_owned).chain(kind.candidates()) {
                let word = form.split(':').next();
                assert_eq!(word, Some(kind.id()), "{form}");
            }
        }
    }

    #[test]
    fn a_kind_that_a_build_lacks_says_how_to_get_it() {
        let kms = Optional::find("aws-kms").unwrap();
        assert_eq!(
            kms.how_to_get(),
            "sealstone was built without AWS KMS; install it with: cargo install sealstone-cli --features cloud"
        );
        assert!(Optional::find("local").is_none());
        // A build has it or says so.
        assert!(forms().contains("aws-kms:KEY") || forms().contains("--features cloud"));
        let refusal = "aws-kms:alias/x".parse::<KeySpec>().err();
        assert_eq!(refusal, kind("aws-kms").is_none().then(|| kms.how_to_get()));
    }
}
