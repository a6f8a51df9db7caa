//! AWS's own client against the mock, without any other code of ours.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{Credentials, Region};
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use sealstone_kms_mock::{MockKms, Rate, Settings};

fn client(mock: &MockKms, attempts: u32) -> Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region(Region::new(mock.region().to_owned()))
        .endpoint_url(mock.endpoint())
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .build();
    Client::from_conf(config)
}

fn context(value: &str) -> HashMap<String, String> {
    HashMap::from([("tenant".to_owned(), value.to_owned())])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_goes_through_the_life_of_a_key() {
    let mock = MockKms::start().unwrap();
    let kms = client(&mock, 1);
    let key = kms.create_key().description("first").send().await.unwrap();
    let key = key.key_metadata().unwrap().arn().unwrap().to_owned();
    kms.create_alias()
        .alias_name("alias/a")
        .target_key_id(&key)
        .send()
        .await
        .unwrap();
    let aliases = kms.list_aliases().send().await.unwrap();
    assert_eq!(aliases.aliases()[0].alias_name(), Some("alias/a"));

    let generate = kms.generate_data_key().key_id("alias/a").key_spec(DataKeySpec::Aes256);
    let made = generate
        .clone()
        .set_encryption_context(Some(context("blue")))
        .send()
        .await
        .unwrap();
    assert_eq!(made.key_id(), Some(key.as_str()));
    let blob = made.ciphertext_blob().unwrap().clone();
    let decrypt = |value| {
        kms.decrypt()
            .ciphertext_blob(blob.clone())
            .set_encryption_context(Some(context(value)))
    };
    let opened = decrypt("blue").send().await.unwrap();
    assert_eq!(opened.plaintext(), made.plaintext());
    let wrong = decrypt("red").send().await.unwrap_err().into_service_error();
    assert!(wrong.is_invalid_ciphertext_exception(), "{wrong:?}");

    kms.disable_key().key_id(&key).send().await.unwrap();
    let disabled = decrypt("blue").send().await.unwrap_err().into_service_error();
    assert!(disabled.is_disabled_exception(), "{disabled:?}");
    assert_eq!(disabled.message(), Some(format!("{key} is disabled.").as_str()));
    kms.enable_key().key_id(&key).send().await.unwrap();

    let other = kms.create_key().send().await.unwrap();
    let other = other.key_metadata().unwrap().arn().unwrap().to_owned();
    let moved = kms
        .re_encrypt()
        .ciphertext_blob(blob.clone())
        .set_source_encryption_context(Some(context("blue")))
        .destination_key_id(&other)
        .set_destination_encryption_context(Some(context("red")))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (moved.source_key_id(), moved.key_id()),
        (Some(key.as_str()), Some(other.as_str()))
    );
    let at_other = kms.decrypt().ciphertext_blob(moved.ciphertext_blob().unwrap().clone());
    let at_other = at_other.key_id(&other).set_encryption_context(Some(context("red")));
    assert_eq!(at_other.send().await.unwrap().plaintext(), made.plaintext());

    kms.rotate_key_on_demand().key_id(&key).send().await.unwrap();
    let rotated = generate.send().await.unwrap();
    assert_ne!(rotated.key_material_id(), made.key_material_id());
    let opened = decrypt("blue").send().await.unwrap();
    assert_eq!(opened.key_material_id(), made.key_material_id());

    kms.schedule_key_deletion()
        .key_id(&key)
        .pending_window_in_days(7)
        .send()
        .await
        .unwrap();
    mock.advance_clock(Duration::from_secs(8 * 24 * 60 * 60));
    let gone = kms
        .describe_key()
        .key_id(&key)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(gone.is_not_found_exception(), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_waits_out_throttling_and_reports_it_without_retries() {
    let mock = MockKms::builder().key("alias/a").start().unwrap();
    let limit = |per_second| {
        let rate = Some(Rate {
            per_second,
            burst: Some(1),
        });
        let settings = Settings {
            rate,
            ..Settings::default()
        };
        mock.faults().set_settings(settings).unwrap();
    };
    let encrypt = |kms: Client| kms.encrypt().key_id("alias/a").plaintext(Blob::new("secret")).send();
    // One call and no second one, however slow the machine is.
    limit(0.0);
    encrypt(client(&mock, 1)).await.unwrap();
    let throttled = encrypt(client(&mock, 1)).await.unwrap_err().into_service_error();
    assert_eq!(throttled.code(), Some("ThrottlingException"), "{throttled:?}");
    // A full bucket again, for the first of two calls.
    limit(1.0);
    let before = mock.audit_events().len();
    for _ in 0..2 {
        encrypt(client(&mock, 6)).await.unwrap();
    }
    let attempts = mock.audit_events().len() - before;
    assert!(attempts > 2, "{attempts}");
}
