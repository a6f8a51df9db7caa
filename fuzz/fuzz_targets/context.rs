//! Different contexts never encode alike, and a stored context has the pairs it was created from.
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
    if let [Ok(one), Ok(two)] = &encodings {
        assert_eq!(one == two, maps[0] == maps[1]);
    }

    for ((context, map), encoding) in contexts.iter().zip(&maps).zip(&encodings) {
        let longest = map.iter().flat_map(|(key, value)| [key.len(), value.len()]).max();
        let encodable = map.len() <= 65_535 && longest.is_none_or(|len| len <= 65_535);
        assert_eq!(encoding.is_ok(), encodable);
        let usable = encodable && !map.contains_key("") && map.len() <= 256 && !map.contains_key("sealstone:key");
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
