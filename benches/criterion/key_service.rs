//! Objects of 1 and 4 KiB as in the bench `small_objects`, with a key service that takes 0, 1 and 20 ms to respond:
//! with and without an intermediate key.

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use criterion::{Criterion, criterion_group, criterion_main};
use sealstone::KeyProvider;
use sealstone_aws_kms::AwsKms;
use sealstone_benches::setup::{self, parameters, some_of};
use sealstone_benches::small::{SIZES, intermediate, measure};
use sealstone_kms_mock::{Latency, MockKms, Settings};

const ALIAS: &str = "alias/benches";
const LATENCIES_MS: [u64; 3] = [0, 1, 20];

fn key_service(criterion: &mut Criterion) {
    for latency in some_of(&LATENCIES_MS) {
        let service = service(latency);
        let key = kms(&service);
        let keys: [(_, Arc<dyn KeyProvider>); 2] = [
            ("intermediate key of a key service", intermediate(key.clone())),
            ("key service", key),
        ];
        for bytes in some_of(&SIZES) {
            for (name, key) in &keys {
                let case = parameters(&[("bytes", &bytes), ("key", name), ("latency_ms", &latency)]);
                measure(criterion, &case, key, bytes);
            }
        }
    }
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

/// A client of the mock's first key, with credentials that the mock ignores.
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

criterion_group! { name = benches; config = setup::criterion(); targets = key_service }
criterion_main!(benches);
