//! Contexts and slots that are close to valid ones, and must not open.

use crate::context::EncryptionContext;
use crate::header::WrappedKey;

/// The same pairs, all stored or all supplied, which to a provider is the same context.
pub(super) fn same_pairs(context: &EncryptionContext) -> [EncryptionContext; 2] {
    let stored = |context: EncryptionContext, (key, value): (&str, &str)| context.with(key, value);
    let supplied = |context: EncryptionContext, (key, value): (&str, &str)| context.with_supplied(key, value);
    [
        context.iter().fold(EncryptionContext::new(), stored),
        context.iter().fold(EncryptionContext::new(), supplied),
    ]
}

/// Other contexts, each with what distinguishes it.
pub(super) fn other_contexts(context: &EncryptionContext) -> Vec<(String, EncryptionContext)> {
    let mut others = vec![("one more pair".to_owned(), context.clone().with("conformance-more", ""))];
    if !context.is_empty() {
        others.push(("no pairs".to_owned(), EncryptionContext::new()));
    }
    for (changed, _) in context.iter() {
        let mut without = EncryptionContext::new();
        let mut with_other_value = EncryptionContext::new();
        let mut with_longer_key = EncryptionContext::new();
        for (key, value) in context.iter() {
            if key == changed {
                with_other_value = with_other_value.with(key, format!("{value}."));
                with_longer_key = with_longer_key.with(format!("{key}."), value);
                continue;
            }
            without = without.with(key, value);
            with_other_value = with_other_value.with(key, value);
            with_longer_key = with_longer_key.with(key, value);
        }
        others.push((format!("another value of {changed:?}"), with_other_value));
        others.push((format!("another key than {changed:?}"), with_longer_key));
        if context.iter().count() > 1 {
            others.push((format!("no pair {changed:?}"), without));
        }
    }
    others
}

/// The slot with bytes changed, missing or added, at no more than `samples` places each, and a description of the
/// damage.
pub(super) fn damaged(slot: &WrappedKey, samples: usize) -> Vec<(String, WrappedKey)> {
    let len = slot.ciphertext.len();
    let with = |ciphertext: Vec<u8>| WrappedKey {
        ciphertext,
        ..slot.clone()
    };
    let mut damaged = Vec::new();
    for (number, place) in places(len, samples).enumerate() {
        let mut flipped = slot.ciphertext.clone();
        // A different bit at each place, because a format may leave some bits unused.
        flipped[place] ^= 1 << (number % 8);
        damaged.push((format!("byte {place} changed"), with(flipped)));
    }
    for end in places(len, samples) {
        let cut = slot.ciphertext[..end].to_vec();
        damaged.push((format!("cut to {end} bytes"), with(cut)));
    }
    for (what, more) in [("one byte", 1), ("64 KiB", 1 << 16)] {
        let longer = [slot.ciphertext.as_slice(), &vec![0; more]].concat();
        damaged.push((format!("{what} longer"), with(longer)));
    }
    damaged.push(("all zeros".to_owned(), with(vec![0; len])));
    damaged
}

/// The slot under other names, with descriptions.
pub(super) fn renamed(slot: &WrappedKey) -> Vec<(String, WrappedKey)> {
    let with_key_id = |what: &str, key_id: String| {
        let renamed = WrappedKey { key_id, ..slot.clone() };
        (format!("{what} key id"), renamed)
    };
    let other_provider = WrappedKey {
        provider: "conformance-other".to_owned(),
        ..slot.clone()
    };
    vec![
        with_key_id("a longer", format!("{}0", slot.key_id)),
        with_key_id("a strange", "\u{feff}%s\u{202e}/../é#:@".to_owned()),
        with_key_id("a huge", "x".repeat(70_000)),
        ("another provider".to_owned(), other_provider),
    ]
}

/// Evenly spread places among `len`, first and last included.
fn places(len: usize, samples: usize) -> impl Iterator<Item = usize> {
    let count = len.min(samples);
    (0..count).map(move |number| {
        if count == len {
            number
        } else {
            number * (len - 1) / (count - 1).max(1)
        }
    })
}
