//! Whatever comes: an answer or an error of AWS's, and never a panic.

use proptest::prelude::*;

use super::*;

const MEMBERS: &[&str] = &[
    "KeyId",
    "EncryptionContext",
    "NumberOfBytes",
    "KeySpec",
    "GrantTokens",
    "DryRun",
    "Recipient",
    "Plaintext",
    "CiphertextBlob",
    "EncryptionAlgorithm",
    "SourceEncryptionContext",
    "SourceKeyId",
    "DestinationKeyId",
    "DestinationEncryptionContext",
    "Description",
    "Tags",
    "Policy",
    "Limit",
    "Marker",
    "AliasName",
    "TargetKeyId",
    "PendingWindowInDays",
    "RotationPeriodInDays",
    "IncludeKeyMaterial",
    "GranteePrincipal",
    "RetiringPrincipal",
    "Operations",
    "Constraints",
    "Name",
    "GrantId",
    "GrantToken",
    "MultiRegion",
    "DryRunModifiers",
];

/// JSON of any shape, in which words of the protocol are common.
fn value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "alias/a",
        "alias/aws/s3",
        "AES_256",
        "AAAA",
        "AQ==",
        "Decrypt",
        "SYMMETRIC_DEFAULT",
        "ALL_KEY_MATERIAL",
        "arn:aws:iam::000000000000:root",
        "arn:aws:kms:us-east-1:000000000000:alias/a",
        "arn:aws:kms:",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..3000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner.clone(), 0..4).prop_map(|map| json!(map)),
            inner.prop_map(|pairs| json!({ "EncryptionContextEquals": pairs })),
        ]
    })
}

fn body() -> impl Strategy<Value = Value> {
    let members = prop::collection::hash_map(prop::sample::select(MEMBERS), value(), 0..8);
    prop_oneof![
        4 => members.prop_map(|members| json!(members)),
        // With a key, more of them come further.
        4 => prop::collection::hash_map(prop::sample::select(MEMBERS), value(), 0..5).prop_map(|members| {
            let mut body = json!(members);
            body["KeyId"] = json!("alias/a");
            body
        }),
        1 => value(),
    ]
}

proptest! {
    #[test]
    fn any_json_gets_an_answer_or_an_error(bodies in prop::collection::vec(body(), 1..4)) {
        let kms = Kms::audited(1);
        kms.service.ensure_alias("alias/a").unwrap();
        for body in &bodies {
            for operation in Operation::ALL {
                for user in ["AKID", "GRANTEE"] {
                    if let Err(error) = kms.call_as(user, operation.name(), body) {
                        prop_assert!(error.kind.ends_with("Exception"), "{error:?}");
                        prop_assert_eq!(error.status, 400, "{:?} {} {}", error, operation.name(), body);
                    }
                    prop_assert_eq!(&kms.last_event()["eventName"], operation.name());
                }
            }
        }
    }

    #[test]
    fn any_bytes_get_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let kms = Kms::new();
        for operation in Operation::ALL {
            let got = kms.send("AKID", operation.name(), &bytes);
            let is_json = serde_json::from_slice::<Value>(&bytes).is_ok_and(|body| body.is_object());
            prop_assert!(is_json || got.unwrap_err().kind == "SerializationException");
        }
    }
}

/// To a reader of structs a list of values is one: not to AWS.
#[test]
fn a_request_is_an_object() {
    let kms = Kms::new();
    kms.service.ensure_alias("alias/a").unwrap();
    for operation in Operation::ALL {
        for body in [
            "[\"alias/a\"]",
            " \n[]",
            "null",
            "7",
            "\"alias/a\"",
            "",
            "{",
            "{}{}",
            "{\"KeyId\":}",
            "\u{feff}{}",
        ] {
            let error = kms.send("AKID", operation.name(), body.as_bytes()).unwrap_err();
            assert_eq!(error.kind, "SerializationException", "{} {body}", operation.name());
        }
    }
}
