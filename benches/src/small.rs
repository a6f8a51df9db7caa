//! Small objects in memory with detached headers, as a storage engine handles many of them. Without a client of a key
//! service, which would be linked into every bench.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput};
use sealstone::keys::IntermediateKeys;
use sealstone::{Decryptor, EncryptionContext, Encryptor, ExpectedContext, Header, KeyProvider, Result};

use crate::setup;

/// Plaintext bytes of the objects that are measured.
pub const SIZES: [usize; 2] = [1024, 4096];

/// A detached header and a payload.
pub type SmallObject = (Vec<u8>, Vec<u8>);

/// The context of object `number`: each has its own.
#[must_use]
pub fn context(number: usize) -> EncryptionContext {
    EncryptionContext::new()
        .with("bucket", "benches")
        .with("path", number.to_string())
}

/// Seals object `number`.
///
/// # Errors
/// Those of sealing.
pub fn seal(encryptor: &Encryptor, number: usize, plaintext: &[u8]) -> Result<SmallObject> {
    let (header, object) = encryptor.clone().with_context(context(number)).begin()?.detach();
    let header = header.to_detached()?;
    let mut payload = vec![0; plaintext.len() + 56 + 16 * (plaintext.len() / (16 * 1024) + 1)];
    let written = object.seal_into(plaintext, &mut payload)?;
    payload.truncate(written);
    Ok((header, payload))
}

/// Opens object `number`, which fills `plaintext`.
///
/// # Errors
/// Those of opening.
///
/// # Panics
/// If it is shorter.
pub fn open(decryptor: &Decryptor, number: usize, object: &SmallObject, plaintext: &mut [u8]) -> Result<()> {
    let (header, payload) = object;
    let unlocked = decryptor
        .clone()
        .with_context(ExpectedContext::Exact(context(number)))
        .unlock(Header::from_detached(header)?)?;
    let len = unlocked.open_into(payload, plaintext)?;
    assert_eq!(len, plaintext.len(), "the object's length");
    Ok(())
}

/// A provider with an intermediate key for each `bucket`, wrapped under the key `of`.
///
/// # Panics
/// Never: the name of the pair is valid.
#[must_use]
pub fn intermediate(of: Arc<dyn KeyProvider>) -> Arc<dyn KeyProvider> {
    Arc::new(IntermediateKeys::new(of, ["bucket"]).expect("a name of a pair"))
}

/// Measures sealing and opening of one object of `bytes` bytes under `key`.
///
/// # Panics
/// If the object cannot be sealed, or opens to something else.
pub fn measure(criterion: &mut Criterion, case: &str, key: &Arc<dyn KeyProvider>, bytes: usize) {
    let plaintext = setup::plaintext(bytes);
    let encryptor = Encryptor::new(key.clone());
    let decryptor = Decryptor::new(key.clone());
    let object = seal(&encryptor, 0, &plaintext).expect("sealed");
    let mut opened = vec![0; bytes];
    open(&decryptor, 0, &object, &mut opened).expect("opened");
    assert!(opened == plaintext, "what was opened is what was sealed");

    let number = AtomicUsize::new(1);
    let mut group = criterion.benchmark_group("small_objects/seal");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("sealstone", case), |bencher| {
        bencher.iter(|| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            black_box(seal(&encryptor, number, &plaintext).expect("sealed"))
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("small_objects/open");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("sealstone", case), |bencher| {
        bencher.iter(|| open(&decryptor, 0, &object, &mut opened).expect("opened"));
    });
    group.finish();
}
