//! Objects of 1 and 4 KiB, with detached headers and their own contexts: under a key of the local ring, and under an
//! intermediate key of it. Times are per object. The bench `key_service` has the same cases with a key service.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sealstone::{KeyProvider, KeyRing};
use sealstone_benches::setup::{self, parameters, some_of};
use sealstone_benches::small::{SIZES, intermediate, measure};

fn small_objects(criterion: &mut Criterion) {
    let ring = Arc::new(KeyRing::in_memory("local").expect("random bytes"));
    let keys: [(_, Arc<dyn KeyProvider>); 2] = [
        ("local key", ring.clone()),
        ("intermediate key of a local one", intermediate(ring)),
    ];
    for bytes in some_of(&SIZES) {
        for (name, key) in &keys {
            let case = parameters(&[("bytes", &bytes), ("key", name), ("latency_ms", &0)]);
            measure(criterion, &case, key, bytes);
        }
    }
}

criterion_group! { name = benches; config = setup::criterion(); targets = small_objects }
criterion_main!(benches);
