//! The client for data keys outside of slots: which key KMS is called for, and which responses are accepted.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use sealstone::error::ProviderErrorClass;
use sealstone::{DataKey, EncryptionContext};
use sealstone_aws_kms::{DecryptWith, KmsClient, KmsClientBuilder, KmsKey};
use sealstone_kms_mock::MockKms;
use serde_json::Value;

fn builder(mock: &MockKms) -> KmsClientBuilder {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(mock.region().to_owned()))
        .endpoint_url(mock.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    KmsClient::builder().config(config)
}

fn mock() -> MockKms {
    MockKms::builder().key("alias/one").key("alias/two").start().unwrap()
}

fn key(text: &str) -> KmsKey {
    text.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("bucket", "b")
}

/// Name and key id of each call in the audit log.
fn calls(mock: &MockKms) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let call = |event: &Value| {
        let key_id = text(&event["requestParameters"]["keyId"]);
        (text(&event["eventName"]).unwrap(), key_id)
    };
    mock.audit_events().iter().map(call).collect()
}

fn class<T>(result: Result<T, sealstone::error::ProviderError>) -> ProviderErrorClass {
    result.map(drop).unwrap_err().class
}

#[test]
fn decrypt_names_the_key_or_leaves_it_to_kms_as_the_caller_says() {
    let mock = mock();
    let client = builder(&mock).build().unwrap();
    let (one, context) = (key("alias/one"), context());
    pollster::block_on(async {
        let (data_key, generated) = client.generate_data_key(&one, &context).await.unwrap();
        let encrypted = client.encrypt(&one, &data_key, &context).await.unwrap();
        assert_eq!(generated.key_arn, encrypted.key_arn);
        assert!(key(&generated.key_arn).is_key_arn());
        let by_arn = key(&generated.key_arn);
        for ciphertext in [&generated.ciphertext, &encrypted.ciphertext] {
            for with in [DecryptWith::Key(&one), DecryptWith::Key(&by_arn), DecryptWith::AnyKey] {
                let decrypted = client.decrypt(with, ciphertext, &context).await.unwrap();
                assert_eq!(decrypted.data_key.expose(), data_key.expose());
                assert_eq!(decrypted.key_arn, generated.key_arn);
            }
        }
        let decrypts = |key_id: Option<&str>| ("Decrypt".to_owned(), key_id.map(str::to_owned));
        let each = [
            decrypts(Some("alias/one")),
            decrypts(Some(&generated.key_arn)),
            decrypts(None),
        ];
        assert_eq!(calls(&mock)[2..], [&each[..], &each].concat());
    });
}

#[test]
fn another_key_another_context_and_altered_bytes_are_refused() {
    use ProviderErrorClass::{BadCiphertext, OtherKey};
    let mock = mock();
    let client = builder(&mock).build().unwrap();
    let (one, two, context) = (key("alias/one"), key("alias/two"), context());
    pollster::block_on(async {
        let (_, generated) = client.generate_data_key(&one, &context).await.unwrap();
        let (ciphertext, named) = (&generated.ciphertext, DecryptWith::Key(&one));
        let with_two = client.decrypt(DecryptWith::Key(&two), ciphertext, &context);
        assert_eq!(class(with_two.await), OtherKey);
        let other = EncryptionContext::new();
        for with in [named, DecryptWith::AnyKey] {
            assert_eq!(class(client.decrypt(with, ciphertext, &other).await), BadCiphertext);
            let mut altered = ciphertext.clone();
            *altered.last_mut().unwrap() ^= 1;
            assert_eq!(class(client.decrypt(with, &altered, &context).await), BadCiphertext);
        }
        // A ciphertext that KMS cannot have returned is not sent.
        let before = calls(&mock).len();
        for len in [0, 6145] {
            let ciphertext = vec![1; len];
            let refused = client.decrypt(DecryptWith::AnyKey, &ciphertext, &context).await;
            assert_eq!(class(refused), BadCiphertext);
        }
        assert_eq!(calls(&mock).len(), before);
    });
}

#[test]
fn a_key_that_is_not_allowed_or_of_another_region_is_refused() {
    use ProviderErrorClass::{Configuration, Denied};
    let mock = mock();
    let client = builder(&mock).build().unwrap();
    let context = context();
    pollster::block_on(async {
        let (_, one) = client.generate_data_key(&key("alias/one"), &context).await.unwrap();
        let (_, two) = client.generate_data_key(&key("alias/two"), &context).await.unwrap();
        let only_one = builder(&mock).allow_only([key(&one.key_arn)]).build().unwrap();
        let any = DecryptWith::AnyKey;
        assert!(only_one.decrypt(any, &one.ciphertext, &context).await.is_ok());
        assert_eq!(class(only_one.decrypt(any, &two.ciphertext, &context).await), Denied);
        let data_key = DataKey::random().unwrap();
        let encrypted = only_one.encrypt(&key("alias/two"), &data_key, &context).await;
        assert_eq!(class(encrypted), Denied);

        // KMS would look the alias up in the client's region.
        let before = calls(&mock).len();
        let elsewhere = key("alias/one@eu-north-1");
        let refused = client.decrypt(DecryptWith::Key(&elsewhere), &one.ciphertext, &context);
        assert_eq!(class(refused.await), Configuration);
        assert_eq!(
            class(client.generate_data_key(&elsewhere, &context).await),
            Configuration
        );
        assert_eq!(calls(&mock).len(), before);
    });
    let bad = builder(&mock).allow_only([key("alias/one")]).build();
    assert_eq!(class(bad), Configuration);
}
