//! Keys and aliases: how they are named, what is wrapped under them, what lists tell.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding as _};

use super::*;

#[test]
fn a_key_has_four_names_where_it_is_used_and_two_where_it_is_managed() {
    let kms = Kms::new();
    let arn = kms.key();
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a/b", "TargetKeyId": arn }));
    let by_id = [id_of(&arn).to_owned(), arn.clone()];
    let by_alias = ["alias/a/b", "arn:aws:kms:us-east-1:000000000000:alias/a/b"];
    let blob = &kms.data_key(&arn, &json!({}))["CiphertextBlob"];
    for name in by_id.iter().map(String::as_str).chain(by_alias) {
        for (operation, body) in [
            ("GenerateDataKey", data_key(name, &json!({}))),
            ("Encrypt", json!({ "KeyId": name, "Plaintext": "AAAA" })),
            ("Decrypt", json!({ "KeyId": name, "CiphertextBlob": blob })),
            (
                "ReEncrypt",
                json!({ "DestinationKeyId": name, "SourceKeyId": name, "CiphertextBlob": blob }),
            ),
        ] {
            assert_eq!(kms.call(operation, &body)["KeyId"], arn, "{operation} {name}");
        }
        let described = kms.call("DescribeKey", &json!({ "KeyId": name }));
        assert_eq!(described["KeyMetadata"]["Arn"], arn, "{name}");
    }
    let managing = [
        "EnableKey",
        "DisableKey",
        "ScheduleKeyDeletion",
        "CancelKeyDeletion",
        "RotateKeyOnDemand",
    ];
    let telling = [
        "EnableKeyRotation",
        "DisableKeyRotation",
        "GetKeyRotationStatus",
        "ListKeyRotations",
    ];
    for operation in managing.into_iter().chain(telling).chain(["ListGrants", "ListAliases"]) {
        for alias in by_alias {
            kms.fails(operation, &json!({ "KeyId": alias }), "NotFoundException");
        }
    }
    for name in by_id {
        kms.call("GetKeyRotationStatus", &json!({ "KeyId": name }));
        let aliases = kms.call("ListAliases", &json!({ "KeyId": name }));
        assert_eq!(aliases["Aliases"][0]["AliasName"], "alias/a/b");
    }
}

#[test]
fn a_name_of_no_key_says_what_is_wrong_with_it() {
    let kms = Kms::new();
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let arn = |region: &str, account: &str, local: &str| format!("arn:aws:kms:{region}:{account}:{local}");
    let (here, account, key) = ("us-east-1", "000000000000", format!("key/{id}"));
    for (name, kind, message) in [
        (
            id.to_owned(),
            "NotFoundException",
            format!("Key '{}' does not exist", arn(here, account, &key)),
        ),
        (
            arn(here, account, &key),
            "NotFoundException",
            format!("Key '{}' does not exist", arn(here, account, &key)),
        ),
        (
            "alias/none".to_owned(),
            "NotFoundException",
            format!("Alias {} is not found.", arn(here, account, "alias/none")),
        ),
        (
            "none".to_owned(),
            "NotFoundException",
            "Invalid keyId 'none'".to_owned(),
        ),
        (
            "mrk-1234abcd12ab34cd56ef1234567890ab".to_owned(),
            "NotFoundException",
            format!(
                "Key '{}' does not exist",
                arn(here, account, "key/mrk-1234abcd12ab34cd56ef1234567890ab")
            ),
        ),
        (
            "mrk-1234".to_owned(),
            "NotFoundException",
            "Invalid keyId 'mrk-1234'".to_owned(),
        ),
        (id.replace('-', ""), "NotFoundException", String::new()),
        (format!("{{{id}}}"), "NotFoundException", String::new()),
        (
            arn("eu-west-1", account, &key),
            "NotFoundException",
            "Invalid arn eu-west-1".to_owned(),
        ),
        (arn(here, "111111111111", &key), "AccessDeniedException", String::new()),
        (arn(here, account, "grant/x"), "InvalidArnException", String::new()),
        (arn(here, account, ""), "InvalidArnException", String::new()),
        (
            arn(here, account, &key).replace(":kms:", ":s3:"),
            "InvalidArnException",
            String::new(),
        ),
        (
            arn(here, account, &key).replace(":aws:", ":aws-cn:"),
            "InvalidArnException",
            String::new(),
        ),
        ("arn:".to_owned(), "InvalidArnException", String::new()),
        (String::new(), "ValidationException", String::new()),
        ("x".repeat(2049), "ValidationException", String::new()),
    ] {
        let got = kms.fails("DescribeKey", &json!({ "KeyId": name }), kind);
        assert!(message.is_empty() || got == message, "{name}: {got}");
    }
}

#[test]
fn contexts_have_a_size_and_may_be_null_or_any_text() {
    let kms = Kms::new();
    let key = kms.key();
    let none = kms.data_key(&key, &Value::Null);
    for context in [Value::Null, json!({})] {
        kms.call(
            "Decrypt",
            &json!({ "CiphertextBlob": none["CiphertextBlob"], "EncryptionContext": context }),
        );
    }
    for (pairs, kind) in [
        (json!({ "k": "v".repeat(8191) }), None),
        (json!({ "k": "v".repeat(8192) }), Some("ValidationException")),
        (json!({ "ключ": "値", "\u{0}": "", "a\nb": "\u{1f511}" }), None),
        (json!({ "k": null }), Some("SerializationException")),
        (json!({ "k": 1 }), Some("SerializationException")),
        (json!({ "k": ["v"] }), Some("SerializationException")),
        (json!(["k", "v"]), Some("SerializationException")),
        (json!("k"), Some("SerializationException")),
    ] {
        let made = kms.try_call("GenerateDataKey", &data_key(&key, &pairs));
        assert_eq!(made.as_ref().err().map(|error| error.kind.as_str()), kind, "{pairs}");
        if let Ok(made) = made {
            let opened = json!({ "CiphertextBlob": made["CiphertextBlob"], "EncryptionContext": pairs });
            assert_eq!(kms.call("Decrypt", &opened)["Plaintext"], made["Plaintext"]);
        }
    }
}

/// A flip in the id of the key names another key, which is not there; all others say nothing at all.
#[test]
fn every_flipped_bit_of_a_blob_is_refused() {
    let kms = Kms::new();
    let key = kms.key();
    let made = kms.data_key(&key, &json!({}));
    let blob = Base64::decode_vec(made["CiphertextBlob"].as_str().unwrap()).unwrap();
    for bit in 0..blob.len() * 8 {
        let mut altered = blob.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let body = json!({ "CiphertextBlob": Base64::encode_string(&altered) });
        if (8..17 * 8).contains(&bit) {
            kms.fails("Decrypt", &body, "AccessDeniedException");
        } else {
            assert_eq!(
                kms.fails("Decrypt", &body, "InvalidCiphertextException"),
                "",
                "bit {bit}"
            );
        }
    }
}

#[test]
fn re_encrypt_moves_a_secret_between_keys_and_contexts() {
    let kms = Kms::new();
    let (one, two) = (kms.key(), kms.key());
    let (before, after) = (json!({ "a": "1" }), json!({ "b": "2" }));
    let made = kms.data_key(&one, &before);
    let request = json!({
        "CiphertextBlob": made["CiphertextBlob"], "SourceEncryptionContext": before,
        "DestinationKeyId": two, "DestinationEncryptionContext": after,
    });
    let moved = kms.call("ReEncrypt", &request);
    assert_eq!((&moved["SourceKeyId"], &moved["KeyId"]), (&json!(one), &json!(two)));
    assert_eq!(moved["SourceKeyMaterialId"], made["KeyMaterialId"]);
    let opened = kms.call(
        "Decrypt",
        &json!({ "CiphertextBlob": moved["CiphertextBlob"], "EncryptionContext": after }),
    );
    assert_eq!(opened["Plaintext"], made["Plaintext"]);
    assert_eq!(opened["KeyMaterialId"], moved["DestinationKeyMaterialId"]);

    let changed = |member: &str, value: Value| {
        let mut request = request.clone();
        request[member] = value;
        request
    };
    for (member, value, kind) in [
        ("SourceKeyId", json!(two), "IncorrectKeyException"),
        ("SourceEncryptionContext", json!({}), "InvalidCiphertextException"),
        ("DestinationKeyId", json!("alias/none"), "NotFoundException"),
        ("DestinationKeyId", Value::Null, "ValidationException"),
        (
            "SourceEncryptionAlgorithm",
            json!("RSAES_OAEP_SHA_256"),
            "InvalidKeyUsageException",
        ),
        ("DestinationEncryptionAlgorithm", json!("ROT13"), "ValidationException"),
        (
            "DryRunModifiers",
            json!(["IGNORE_CIPHERTEXT"]),
            "UnsupportedOperationException",
        ),
    ] {
        kms.fails("ReEncrypt", &changed(member, value), kind);
    }
}

#[test]
fn create_key_makes_symmetric_keys_and_says_no_to_others() {
    let kms = Kms::new();
    let metadata = &kms.call(
        "CreateKey",
        &json!({ "Description": "d", "KeySpec": "SYMMETRIC_DEFAULT" }),
    )["KeyMetadata"];
    assert_eq!(metadata["Description"], "d");
    assert_eq!(
        (&metadata["KeyState"], &metadata["KeyManager"]),
        (&json!("Enabled"), &json!("CUSTOMER"))
    );
    for (body, kind) in [
        (
            json!({ "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY" }),
            "UnsupportedOperationException",
        ),
        (json!({ "Origin": "EXTERNAL" }), "UnsupportedOperationException"),
        (json!({ "CustomKeyStoreId": "cks-1" }), "UnsupportedOperationException"),
        (json!({ "XksKeyId": "x" }), "UnsupportedOperationException"),
        (
            json!({ "KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT" }),
            "ValidationException",
        ),
        (json!({ "Description": "d".repeat(8193) }), "ValidationException"),
        (
            json!({ "Tags": [{ "TagKey": "", "TagValue": "" }] }),
            "ValidationException",
        ),
        (json!({ "KeySpec": "AES_256" }), "ValidationException"),
        (json!({ "CustomerMasterKeySpec": "AES_256" }), "ValidationException"),
        (json!({ "KeyUsage": "WRAP" }), "ValidationException"),
        (json!({ "Origin": "AWS" }), "ValidationException"),
    ] {
        kms.fails("CreateKey", &body, kind);
    }
    assert_eq!(kms.call("ListKeys", &json!({}))["Keys"].as_array().unwrap().len(), 1);
}

#[test]
fn aliases_point_to_one_key_and_are_turned() {
    let kms = Kms::new();
    let (one, two) = (kms.key(), kms.key());
    let alias = |target: &str| json!({ "AliasName": "alias/a", "TargetKeyId": target });
    kms.fails("UpdateAlias", &alias(&one), "NotFoundException");
    kms.call("CreateAlias", &alias(id_of(&one)));
    kms.fails("CreateAlias", &alias(&two), "AlreadyExistsException");
    let blob = &kms.data_key("alias/a", &json!({}))["CiphertextBlob"];
    kms.call("UpdateAlias", &alias(&two));
    assert_eq!(kms.data_key("alias/a", &json!({}))["KeyId"], two);
    kms.fails(
        "Decrypt",
        &json!({ "KeyId": "alias/a", "CiphertextBlob": blob }),
        "IncorrectKeyException",
    );
    assert!(kms.decrypts(blob));
    kms.call("DeleteAlias", &json!({ "AliasName": "alias/a" }));
    kms.fails("DeleteAlias", &json!({ "AliasName": "alias/a" }), "NotFoundException");
    for (name, kind) in [
        ("a", "ValidationException"),
        ("alias/", "InvalidAliasNameException"),
        ("alias/my:a", "ValidationException"),
        ("alias/ä", "ValidationException"),
        ("", "ValidationException"),
        ("alias/aws/s3", "NotAuthorizedException"),
    ] {
        for operation in ["CreateAlias", "UpdateAlias", "DeleteAlias"] {
            kms.fails(operation, &json!({ "AliasName": name, "TargetKeyId": one }), kind);
        }
    }
    kms.fails(
        "CreateAlias",
        &json!({ "AliasName": "alias/b", "TargetKeyId": "alias/a" }),
        "ValidationException",
    );
}

#[test]
fn pages_give_everything_once() {
    let kms = Kms::new();
    let keys: BTreeSet<String> = (0..5).map(|_| kms.key()).collect();
    let target = keys.first().unwrap();
    for name in 0..5 {
        kms.call(
            "CreateAlias",
            &json!({ "AliasName": format!("alias/{name}"), "TargetKeyId": target }),
        );
        kms.call("RotateKeyOnDemand", &json!({ "KeyId": target }));
        let grantee = format!("arn:aws:iam::000000000000:user/{name}");
        kms.call(
            "CreateGrant",
            &json!({ "KeyId": target, "GranteePrincipal": grantee, "Operations": ["Decrypt"] }),
        );
    }
    for (operation, list, member) in [
        ("ListKeys", "Keys", "KeyArn"),
        ("ListAliases", "Aliases", "AliasName"),
        ("ListGrants", "Grants", "GrantId"),
        ("ListKeyRotations", "Rotations", "KeyMaterialId"),
    ] {
        let mut seen = BTreeSet::new();
        let mut request = json!({ "KeyId": target, "Limit": 2 });
        for size in [2, 2, 1] {
            let page = kms.call(operation, &request);
            let items = page[list].as_array().unwrap();
            assert_eq!(items.len(), size, "{operation}");
            assert!(items.iter().all(|item| seen.insert(text(&item[member]))), "{operation}");
            assert_eq!(page["Truncated"], size == 2);
            assert_eq!(page.get("NextMarker").is_some(), size == 2);
            request["Marker"] = page["NextMarker"].clone();
        }
        for (member, value, kind) in [
            ("Limit", json!(0), "ValidationException"),
            ("Limit", json!(1001), "ValidationException"),
            ("Marker", json!(""), "ValidationException"),
            ("Marker", json!("?"), "InvalidMarkerException"),
        ] {
            kms.fails(operation, &json!({ "KeyId": target, member: value }), kind);
        }
    }
    let first = kms.call("ListGrants", &json!({ "KeyId": target, "Limit": 2 }));
    kms.call(
        "RevokeGrant",
        &json!({ "KeyId": target, "GrantId": first["NextMarker"] }),
    );
    let rest = kms.call("ListGrants", &json!({ "KeyId": target, "Marker": first["NextMarker"] }));
    assert_eq!(
        rest["Grants"].as_array().unwrap().len(),
        3,
        "the grant of a marker may be gone"
    );
}

#[test]
fn dry_runs_end_as_the_call_would_and_change_nothing() {
    let kms = Kms::new();
    let key = kms.key();
    let made = kms.data_key(&key, &json!({}));
    let grant =
        json!({ "KeyId": key, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"] });
    let granted = kms.call("CreateGrant", &grant);
    let calls = [
        ("GenerateDataKey", data_key(&key, &json!({}))),
        ("GenerateDataKeyWithoutPlaintext", data_key(&key, &json!({}))),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": "AAAA" })),
        ("Decrypt", json!({ "CiphertextBlob": made["CiphertextBlob"] })),
        (
            "ReEncrypt",
            json!({ "CiphertextBlob": made["CiphertextBlob"], "DestinationKeyId": key }),
        ),
        ("CreateGrant", grant),
        ("RevokeGrant", json!({ "KeyId": key, "GrantId": granted["GrantId"] })),
        ("RetireGrant", json!({ "GrantToken": granted["GrantToken"] })),
    ];
    let dry = |body: &Value| {
        let mut body = body.clone();
        body["DryRun"] = json!(true);
        body
    };
    for (operation, body) in &calls {
        kms.fails(operation, &dry(body), "DryRunOperationException");
    }
    assert_eq!(
        kms.call("ListGrants", &json!({ "KeyId": key }))["Grants"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    kms.call("DisableKey", &json!({ "KeyId": key }));
    for (operation, body) in &calls[..6] {
        kms.fails(operation, &dry(body), "DisabledException");
    }
}
