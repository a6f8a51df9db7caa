//! What the audit log says of a call.

use std::os::unix::fs::PermissionsExt as _;

use base64ct::{Base64, Encoding as _};

use super::*;

/// Takes out what differs from call to call, once its form is checked.
fn without_chance(mut event: Value) -> Value {
    let members = event.as_object_mut().unwrap();
    let time = text(&members.remove("eventTime").unwrap());
    assert!(
        time.len() == 20 && time.ends_with('Z') && time.starts_with("20"),
        "{time}"
    );
    let id = text(&members.remove("eventID").unwrap());
    assert!(uuid::Uuid::try_parse(&id).is_ok(), "{id}");
    event
}

/// An event but for what the caller gives.
fn expected(name: &str, key: &str, rest: &Value) -> Value {
    let mut event = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AKID",
            "arn": "arn:aws:iam::000000000000:user/AKID",
            "accountId": "000000000000",
            "accessKeyId": "AKID",
            "userName": "AKID",
        },
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "a client",
        "responseElements": null,
        "requestID": "the-request-id",
        "readOnly": true,
        "resources": [{ "accountId": "000000000000", "type": "AWS::KMS::Key", "ARN": key }],
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": "000000000000",
        "eventCategory": "Management",
        "tlsDetails": { "clientProvidedHostHeader": "localhost:8600" },
    });
    for (member, value) in rest.as_object().unwrap() {
        event[member] = value.clone();
    }
    event
}

#[test]
fn events_are_cloudtrails_field_by_field() {
    let kms = Kms::audited(20);
    let key = kms.key();
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key }));
    let context = json!({ "aws:s3:arn": "arn:aws:s3:::bucket/key" });
    let made = kms.data_key("alias/a", &context);
    let material = json!({ "keyMaterialId": made["KeyMaterialId"] });
    let parameters = json!({ "keyId": "alias/a", "keySpec": "AES_256", "encryptionContext": context });
    let rest = json!({ "requestParameters": parameters, "additionalEventData": material });
    assert_eq!(
        without_chance(kms.last_event()),
        expected("GenerateDataKey", &key, &rest)
    );

    let blob = &made["CiphertextBlob"];
    kms.call(
        "Decrypt",
        &json!({ "CiphertextBlob": blob, "EncryptionContext": context }),
    );
    let parameters = json!({ "encryptionContext": context, "encryptionAlgorithm": "SYMMETRIC_DEFAULT" });
    let rest = json!({ "requestParameters": parameters, "additionalEventData": material });
    assert_eq!(without_chance(kms.last_event()), expected("Decrypt", &key, &rest));

    kms.fails(
        "Decrypt",
        &json!({ "CiphertextBlob": blob, "KeyId": key }),
        "InvalidCiphertextException",
    );
    let parameters = json!({ "keyId": key, "encryptionAlgorithm": "SYMMETRIC_DEFAULT" });
    let rest = json!({ "requestParameters": parameters, "errorCode": "InvalidCiphertextException" });
    assert_eq!(without_chance(kms.last_event()), expected("Decrypt", &key, &rest));
}

#[test]
fn failures_have_a_code_and_the_message_of_the_answer() {
    let kms = Kms::audited(20);
    let key = kms.key();
    kms.call("DisableKey", &json!({ "KeyId": key }));
    for (user, body, code) in [
        (
            "AKID",
            json!({ "KeyId": key, "NumberOfBytes": 16 }),
            "DisabledException",
        ),
        (
            "AKID",
            json!({ "KeyId": "alias/none", "NumberOfBytes": 16 }),
            "NotFoundException",
        ),
        (
            "AKID",
            json!({ "KeyId": key, "NumberOfBytes": 0 }),
            "ValidationException",
        ),
        ("AKID", json!([]), "SerializationException"),
        // CloudTrail's own name of AccessDeniedException.
        ("GRANTEE", json!({ "KeyId": key, "NumberOfBytes": 16 }), "AccessDenied"),
    ] {
        let error = kms.call_as(user, "GenerateDataKey", &body).unwrap_err();
        let event = kms.last_event();
        assert_eq!(event["errorCode"], code);
        assert_eq!(event["errorMessage"], error.message);
        assert_eq!(event["responseElements"], Value::Null);
        assert_eq!(event["userIdentity"]["accessKeyId"], user);
        let given = if body.is_array() { &Value::Null } else { &body["KeyId"] };
        assert_eq!(event["requestParameters"]["keyId"], *given, "as it was given");
    }
}

#[test]
fn what_changes_keys_says_which() {
    let kms = Kms::audited(20);
    let arn = kms.key();
    let created = kms.last_event();
    assert_eq!(created["responseElements"]["keyMetadata"]["arn"], arn);
    assert_eq!(
        created["responseElements"]["keyMetadata"]["AWSAccountId"],
        "000000000000"
    );
    assert_eq!(created["readOnly"], false);

    let id = json!({ "KeyId": id_of(&arn) });
    for operation in [
        "DisableKey",
        "EnableKey",
        "EnableKeyRotation",
        "RotateKeyOnDemand",
        "DisableKeyRotation",
    ] {
        kms.call(operation, &id);
        let event = kms.last_event();
        assert_eq!(event["responseElements"], json!({ "keyId": arn }), "{operation}");
        assert_eq!(event["requestParameters"]["keyId"], id_of(&arn), "{operation}");
        assert_eq!(event["resources"][0]["ARN"], arn, "{operation}");
    }
    let alias = json!({ "AliasName": "alias/a", "TargetKeyId": arn });
    for operation in ["CreateAlias", "UpdateAlias", "DeleteAlias"] {
        kms.call(operation, &alias);
        let event = kms.last_event();
        assert_eq!(event["responseElements"], json!({ "keyId": arn }), "{operation}");
        assert_eq!(event["requestParameters"]["aliasName"], "alias/a");
        assert_eq!(
            event["resources"][1]["ARN"], "arn:aws:kms:us-east-1:000000000000:alias/a",
            "{operation}"
        );
    }
    let made = kms.call(
        "CreateGrant",
        &json!({
            "KeyId": arn, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"],
            "Constraints": { "EncryptionContextSubset": { "a": "1" } },
        }),
    );
    let event = kms.last_event();
    assert_eq!(
        event["responseElements"],
        json!({ "grantId": made["GrantId"], "keyId": arn })
    );
    assert_eq!(
        event["requestParameters"]["constraints"],
        json!({ "encryptionContextSubset": { "a": "1" } })
    );
    kms.call("ScheduleKeyDeletion", &id);
    assert_eq!(kms.last_event()["responseElements"]["keyState"], "PendingDeletion");
}

/// In base64, in hex, or as the bytes are: nowhere in the log.
#[test]
fn no_plaintext_ciphertext_or_token_is_in_any_event() {
    let kms = Kms::audited(20);
    let key = kms.key();
    let context = json!({ "a": "1" });
    let made = kms.data_key(&key, &context);
    let secret = b"thirty-two bytes that are secret";
    let plaintext = Base64::encode_string(secret);
    let wrapped = kms.call(
        "Encrypt",
        &json!({ "KeyId": key, "Plaintext": plaintext, "EncryptionContext": context }),
    );
    let blob = &wrapped["CiphertextBlob"];
    let opened = json!({ "CiphertextBlob": blob, "EncryptionContext": context });
    assert_eq!(kms.call("Decrypt", &opened)["Plaintext"], plaintext);
    let moved = kms.call(
        "ReEncrypt",
        &json!({ "CiphertextBlob": blob, "SourceEncryptionContext": context, "DestinationKeyId": key }),
    );
    let bare = kms.call("GenerateDataKeyWithoutPlaintext", &data_key(&key, &context));
    let random = kms.call("GenerateRandom", &json!({ "NumberOfBytes": 32 }));
    kms.fails(
        "Decrypt",
        &json!({ "CiphertextBlob": blob }),
        "InvalidCiphertextException",
    );
    kms.fails(
        "Encrypt",
        &json!({ "KeyId": "alias/none", "Plaintext": plaintext }),
        "NotFoundException",
    );
    kms.fails(
        "Encrypt",
        &json!({ "KeyId": key, "Plaintext": plaintext, "DryRun": true }),
        "DryRunOperationException",
    );
    kms.fails(
        "Decrypt",
        &json!({ "CiphertextBlob": plaintext, "KeyId": 1 }),
        "SerializationException",
    );
    let granted = kms.call(
        "CreateGrant",
        &json!({ "KeyId": key, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"] }),
    );
    kms.call("RetireGrant", &json!({ "GrantToken": granted["GrantToken"] }));

    let events = kms.service.audit().events();
    assert_eq!(events.len(), 13);
    let log = json!(events).to_string();
    assert!(log.contains(r#""encryptionContext":{"a":"1"}"#));
    assert!(!log.contains(&text(&granted["GrantToken"])));
    for answer in [&made["Plaintext"], &random["Plaintext"], &json!(plaintext), blob]
        .into_iter()
        .chain([&made, &moved, &bare].map(|answer| &answer["CiphertextBlob"]))
    {
        let base64 = text(answer);
        let bytes = Base64::decode_vec(&base64).unwrap();
        // The start of a blob is the key's id, and that is no secret: its end is looked for.
        let tail = &bytes[bytes.len() - 16..];
        let hex: String = tail.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64_tail = base64.trim_end_matches('=');
        let base64_tail = &base64_tail[base64_tail.len() - 20..];
        assert!(
            !log.contains(base64_tail) && !log.to_ascii_lowercase().contains(&hex),
            "{base64}"
        );
    }
    assert!(!log.contains("thirty-two bytes"));
}

#[test]
fn the_file_is_its_owners_and_is_added_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    for _ in 0..2 {
        let kms = Kms::with(ServiceConfig {
            audit: AuditLog::to_file(&path).unwrap(),
            ..ServiceConfig::default()
        })
        .unwrap();
        kms.key();
        kms.fails("DescribeKey", &json!({ "KeyId": "line\nfeed" }), "NotFoundException");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let log = std::fs::read_to_string(&path).unwrap();
    let names: Vec<_> = log
        .lines()
        .map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["eventName"]))
        .collect();
    assert_eq!(names, ["CreateKey", "DescribeKey", "CreateKey", "DescribeKey"]);
}
