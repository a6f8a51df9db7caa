//! SSE-KMS over AWS KMS: which calls the key service gets and logs.

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use sealstone::Header;
use sealstone_aws_kms::AwsKms;
use sealstone_kms_mock::MockKms;
use sealstone_s3_sse::{self as sse, Mode, ObjectName, ServerSide};
use serde_json::{Value, json};

fn provider(mock: &MockKms, key: &str) -> Arc<AwsKms> {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(mock.region().to_owned()))
        .endpoint_url(mock.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Arc::new(AwsKms::builder(key.parse().unwrap()).config(config).build().unwrap())
}

/// Stores an object and reads it back by its metadata.
fn put_and_get(sse: &ServerSide, name: &ObjectName) -> Header {
    let object = sse.encryptor(name).begin().unwrap();
    let metadata = object.header().to_metadata().unwrap();
    let mut payload = Vec::new();
    object.detach().1.pipe(&b"secret"[..], &mut payload).unwrap();
    let header = Header::from_metadata(&metadata).unwrap();
    let decryptor = sse.decryptor(name, &header).unwrap();
    let opened = decryptor.unlock(header.clone()).unwrap().open(&payload).unwrap();
    assert_eq!(opened, b"secret");
    header
}

/// The operation and context of each call.
fn log(mock: &MockKms) -> Vec<(Value, Value)> {
    let events = mock.audit_events().into_iter();
    events
        .map(|event| {
            (
                event["eventName"].clone(),
                event["requestParameters"]["encryptionContext"].clone(),
            )
        })
        .collect()
}

/// With a customer's key, and with the AWS-managed key, which is created at its first use.
#[test]
fn each_object_costs_a_call_each_way_under_its_own_arn() {
    for key in ["alias/mine", "alias/aws/s3"] {
        let mock = MockKms::builder().key("alias/mine").start().unwrap();
        let sse = ServerSide::kms(provider(&mock, key)).unwrap();
        let header = put_and_get(&sse, &ObjectName::new("bucket", "key").unwrap());
        let Mode::Kms {
            key_id,
            bucket_key: false,
        } = Mode::of(&header).unwrap()
        else {
            panic!("{header:?}");
        };
        assert!(key_id.starts_with("arn:aws:kms:"), "{key_id}");
        let context = json!({ "aws:s3:arn": "arn:aws:s3:::bucket/key" });
        assert_eq!(
            log(&mock),
            [(json!("GenerateDataKey"), context.clone()), (json!("Decrypt"), context)]
        );
    }
}

#[test]
fn bucket_keys_cost_a_call_each_way_for_all_objects() {
    let mock = MockKms::builder().key("alias/mine").start().unwrap();
    let keys = sse::bucket_keys(provider(&mock, "alias/mine")).unwrap();
    let sse = ServerSide::kms_with_bucket_keys(Arc::new(keys)).unwrap();
    for number in 0..50 {
        put_and_get(&sse, &ObjectName::new("bucket", number.to_string()).unwrap());
    }
    let context = json!({ "aws:s3:arn": "arn:aws:s3:::bucket", "sealstone:key": "intermediate@v1" });
    assert_eq!(
        log(&mock),
        [(json!("GenerateDataKey"), context.clone()), (json!("Decrypt"), context)]
    );
}
