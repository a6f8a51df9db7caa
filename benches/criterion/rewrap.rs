//! Rewrapping whole files in place, from 1 MB to 100 GB. The payload is sparse, because nothing reads it. Each
//! iteration replaces the slot of one local key by another's.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sealstone::rewrap::SlotChoice;
use sealstone::{Decryptor, Encryptor, KeyRing, Rewrap};
use sealstone_benches::setup::{self, parameters, some_of};

const SIZES: [u64; 4] = [1_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000];

fn rewrap(criterion: &mut Criterion) {
    let keys = ["first", "second"].map(|name| Arc::new(KeyRing::in_memory(name).expect("random bytes")));
    let mut group = criterion.benchmark_group("rewrap/in place");
    for (kind, directory) in places() {
        for bytes in some_of(&SIZES) {
            let file = object(&directory, &keys[0], bytes);
            let mut current = 0;
            let case = parameters(&[("bytes", &bytes), ("directory", &kind)]);
            group.bench_function(BenchmarkId::new("sealstone", case), |bencher| {
                bencher.iter(|| {
                    let (old, new) = (keys[current].clone(), keys[1 - current].clone());
                    let rewrap = Rewrap::new(Decryptor::new(old.clone())).replace(SlotChoice::Key(old), new);
                    assert!(rewrap.file(&file).expect("rewrapped").changed);
                    current = 1 - current;
                });
            });
        }
    }
    group.finish();
}

/// A tmpfs, if Linux has one, and the directory for temporary files.
fn places() -> Vec<(&'static str, PathBuf)> {
    let memory = Path::new("/dev/shm");
    let mut places = vec![("temporary", std::env::temp_dir())];
    if memory.is_dir() {
        places.push(("memory", memory.to_owned()));
    }
    places
}

/// A header and the payload's beginning, with room for a payload of `bytes` bytes of plaintext.
fn object(directory: &Path, key: &Arc<KeyRing>, bytes: u64) -> File {
    let encryptor = Encryptor::new(key.clone());
    let sealed = encryptor.seal(b"").expect("sealed");
    let mut file = tempfile::tempfile_in(directory).expect("a file");
    file.write_all(&sealed).expect("written");
    file.set_len(encryptor.object_len(bytes).expect("an object's length"))
        .expect("a sparse file");
    file
}

criterion_group! { name = benches; config = setup::criterion(); targets = rewrap }
criterion_main!(benches);
