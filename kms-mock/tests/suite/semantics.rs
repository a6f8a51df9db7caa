//! The rules of each operation, in AWS's words where AWS documents them.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use sealstone_kms_mock::{MockKms, Settings};
use serde_json::{Value, json};

use crate::common::{Client, head};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A mock and a connection to it.
struct Kms {
    mock: MockKms,
    client: Client,
}

impl Kms {
    fn new() -> Self {
        let mock = MockKms::start().unwrap();
        let client = Client::new(&mock.endpoint());
        Self { mock, client }
    }

    /// The answer of an operation, or the name and message of its error.
    fn try_call(&mut self, operation: &str, body: &Value) -> Result<Value, (String, String)> {
        self.call_as("AKIDEXAMPLE", operation, body)
    }

    fn call_as(&mut self, access_key: &str, operation: &str, body: &Value) -> Result<Value, (String, String)> {
        let body = body.to_string();
        let head = head(operation, &format!("Content-Length: {}\r\n", body.len()));
        self.client.send(head.replace("AKIDEXAMPLE", access_key).as_bytes());
        self.client.send(body.as_bytes());
        let answer = self.client.receive().unwrap();
        let text = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
        match answer.status {
            200 if answer.body.is_empty() => Ok(Value::Null),
            200 => Ok(answer.json()),
            _ => Err((text("__type"), text("message"))),
        }
    }

    fn call(&mut self, operation: &str, body: &Value) -> Value {
        self.try_call(operation, body)
            .unwrap_or_else(|error| panic!("{operation} {body}: {error:?}"))
    }

    #[track_caller]
    fn fails(&mut self, operation: &str, body: &Value, kind: &str) -> String {
        let error = self.try_call(operation, body).unwrap_err();
        assert_eq!(error.0, kind, "{operation} {body}: {}", error.1);
        error.1
    }

    fn key(&mut self) -> String {
        let made = self.call("CreateKey", &json!({}));
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    fn blob(&mut self, key: &str, context: &Value) -> String {
        let request = json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context });
        text(&self.call("GenerateDataKey", &request), "CiphertextBlob")
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

fn decrypt(blob: &str, context: &Value) -> Value {
    json!({ "CiphertextBlob": blob, "EncryptionContext": context })
}

/// Other mocks join keys and values, so that the second context decrypts what the first one encrypted.
#[test]
fn a_bc_and_ab_c_are_different_contexts() {
    let mut kms = Kms::new();
    let key = kms.key();
    let blob = kms.blob(&key, &json!({ "a": "bc" }));
    kms.call("Decrypt", &decrypt(&blob, &json!({ "a": "bc" })));
    for other in [
        json!({ "ab": "c" }),
        json!({ "abc": "" }),
        json!({ "a": "b", "c": "" }),
        json!({ "A": "bc" }),
        json!({ "a": "bc", "d": "" }),
        json!({}),
    ] {
        let message = kms.fails("Decrypt", &decrypt(&blob, &other), "InvalidCiphertextException");
        assert_eq!(message, "", "{other}");
    }
}

#[test]
fn the_order_of_pairs_does_not_matter() {
    let mut kms = Kms::new();
    let key = kms.key();
    let blob = kms.blob(&key, &json!({ "a": "1", "b": "2" }));
    let body = format!(r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{{"b":"2","a":"1"}}}}"#);
    assert_eq!(kms.client.call("Decrypt", &body).status, 200);
    let twice = format!(r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{{"b":"2","a":"1","a":"1"}}}}"#);
    assert_eq!(kms.client.call("Decrypt", &twice).kind(), "SerializationException");
    let number = format!(r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{{"b":2}}}}"#);
    assert_eq!(kms.client.call("Decrypt", &number).kind(), "SerializationException");
}

#[test]
fn a_data_keys_blob_is_as_long_as_the_real_ones() {
    let mut kms = Kms::new();
    let key = kms.key();
    let blob = kms.blob(&key, &json!({}));
    assert_eq!(Base64::decode_vec(&blob).unwrap().len(), 184);
    let made = kms.call("GenerateDataKey", &json!({ "KeyId": key, "NumberOfBytes": 1024 }));
    let opened = kms.call("Decrypt", &decrypt(&text(&made, "CiphertextBlob"), &json!({})));
    assert_eq!(opened["Plaintext"], made["Plaintext"]);
    assert_eq!(opened["KeyId"], json!(key));
    for (wrong, kind) in [
        (json!({ "KeyId": key }), "ValidationException"),
        (
            json!({ "KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32 }),
            "ValidationException",
        ),
        (json!({ "KeyId": key, "NumberOfBytes": 0 }), "ValidationException"),
        (json!({ "KeyId": key, "NumberOfBytes": 1025 }), "ValidationException"),
        (json!({ "KeyId": key, "NumberOfBytes": "32" }), "SerializationException"),
        (json!({ "KeySpec": "AES_256" }), "ValidationException"),
        (
            json!({ "KeyId": key, "KeySpec": "AES_256", "Recipient": {} }),
            "UnsupportedOperationException",
        ),
    ] {
        kms.fails("GenerateDataKey", &wrong, kind);
    }
}

#[test]
fn another_key_and_every_altered_byte_are_refused() {
    let mut kms = Kms::new();
    let (key, other) = (kms.key(), kms.key());
    let blob = kms.blob(&key, &json!({}));
    let with_key = |key: &str| json!({ "CiphertextBlob": blob, "KeyId": key });
    kms.call("Decrypt", &with_key(&key));
    kms.fails("Decrypt", &with_key(&other), "IncorrectKeyException");
    kms.fails("Decrypt", &with_key("alias/none"), "NotFoundException");
    let bytes = Base64::decode_vec(&blob).unwrap();
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 8);
        // The key id follows the version: this key does not exist.
        let is_id = (1..17).contains(&place);
        let kind = if is_id {
            "AccessDeniedException"
        } else {
            "InvalidCiphertextException"
        };
        kms.fails("Decrypt", &decrypt(&Base64::encode_string(&altered), &json!({})), kind);
    }
    for len in 1..bytes.len() {
        let cut = Base64::encode_string(&bytes[..len]);
        kms.fails("Decrypt", &decrypt(&cut, &json!({})), "InvalidCiphertextException");
    }
    kms.fails("Decrypt", &decrypt("", &json!({})), "ValidationException");
    kms.fails("Decrypt", &decrypt("%%", &json!({})), "SerializationException");
}

/// Each cryptographic operation checks the state of each key that it uses.
#[test]
fn key_states_stop_what_they_stop_and_in_the_services_words() {
    let mut kms = Kms::new();
    let (key, other) = (kms.key(), kms.key());
    let blob = kms.blob(&key, &json!({}));
    let others = kms.blob(&other, &json!({}));
    let calls = [
        ("GenerateDataKey", json!({ "KeyId": key, "KeySpec": "AES_256" })),
        (
            "GenerateDataKeyWithoutPlaintext",
            json!({ "KeyId": key, "KeySpec": "AES_256" }),
        ),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": "AAAA" })),
        ("Decrypt", json!({ "CiphertextBlob": blob })),
        (
            "ReEncrypt",
            json!({ "CiphertextBlob": blob, "DestinationKeyId": other }),
        ),
        (
            "ReEncrypt",
            json!({ "CiphertextBlob": others, "DestinationKeyId": key }),
        ),
    ];
    let id = json!({ "KeyId": key });
    let all = |kms: &mut Kms, expected: Option<(&str, String)>| {
        for (operation, body) in &calls {
            let expected = expected.clone().map(|(kind, message)| (kind.to_owned(), message));
            assert_eq!(kms.try_call(operation, body).err(), expected, "{operation}");
        }
    };
    all(&mut kms, None);
    kms.call("DisableKey", &id);
    all(&mut kms, Some(("DisabledException", format!("{key} is disabled."))));
    kms.call("EnableKey", &id);
    all(&mut kms, None);
    for (days, kind) in [(6, "ValidationException"), (31, "ValidationException")] {
        kms.fails(
            "ScheduleKeyDeletion",
            &json!({ "KeyId": key, "PendingWindowInDays": days }),
            kind,
        );
    }
    assert!(
        kms.fails("CancelKeyDeletion", &id, "KMSInvalidStateException")
            .contains("is not pending deletion")
    );
    kms.call(
        "ScheduleKeyDeletion",
        &json!({ "KeyId": key, "PendingWindowInDays": 7 }),
    );
    all(
        &mut kms,
        Some(("KMSInvalidStateException", format!("{key} is pending deletion."))),
    );
    kms.fails("EnableKey", &id, "KMSInvalidStateException");
    assert_eq!(
        kms.call("DescribeKey", &id)["KeyMetadata"]["KeyState"],
        "PendingDeletion"
    );
    kms.call("CancelKeyDeletion", &id);
    assert_eq!(kms.call("DescribeKey", &id)["KeyMetadata"]["KeyState"], "Disabled");
    kms.call("EnableKey", &id);
    all(&mut kms, None);

    kms.call("CreateAlias", &json!({ "AliasName": "alias/gone", "TargetKeyId": key }));
    kms.call(
        "ScheduleKeyDeletion",
        &json!({ "KeyId": key, "PendingWindowInDays": 7 }),
    );
    kms.mock.advance_clock(8 * DAY);
    kms.fails("DescribeKey", &id, "NotFoundException");
    kms.fails("DescribeKey", &json!({ "KeyId": "alias/gone" }), "NotFoundException");
    kms.fails("Decrypt", &json!({ "CiphertextBlob": blob }), "AccessDeniedException");
}

#[test]
fn rotation_changes_the_material_and_old_blobs_open() {
    let mut kms = Kms::new();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    let material = |kms: &mut Kms, blob: &str| text(&kms.call("Decrypt", &decrypt(blob, &json!({}))), "KeyMaterialId");
    let first = kms.blob(&key, &json!({}));
    let first_material = material(&mut kms, &first);
    assert!(first_material.len() == 64 && first_material.bytes().all(|byte| byte.is_ascii_hexdigit()));
    kms.call("RotateKeyOnDemand", &id);
    let second = kms.blob(&key, &json!({}));
    assert_ne!(material(&mut kms, &second), first_material);
    assert_eq!(material(&mut kms, &first), first_material);

    kms.fails(
        "EnableKeyRotation",
        &json!({ "KeyId": key, "RotationPeriodInDays": 89 }),
        "ValidationException",
    );
    kms.call(
        "EnableKeyRotation",
        &json!({ "KeyId": key, "RotationPeriodInDays": 90 }),
    );
    assert_eq!(kms.call("GetKeyRotationStatus", &id)["RotationPeriodInDays"], 90);
    kms.mock.advance_clock(91 * DAY);
    let third = kms.blob(&key, &json!({}));
    assert!(![&first_material, &material(&mut kms, &second)].contains(&&material(&mut kms, &third)));
    assert_eq!(material(&mut kms, &first), first_material);
    let rotations = kms.call("ListKeyRotations", &id)["Rotations"].clone();
    let types: Vec<_> = rotations
        .as_array()
        .unwrap()
        .iter()
        .map(|rotation| text(rotation, "RotationType"))
        .collect();
    assert_eq!(types, ["ON_DEMAND", "AUTOMATIC"]);
    kms.call("DisableKeyRotation", &id);
    assert_eq!(kms.call("GetKeyRotationStatus", &id)["KeyRotationEnabled"], false);
    for _ in 1..25 {
        kms.call("RotateKeyOnDemand", &id);
    }
    kms.fails("RotateKeyOnDemand", &id, "LimitExceededException");
    let settings = Settings {
        on_demand_rotations: 26,
        ..Settings::default()
    };
    kms.mock.faults().set_settings(settings).unwrap();
    kms.call("RotateKeyOnDemand", &id);
    kms.fails("RotateKeyOnDemand", &id, "LimitExceededException");
    material(&mut kms, &first);
}

#[test]
fn a_dry_run_never_succeeds() {
    let mut kms = Kms::new();
    let (key, other) = (kms.key(), kms.key());
    let blob = kms.blob(&key, &json!({}));
    for (operation, body) in [
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_256", "DryRun": true }),
        ),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": "AAAA", "DryRun": true })),
        ("Decrypt", json!({ "CiphertextBlob": blob, "DryRun": true })),
        (
            "ReEncrypt",
            json!({ "CiphertextBlob": blob, "DestinationKeyId": other, "DryRun": true }),
        ),
    ] {
        kms.fails(operation, &body, "DryRunOperationException");
    }
    let wrong = json!({ "CiphertextBlob": blob, "EncryptionContext": { "a": "b" }, "DryRun": true });
    kms.fails("Decrypt", &wrong, "InvalidCiphertextException");
}

/// Access keys that begin with GRANTEE may do what grants permit, under the contexts that they permit.
#[test]
fn grants_permit_their_operations_under_their_contexts_only() {
    let mut kms = Kms::new();
    let key = kms.key();
    let (one, two) = (json!({ "a": "1" }), json!({ "a": "1", "b": "2" }));
    let grant = |who: &str, rule: &str| {
        json!({
            "KeyId": key,
            "GranteePrincipal": format!("arn:aws:iam::000000000000:user/{who}"),
            "Operations": ["GenerateDataKey", "Decrypt"],
            "Constraints": { rule: one },
        })
    };
    let equals = kms.call("CreateGrant", &grant("GRANTEE-E", "EncryptionContextEquals"));
    kms.call("CreateGrant", &grant("GRANTEE-S", "EncryptionContextSubset"));
    let generate = |context: &Value| json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context });
    for (who, context, allowed) in [
        ("GRANTEE-E", &one, true),
        ("GRANTEE-E", &two, false),
        ("GRANTEE-S", &one, true),
        ("GRANTEE-S", &two, true),
        ("GRANTEE-S", &json!({ "b": "2" }), false),
        ("GRANTEE-N", &one, false),
        ("AKIDEXAMPLE", &two, true),
    ] {
        let got = kms.call_as(who, "GenerateDataKey", &generate(context));
        assert_eq!(got.is_ok(), allowed, "{who} {context}: {got:?}");
        if let Err((kind, _)) = got {
            assert_eq!(kind, "AccessDeniedException");
        }
    }
    let encrypt = json!({ "KeyId": key, "Plaintext": "AAAA", "EncryptionContext": one });
    assert_eq!(
        kms.call_as("GRANTEE-E", "Encrypt", &encrypt).unwrap_err().0,
        "AccessDeniedException"
    );
    let listed = kms.call("ListGrants", &json!({ "KeyId": key }));
    assert_eq!(listed["Grants"].as_array().unwrap().len(), 2);
    kms.call("RevokeGrant", &json!({ "KeyId": key, "GrantId": equals["GrantId"] }));
    assert!(kms.call_as("GRANTEE-E", "GenerateDataKey", &generate(&one)).is_err());
}

#[test]
fn awss_own_keys_appear_when_they_are_used_and_are_awss() {
    let mut kms = Kms::new();
    assert_eq!(kms.call("ListAliases", &json!({}))["Aliases"], json!([]));
    let made = kms.call(
        "GenerateDataKey",
        &json!({ "KeyId": "alias/aws/s3", "KeySpec": "AES_256" }),
    );
    let described = kms.call("DescribeKey", &json!({ "KeyId": "alias/aws/s3" }));
    assert_eq!(described["KeyMetadata"]["KeyManager"], "AWS");
    assert_eq!(described["KeyMetadata"]["Arn"], made["KeyId"]);
    let id = json!({ "KeyId": made["KeyId"] });
    for operation in ["DisableKey", "ScheduleKeyDeletion", "RotateKeyOnDemand"] {
        kms.fails(operation, &id, "AccessDeniedException");
    }
    kms.fails(
        "DescribeKey",
        &json!({ "KeyId": "alias/aws/none" }),
        "NotFoundException",
    );
    let key = kms.key();
    let reserved = json!({ "AliasName": "alias/aws/mine", "TargetKeyId": key });
    kms.fails("CreateAlias", &reserved, "NotAuthorizedException");
}

#[test]
fn the_audit_log_shows_contexts_as_they_were_sent_and_no_secret() {
    let mut kms = Kms::new();
    let key = kms.key();
    let context = json!({ "aws:s3:arn": "arn:aws:s3:::bucket/key" });
    let made = kms.call(
        "GenerateDataKey",
        &json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context }),
    );
    let blob = text(&made, "CiphertextBlob");
    kms.call("Decrypt", &decrypt(&blob, &context));
    kms.fails(
        "Decrypt",
        &decrypt(&blob, &json!({ "a": "b" })),
        "InvalidCiphertextException",
    );
    kms.call("Encrypt", &json!({ "KeyId": key, "Plaintext": made["Plaintext"] }));
    let events = kms.mock.audit_events();
    let [generated, opened, refused] = [1, 2, 3].map(|number| &events[number]);
    for (event, name, context) in [
        (generated, "GenerateDataKey", &context),
        (opened, "Decrypt", &context),
        (refused, "Decrypt", &json!({ "a": "b" })),
    ] {
        assert_eq!(event["eventName"], name);
        assert_eq!(event["requestParameters"]["encryptionContext"], *context);
        assert_eq!(event["eventSource"], "kms.amazonaws.com");
        assert_eq!(event["eventVersion"], "1.11");
        assert_eq!(event["resources"][0]["ARN"], json!(key));
        assert_eq!(event["responseElements"], Value::Null);
        assert_eq!(event["readOnly"], true);
        assert_eq!(event["userIdentity"]["accessKeyId"], "AKIDEXAMPLE");
    }
    assert_eq!(opened["requestParameters"]["encryptionAlgorithm"], "SYMMETRIC_DEFAULT");
    assert_eq!(opened["additionalEventData"]["keyMaterialId"], made["KeyMaterialId"]);
    assert_eq!(opened.get("errorCode"), None);
    assert_eq!(refused["errorCode"], "InvalidCiphertextException");
    let log = json!(events).to_string();
    for secret in [&blob, &text(&made, "Plaintext")] {
        assert!(!log.contains(secret.as_str()), "{secret}");
    }
}

/// The answer and the log stay short, no matter how many violations there are.
#[test]
fn a_request_of_many_errors_gets_a_short_answer() {
    let mut kms = Kms::new();
    let tags = vec![json!({ "TagKey": "" }); 15_000];
    let message = kms.fails("CreateKey", &json!({ "Tags": tags }), "ValidationException");
    assert!(
        message.starts_with("30000 validation errors") && message.len() < 8 * 1024,
        "{}",
        message.len()
    );
    assert!(json!(kms.mock.audit_events()).to_string().len() < 64 * 1024);
}

#[test]
fn a_grant_is_never_wider_than_it_was_asked_for() {
    let mut kms = Kms::new();
    let key = kms.key();
    let grant = |member: &str, value: &Value| {
        let mut body = json!({ "KeyId": key, "GranteePrincipal": "arn:aws:iam::1:user/x", "Operations": ["Decrypt"] });
        body[member] = value.clone();
        body
    };
    for (member, value, kind) in [
        ("Constraints", json!({ "SourceArn": "arn:x" }), "SerializationException"),
        (
            "GranteeServicePrincipal",
            json!("s3.amazonaws.com"),
            "UnsupportedOperationException",
        ),
        ("GranteePrincipal", json!("somebody"), "InvalidArnException"),
        ("KeyId", json!("alias/a"), "NotFoundException"),
    ] {
        kms.fails("CreateGrant", &grant(member, &value), kind);
    }
    assert_eq!(kms.client.call("ListKeys", "[1]").kind(), "SerializationException");
}

#[test]
fn a_state_file_has_one_mock_at_a_time_and_keeps_the_clock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let start = || MockKms::builder().state(&path).key("alias/a").start();
    let first = start().unwrap();
    assert!(start().unwrap_err().to_string().contains("another mock uses it"));
    first.advance_clock(30 * DAY);
    drop(first);
    let mock = start().unwrap();
    let client = Client::new(&mock.endpoint());
    let mut again = Kms { mock, client };
    let made = again.key();
    let created = again.call("DescribeKey", &json!({ "KeyId": made }))["KeyMetadata"]["CreationDate"]
        .as_f64()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(created > (now + 29 * DAY).as_secs_f64());
    let nowhere = MockKms::builder().state("/no/such/directory/state").start();
    assert!(nowhere.unwrap_err().to_string().contains("/no/such/directory"));
}
