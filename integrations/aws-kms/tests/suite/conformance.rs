//! The engine's conformance suite for key providers, and what only a provider with its own runtime can break.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_kms::config::Region;
use sealstone::error::ProviderErrorClass;
use sealstone::testing::Conformance;
use sealstone::{EncryptionContext, KeyProvider};
use sealstone_aws_kms::AwsKms;
use sealstone_kms_mock::MockKms;
use std::sync::atomic::{AtomicUsize, Ordering};

fn provider(mock: &MockKms, key: &str, credentials: impl ProvideCredentials + 'static) -> AwsKms {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(mock.region().to_owned()))
        .endpoint_url(mock.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    AwsKms::builder(key.parse().unwrap()).config(config).build().unwrap()
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}

#[test]
fn a_kms_key_conforms_by_its_arn_and_by_an_alias() {
    let mock = MockKms::builder().key("alias/one").key("alias/two").start().unwrap();
    let by_alias = provider(&mock, "alias/one", credentials());
    let generated = pollster::block_on(by_alias.generate_key(&EncryptionContext::new())).unwrap();
    let by_arn = provider(&mock, &generated.wrapped.key_id, credentials());
    let other = provider(&mock, "alias/two", credentials());
    for (key, twin) in [(&by_arn, &by_alias), (&by_alias, &by_arn)] {
        Conformance::new(key, &other).with_twin(twin).with_samples(16).assert();
    }
}

/// Credentials that panic the first time.
#[derive(Debug)]
struct PanicsOnce(AtomicUsize);

impl ProvideCredentials for PanicsOnce {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        assert!(
            self.0.fetch_add(1, Ordering::SeqCst) > 0,
            "the first call panics, as it should in this test"
        );
        Provided::ready(Ok(credentials()))
    }
}

#[test]
fn a_panic_of_the_client_fails_the_call_and_not_the_next() {
    let mock = MockKms::builder().key("alias/one").start().unwrap();
    let key = provider(&mock, "alias/one", PanicsOnce(AtomicUsize::new(0)));
    let context = EncryptionContext::new();
    let error = pollster::block_on(key.generate_key(&context)).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Configuration, "{error}");
    pollster::block_on(key.generate_key(&context)).unwrap();
}
