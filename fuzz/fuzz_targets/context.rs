//! Contexts that differ never encode alike, and a stored one is what it was made of.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sealstone::EncryptionContext;

/// Pairs, each stored or supplied.
type Pairs = Vec<(String, String, bool)>;

fuzz_target!(|input: (Pairs, Pairs)| {
    let (one, two) = input;
    let contexts = [&one, &two].map(context);
    let maps = [&one, &two].map(|pairs| {
        let pairs = pairs.iter().map(|(key, value, _)| (key.clone(), value.clone()));
        pairs.collect::<BTreeMap<_, _>>()
    });
    let encodings = [0, 1].map(|at| contexts[at].canonical_bytes());
    assert_eq!(encodings[0] == encodings[1], maps[0] == maps[1]);

    for (context, map) in contexts.iter().zip(&maps) {
        let usable = !map.contains_key("") && map.len() <= 256;
        assert_eq!(context.validate().is_ok(), usable);
        let stored = context.to_stored();
        assert_eq!(stored.iter().count(), map.len());
        for (key, value) in stored.iter() {
            assert!(value.is_none_or(|value| map[key] == value));
        }
    }
});

fn context(pairs: &Pairs) -> EncryptionContext {
    pairs
        .iter()
        .fold(EncryptionContext::new(), |context, (key, value, supplied)| {
            if *supplied {
                context.with_supplied(key, value)
            } else {
                context.with(key, value)
            }
        })
}
