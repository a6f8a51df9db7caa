//! Slots: which of an object's are meant, and how messages name them.

use sealstone::Header;
use sealstone::format::WrappedKey;
use sealstone::rewrap::SlotChoice;

use super::{KINDS, KeyOptions, Optional, SlotSpec, kind};
use crate::exit::Failure;

/// The slots of `header` that `spec` means.
pub(crate) fn slots_of(spec: &SlotSpec, header: &Header, options: &KeyOptions) -> Result<SlotChoice, Failure> {
    match spec {
        SlotSpec::Of(spec) => spec.key().slots(header, options),
        SlotSpec::Named(name) => Ok(named(header, |slot| slot.name() == *name)),
    }
}

/// The slots of `header` that are `meant`, by their names.
pub(super) fn named(header: &Header, meant: impl Fn(&WrappedKey) -> bool) -> SlotChoice {
    let meant = header.slots().iter().filter(|slot| meant(slot));
    SlotChoice::Named(meant.map(WrappedKey::name).collect())
}

/// A slot's key as people know it: without what tells versions and recipes apart.
pub(crate) fn slot_name(provider: &str, key_id: &str) -> String {
    kind(provider).map_or_else(|| format!("{provider}:{key_id}"), |kind| kind.slot_name(key_id))
}

/// The text, with those slot names shortened that only programs can read.
pub(crate) fn shorten_slots(text: &str) -> String {
    KINDS.iter().fold(text.to_owned(), |text, kind| kind.shorten(text))
}

/// Which `--key` each of these slots needs.
pub(crate) fn keys_to_add(slots: &[String]) -> String {
    let mut keys: Vec<String> = slots.iter().map(|slot| key_for(slot)).collect();
    keys.sort();
    keys.dedup();
    format!("add {}", keys.join(" or "))
}

fn key_for(slot: &str) -> String {
    let (provider, key_id) = slot.split_once(':').unwrap_or((slot, ""));
    match (kind(provider), Optional::find(provider)) {
        (Some(kind), _) => kind.advice(key_id),
        (None, Some(optional)) => format!("a key of {} ({})", optional.name, optional.how_to_get()),
        (None, None) => format!("a key of {provider}, which this program cannot use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_slot_has_its_key_to_add() {
        let slots = [
            "local:work#00",
            "raw:00",
            "passphrase:argon2id",
            "some-kms:arn",
            "raw:11",
        ]
        .map(String::from);
        let advice = keys_to_add(&slots);
        for words in [
            "--key local:work",
            "--key raw:file:PATH",
            "--key passphrase",
            "a key of some-kms, which this program cannot use",
        ] {
            assert_eq!(advice.matches(words).count(), 1, "{words}: {advice}");
        }
    }

    #[test]
    fn a_slot_of_a_kind_that_a_build_may_lack_has_its_key_or_how_to_get_it() {
        let advice = keys_to_add(&["aws-kms:arn".to_owned()]);
        let build_has_it = kind("aws-kms").is_some();
        assert_eq!(advice.contains("--key aws-kms:arn"), build_has_it, "{advice}");
        assert_eq!(advice.contains("--features cloud"), !build_has_it, "{advice}");
    }

    #[test]
    fn a_passphrase_is_not_named_by_its_recipe() {
        let name = "passphrase:argon2id,m=65536,t=3,p=4,salt=00ff";
        let text = format!("for {name}, raw:00 ({name}); {name}");
        assert_eq!(
            shorten_slots(&text),
            "for a passphrase, raw:00 (a passphrase); a passphrase"
        );
    }
}
