//! Grants: for callers whose access keys begin with `GRANTEE`.

use super::*;

fn arn(user: &str) -> String {
    format!("arn:aws:iam::000000000000:user/{user}")
}

fn grant(key: &str, user: &str, operations: &[&str]) -> Value {
    json!({ "KeyId": key, "GranteePrincipal": arn(user), "Operations": operations })
}

#[test]
fn a_token_works_before_everybody_knows_of_the_grant() {
    let kms = Kms::new();
    let (key, other) = (kms.key(), kms.key());
    let delay = Duration::from_secs(3600);
    kms.service.set_propagation_delay(delay);
    let token = &kms.call("CreateGrant", &grant(&key, "GRANTEE1", &["GenerateDataKey"]))["GrantToken"];
    let request = |key: &str, tokens: Value| {
        let mut request = data_key(key, &json!({}));
        request["GrantTokens"] = tokens;
        request
    };
    let kind = |user: &str, body: &Value| kms.call_as(user, "GenerateDataKey", body).err().map(|error| error.kind);
    let denied = Some("AccessDeniedException".to_owned());
    assert_eq!(kind("GRANTEE1", &request(&key, json!(null))), denied);
    assert_eq!(kind("GRANTEE1", &request(&key, json!([token]))), None);
    assert_eq!(
        kind("GRANTEE2", &request(&key, json!([token]))),
        denied,
        "a token is for its grantee"
    );
    assert_eq!(
        kind("GRANTEE1", &request(&other, json!([token]))),
        denied,
        "and for its key"
    );
    for user in ["GRANTEE1", "AKID"] {
        for garbage in ["x", &"0".repeat(160), "é".repeat(40).as_str()] {
            let got = kind(user, &request(&key, json!([garbage])));
            assert_eq!(got.as_deref(), Some("InvalidGrantTokenException"), "{user} {garbage}");
        }
        let got = kind(user, &request(&key, json!(vec![token; 11])));
        assert_eq!(got.as_deref(), Some("ValidationException"));
    }
    kms.clock.advance(delay);
    assert_eq!(kind("GRANTEE1", &request(&key, json!([]))), None);
}

#[test]
fn a_grantee_does_what_its_grants_say_and_nothing_else() {
    let kms = Kms::new();
    let (key, other) = (kms.key(), kms.key());
    let blob = &kms.data_key(&key, &json!({}))["CiphertextBlob"];
    let calls = [
        ("GenerateDataKey", "GenerateDataKey", data_key(&key, &json!({}))),
        (
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyWithoutPlaintext",
            data_key(&key, &json!({})),
        ),
        ("Encrypt", "Encrypt", json!({ "KeyId": key, "Plaintext": "AAAA" })),
        ("Decrypt", "Decrypt", json!({ "CiphertextBlob": blob })),
        ("DescribeKey", "DescribeKey", json!({ "KeyId": key })),
        (
            "CreateGrant",
            "CreateGrant",
            grant(&key, "GRANTEE9", &["CreateGrant", "RetireGrant"]),
        ),
    ];
    for (number, (permission, ..)) in calls.iter().enumerate() {
        let user = format!("GRANTEE{number}");
        // One of CreateGrant alone is refused.
        kms.call("CreateGrant", &grant(&key, &user, &[permission, "RetireGrant"]));
        for (needed, operation, body) in &calls {
            let got = kms.call_as(&user, operation, body);
            assert_eq!(got.is_ok(), needed == permission, "{permission}: {operation}: {got:?}");
        }
    }
    let both = json!({ "CiphertextBlob": blob, "DestinationKeyId": other });
    kms.call("CreateGrant", &grant(&key, "GRANTEE-R", &["ReEncryptFrom"]));
    assert_eq!(
        kms.call_as("GRANTEE-R", "ReEncrypt", &both).unwrap_err().kind,
        "AccessDeniedException"
    );
    kms.call("CreateGrant", &grant(&other, "GRANTEE-R", &["ReEncryptTo"]));
    kms.call_as("GRANTEE-R", "ReEncrypt", &both).unwrap();

    let id = json!({ "KeyId": key });
    for operation in [
        "DisableKey",
        "ListGrants",
        "RevokeGrant",
        "GetKeyRotationStatus",
        "ListKeys",
        "CreateKey",
        "GenerateRandom",
    ] {
        assert_eq!(
            kms.call_as("GRANTEE0", operation, &id).unwrap_err().kind,
            "AccessDeniedException"
        );
    }
}

#[test]
fn what_a_grantee_passes_on_is_no_wider_than_what_it_has() {
    let kms = Kms::new();
    let key = kms.key();
    let with = |user: &str, operations: &[&str], constraints: Value| {
        let mut grant = grant(&key, user, operations);
        grant["Constraints"] = constraints;
        grant
    };
    kms.call(
        "CreateGrant",
        &with(
            "GRANTEE1",
            &["CreateGrant", "Decrypt"],
            json!({ "EncryptionContextSubset": { "a": "1" } }),
        ),
    );
    for (operations, constraints, allowed) in [
        (
            &["Decrypt"][..],
            json!({ "EncryptionContextSubset": { "a": "1" } }),
            true,
        ),
        (
            &["Decrypt"],
            json!({ "EncryptionContextEquals": { "a": "1", "b": "2" } }),
            true,
        ),
        (&["Decrypt"], json!({ "EncryptionContextSubset": { "b": "2" } }), false),
        (&["Decrypt"], json!({}), false),
        (
            &["Decrypt", "Encrypt"],
            json!({ "EncryptionContextSubset": { "a": "1" } }),
            false,
        ),
    ] {
        let got = kms.call_as(
            "GRANTEE1",
            "CreateGrant",
            &with("GRANTEE2", operations, constraints.clone()),
        );
        assert_eq!(got.is_ok(), allowed, "{operations:?} {constraints}: {got:?}");
    }
}

#[test]
fn a_grant_is_retired_by_those_it_names_and_revoked_by_the_owner() {
    let kms = Kms::new();
    let key = kms.key();
    let made = || {
        let mut grant = grant(&key, "GRANTEE-USER", &["Decrypt", "RetireGrant"]);
        grant["RetiringPrincipal"] = json!(arn("GRANTEE-RETIRING"));
        kms.call("CreateGrant", &grant)
    };
    let by_token = |made: &Value| json!({ "GrantToken": made["GrantToken"] });
    let by_id = |made: &Value| json!({ "KeyId": key, "GrantId": made["GrantId"] });
    for user in ["GRANTEE-USER", "GRANTEE-RETIRING", "AKID"] {
        for request in [by_token(&made()), by_id(&made())] {
            let stranger = kms.call_as("GRANTEE-OTHER", "RetireGrant", &request).unwrap_err();
            assert_eq!(stranger.kind, "AccessDeniedException");
            kms.call_as(user, "RetireGrant", &request).unwrap();
            assert!(
                kms.call_as(user, "RetireGrant", &request).is_err(),
                "retired is retired"
            );
        }
    }
    let last = made();
    kms.call("RevokeGrant", &by_id(&last));
    kms.fails("RevokeGrant", &by_id(&last), "NotFoundException");
    kms.fails("RetireGrant", &by_token(&last), "InvalidGrantTokenException");
    for request in [json!({}), json!({ "KeyId": key }), json!({ "GrantId": "x" })] {
        kms.fails("RetireGrant", &request, "ValidationException");
    }
    assert_eq!(kms.call("ListGrants", &json!({ "KeyId": key }))["Grants"], json!([]));
}

#[test]
fn a_name_makes_create_grant_repeatable() {
    let kms = Kms::new();
    let key = kms.key();
    let mut named = grant(&key, "u", &["Decrypt"]);
    let unnamed = named.clone();
    named["Name"] = json!("n");
    let first = kms.call("CreateGrant", &named);
    assert_eq!(kms.call("CreateGrant", &named), first);
    named["Operations"] = json!(["Encrypt"]);
    assert_ne!(kms.call("CreateGrant", &named), first);
    assert_ne!(kms.call("CreateGrant", &unnamed), kms.call("CreateGrant", &unnamed));
}

#[test]
fn a_grant_that_could_not_be_kept_to_is_refused() {
    let kms = Kms::new();
    let key = kms.key();
    let pairs = |count: usize| {
        (0..count)
            .map(|n| (n.to_string(), json!("v")))
            .collect::<serde_json::Map<_, _>>()
    };
    for (member, value, kind) in [
        ("Operations", json!([]), Some("ValidationException")),
        ("Operations", json!(["Sign"]), Some("ValidationException")),
        ("Operations", json!(["decrypt"]), Some("ValidationException")),
        ("Operations", json!(["CreateGrant"]), Some("ValidationException")),
        ("Operations", json!(["GenerateDataKeyPair", "Decrypt"]), None),
        ("GranteePrincipal", json!(null), Some("ValidationException")),
        ("GranteePrincipal", json!("a b"), Some("ValidationException")),
        ("GranteePrincipal", json!("alice"), Some("InvalidArnException")),
        ("GranteePrincipal", json!("arn:aws:iam"), Some("InvalidArnException")),
        (
            "GranteePrincipal",
            json!("arn:aws:sts::000000000000:assumed-role/r/s"),
            None,
        ),
        (
            "GranteePrincipal",
            json!("rds.amazonaws.com"),
            Some("InvalidArnException"),
        ),
        ("RetiringPrincipal", json!("bob"), Some("InvalidArnException")),
        (
            "GranteeServicePrincipal",
            json!("rds.us-east-1.amazonaws.com"),
            Some("UnsupportedOperationException"),
        ),
        (
            "Constraints",
            json!({ "SourceArn": "arn:aws:rds:::x" }),
            Some("SerializationException"),
        ),
        ("Constraints", json!({ "EncryptionContextEquals": pairs(8) }), None),
        (
            "Constraints",
            json!({ "EncryptionContextEquals": pairs(9) }),
            Some("ValidationException"),
        ),
        (
            "Constraints",
            json!({ "EncryptionContextSubset": { "k": "v".repeat(385) } }),
            Some("ValidationException"),
        ),
        (
            "Constraints",
            json!({ "EncryptionContextSubset": { "k": 1 } }),
            Some("SerializationException"),
        ),
        ("Name", json!("no spaces"), Some("ValidationException")),
    ] {
        let mut request = grant(&key, "u", &["Decrypt"]);
        request[member] = value.clone();
        let got = kms.try_call("CreateGrant", &request).err().map(|error| error.kind);
        assert_eq!(got.as_deref(), kind, "{member} {value}");
    }
}
