//! Objects of 1 and 4 KiB, headers detached, each with a context of its own: under a key of the local ring, an
//! intermediate key of it, and a key service that takes 0, 1 and 20 ms to answer, with an intermediate key between and
//! without. Times are for one object.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealstone::{Decryptor, Encryptor, IntermediateKeys, KeyProvider, KeyRing};
use sealstone_aws_kms::AwsKms;
use sealstone_benches::setup::{self, parameters, some_of};
use sealstone_benches::small::{open, seal};
use sealstone_kms_mock::{Latency, MockKms, Settings};

const ALIAS: &str = "alias/benches";
const LATENCIES_MS: [u64; 3] = [0, 1, 20];

fn small_objects(criterion: &mut Criterion) {
    let ring = Arc::new(KeyRing::in_memory("local").expect("random bytes"));
    let mut keys: Vec<(String, u64, Arc<dyn KeyProvider>)> = vec![
        ("local key".into(), 0, ring.clone()),
        ("intermediate key of a local one".into(), 0, intermediate(ring)),
    ];
    // Held until the end: the service stops with its value.
    let mut services = Vec::new();
    for latency in some_of(&LATENCIES_MS) {
        let service = service(latency);
        let key = kms(&service);
        keys.push((
            "intermediate key of a key service".into(),
            latency,
            intermediate(key.clone()),
        ));
        keys.push(("key service".into(), latency, key));
        services.push(service);
    }
    for bytes in some_of(&[1024, 4096]) {
        for (name, latency, key) in &keys {
            let case = parameters(&[("bytes", &bytes), ("key", name), ("latency_ms", latency)]);
            measure(criterion, &case, key, bytes);
        }
    }
}

fn intermediate(of: Arc<dyn KeyProvider>) -> Arc<dyn KeyProvider> {
    Arc::new(IntermediateKeys::new(of, ["bucket"]).expect("a name of a pair"))
}

fn service(latency_ms: u64) -> MockKms {
    let settings = Settings {
        latency_ms: (latency_ms > 0).then_some(Latency {
            fixed: latency_ms,
            jitter: 0,
        }),
        ..Settings::default()
    };
    MockKms::builder()
        .key(ALIAS)
        .settings(settings)
        .start()
        .expect("a free port")
}

/// A client of the mock's first key with credentials that the mock does not look at.
fn kms(mock: &MockKms) -> Arc<AwsKms> {
    let credentials = Credentials::new("benches", "benches", None, None, "benches");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let key = format!("{ALIAS}@{}", mock.region()).parse().expect("an alias");
    let kms = AwsKms::builder(key).config(config).endpoint_url(mock.endpoint());
    Arc::new(kms.build().expect("a client of the mock"))
}

fn measure(criterion: &mut Criterion, case: &str, key: &Arc<dyn KeyProvider>, bytes: usize) {
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

criterion_group! { name = benches; config = setup::criterion(); targets = small_objects }
criterion_main!(benches);
