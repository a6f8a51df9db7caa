//! Regions: each has its own keys, and some keys have relatives in others.

use super::*;

const HERE: &str = "us-east-1";
const THERE: &str = "eu-west-1";

/// The id of a new multi-region key, and that it is in `HERE` and `THERE`.
fn replicated(kms: &Kms) -> String {
    let made = kms.call("CreateKey", &json!({ "MultiRegion": true }));
    let id = text(&made["KeyMetadata"]["KeyId"]);
    kms.call("ReplicateKey", &json!({ "KeyId": id, "ReplicaRegion": THERE }));
    id
}

fn state(kms: &Kms, region: &str, id: &str) -> Option<String> {
    let told = kms.call_in(region, "DescribeKey", &json!({ "KeyId": id })).ok()?;
    Some(text(&told["KeyMetadata"]["KeyState"]))
}

#[test]
fn a_key_is_in_the_region_that_its_call_was_signed_for() {
    let kms = Kms::audited(1);
    let made = kms.call_in(THERE, "CreateKey", &json!({})).unwrap();
    let arn = text(&made["KeyMetadata"]["Arn"]);
    assert!(arn.starts_with("arn:aws:kms:eu-west-1:000000000000:key/"), "{arn}");
    assert_eq!(kms.last_event()["awsRegion"], THERE);
    let alias = json!({ "AliasName": "alias/a", "TargetKeyId": arn });
    kms.call_in(THERE, "CreateAlias", &alias).unwrap();
    let blob = &kms
        .call_in(THERE, "GenerateDataKey", &data_key("alias/a", &json!({})))
        .unwrap()["CiphertextBlob"];

    let id = id_of(&arn);
    assert_eq!(
        kms.fails("DescribeKey", &json!({ "KeyId": id }), "NotFoundException"),
        format!("Key 'arn:aws:kms:us-east-1:000000000000:key/{id}' does not exist")
    );
    assert_eq!(
        kms.fails("DescribeKey", &json!({ "KeyId": arn }), "NotFoundException"),
        "Invalid arn eu-west-1"
    );
    kms.fails("DescribeKey", &json!({ "KeyId": "alias/a" }), "NotFoundException");
    kms.fails("Decrypt", &json!({ "CiphertextBlob": blob }), "AccessDeniedException");
    for (operation, list) in [("ListKeys", "Keys"), ("ListAliases", "Aliases")] {
        for (region, count) in [(HERE, 0), (THERE, 1), ("eu-west-2", 0), ("eu", 0), ("z", 0)] {
            let listed = kms.call_in(region, operation, &json!({})).unwrap();
            assert_eq!(listed[list].as_array().unwrap().len(), count, "{operation} {region}");
        }
    }
    // The same name in another region is another alias, and so are keys of AWS.
    kms.call(
        "CreateAlias",
        &json!({ "AliasName": "alias/a", "TargetKeyId": kms.key() }),
    );
    let aws = |region| {
        kms.call_in(region, "DescribeKey", &json!({ "KeyId": "alias/aws/s3" }))
            .unwrap()
    };
    assert_ne!(aws(HERE), aws(THERE));
    for region in ["", "us east", "../x", &"r".repeat(65)] {
        let error = kms.call_in(region, "ListKeys", &json!({})).unwrap_err();
        assert_eq!(error.kind, "InvalidSignatureException", "{region}");
    }
}

#[test]
fn related_keys_open_what_each_other_wrapped_and_nothing_else_is_shared() {
    let kms = Kms::new();
    let id = replicated(&kms);
    assert!(id.starts_with("mrk-") && id.len() == 36, "{id}");
    let context = json!({ "a": "1" });
    for (from, to) in [(HERE, THERE), (THERE, HERE)] {
        let made = kms.call_in(from, "GenerateDataKey", &data_key(&id, &context)).unwrap();
        let request =
            |context: &Value| json!({ "CiphertextBlob": made["CiphertextBlob"], "EncryptionContext": context });
        let opened = kms.call_in(to, "Decrypt", &request(&context)).unwrap();
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        assert_eq!(opened["KeyMaterialId"], made["KeyMaterialId"]);
        assert_eq!(opened["KeyId"], format!("arn:aws:kms:{to}:000000000000:key/{id}"));
        assert_eq!(
            kms.call_in(to, "Decrypt", &request(&json!({}))).unwrap_err().kind,
            "InvalidCiphertextException"
        );
        let elsewhere = kms.call_in("eu-west-2", "Decrypt", &request(&context)).unwrap_err();
        assert_eq!(elsewhere.kind, "AccessDeniedException");
    }
    let both = |operation: &str, list: &str| {
        [HERE, THERE].map(|region| kms.call_in(region, operation, &json!({ "KeyId": id })).unwrap()[list].clone())
    };
    kms.call(
        "TagResource",
        &json!({ "KeyId": id, "Tags": [{ "TagKey": "t", "TagValue": "" }] }),
    );
    kms.call("UpdateKeyDescription", &json!({ "KeyId": id, "Description": "d" }));
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": id }));
    let grantee = "arn:aws:iam::000000000000:user/GRANTEE1";
    let grant = json!({ "KeyId": id, "GranteePrincipal": grantee, "Operations": ["Decrypt"] });
    let token = kms.call("CreateGrant", &grant)["GrantToken"].clone();
    for (operation, list) in [
        ("ListResourceTags", "Tags"),
        ("ListAliases", "Aliases"),
        ("ListGrants", "Grants"),
    ] {
        let [here, there] = both(operation, list).map(|list| list.as_array().unwrap().len());
        assert_eq!((here, there), (1, 0), "{operation}");
    }
    let retired = kms
        .call_in(THERE, "RetireGrant", &json!({ "GrantToken": token }))
        .unwrap_err();
    assert_eq!(retired.kind, "InvalidGrantTokenException");
    kms.call_in(THERE, "DisableKey", &json!({ "KeyId": id })).unwrap();
    assert_eq!(state(&kms, HERE, &id).as_deref(), Some("Enabled"));
}

#[test]
fn a_primary_key_rotates_for_all_of_its_relatives() {
    let kms = Kms::new();
    let id = replicated(&kms);
    let key = json!({ "KeyId": id });
    let old = kms.call("GenerateDataKey", &data_key(&id, &json!({})));
    kms.call("RotateKeyOnDemand", &key);
    kms.call("EnableKeyRotation", &json!({ "KeyId": id, "RotationPeriodInDays": 90 }));
    kms.clock.advance(91 * DAY);
    let made = kms
        .call_in(THERE, "GenerateDataKey", &data_key(&id, &json!({})))
        .unwrap();
    assert_ne!(made["KeyMaterialId"], old["KeyMaterialId"]);
    for operation in ["ListKeyRotations", "GetKeyRotationStatus"] {
        let mut there = kms.call_in(THERE, operation, &key).unwrap().to_string();
        there = there.replace(THERE, HERE);
        assert_eq!(there, kms.call(operation, &key).to_string());
    }
    for blob in [&old, &made].map(|made| &made["CiphertextBlob"]) {
        assert!(kms.decrypts(blob));
        kms.call_in(THERE, "Decrypt", &json!({ "CiphertextBlob": blob }))
            .unwrap();
    }
    for operation in ["RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"] {
        let error = kms.call_in(THERE, operation, &key).unwrap_err();
        assert_eq!(error.kind, "UnsupportedOperationException", "{operation}");
        assert!(
            error.message.ends_with(" is not a multi-region primary key."),
            "{}",
            error.message
        );
    }
    // With the primary, the rotation goes to the other region.
    kms.call("UpdatePrimaryRegion", &json!({ "KeyId": id, "PrimaryRegion": THERE }));
    kms.fails("RotateKeyOnDemand", &key, "UnsupportedOperationException");
    assert_eq!(kms.call("GetKeyRotationStatus", &key)["RotationPeriodInDays"], 90);
    kms.clock.advance(91 * DAY);
    let next = kms.call("GenerateDataKey", &data_key(&id, &json!({})));
    assert_ne!(next["KeyMaterialId"], made["KeyMaterialId"]);
    kms.call_in(THERE, "Decrypt", &json!({ "CiphertextBlob": next["CiphertextBlob"] }))
        .unwrap();
}

#[test]
fn the_configuration_is_the_same_in_every_region() {
    let kms = Kms::new();
    let id = replicated(&kms);
    let config = |region: &str| {
        let told = kms.call_in(region, "DescribeKey", &json!({ "KeyId": id })).unwrap();
        told["KeyMetadata"]["MultiRegionConfiguration"].clone()
    };
    let key = |region: &str| json!({ "Arn": format!("arn:aws:kms:{region}:000000000000:key/{id}"), "Region": region });
    let expected = |kind: &str, primary: &str, replicas: &[&str]| {
        let replicas: Vec<_> = replicas.iter().map(|region| key(region)).collect();
        json!({ "MultiRegionKeyType": kind, "PrimaryKey": key(primary), "ReplicaKeys": replicas })
    };
    kms.call("ReplicateKey", &json!({ "KeyId": id, "ReplicaRegion": "ap-south-1" }));
    assert_eq!(config(HERE), expected("PRIMARY", HERE, &["ap-south-1", THERE]));
    assert_eq!(config(THERE), expected("REPLICA", HERE, &["ap-south-1", THERE]));
    kms.call("UpdatePrimaryRegion", &json!({ "KeyId": id, "PrimaryRegion": THERE }));
    for (region, kind) in [(HERE, "REPLICA"), ("ap-south-1", "REPLICA"), (THERE, "PRIMARY")] {
        assert_eq!(config(region), expected(kind, THERE, &["ap-south-1", HERE]));
    }
    kms.call_in("ap-south-1", "ScheduleKeyDeletion", &json!({ "KeyId": id }))
        .unwrap();
    kms.clock.advance(31 * DAY);
    for (region, kind) in [(HERE, "REPLICA"), (THERE, "PRIMARY")] {
        assert_eq!(config(region), expected(kind, THERE, &[HERE]));
    }
}

#[test]
fn a_primary_key_waits_for_its_replicas_to_be_deleted() {
    let kms = Kms::new();
    let id = replicated(&kms);
    let key = json!({ "KeyId": id });
    let scheduled = kms.call("ScheduleKeyDeletion", &json!({ "KeyId": id, "PendingWindowInDays": 7 }));
    assert_eq!(scheduled["KeyState"], "PendingReplicaDeletion");
    assert_eq!(scheduled.get("DeletionDate"), None);
    let told = &kms.call("DescribeKey", &key)["KeyMetadata"];
    assert_eq!(
        (&told["PendingDeletionWindowInDays"], told.get("DeletionDate")),
        (&json!(7), None)
    );
    assert!(
        kms.fails(
            "GenerateDataKey",
            &data_key(&id, &json!({})),
            "KMSInvalidStateException"
        )
        .ends_with(" is pending replica deletion.")
    );
    kms.clock.advance(100 * DAY);
    assert_eq!(state(&kms, HERE, &id).as_deref(), Some("PendingReplicaDeletion"));
    kms.call("CancelKeyDeletion", &key);
    kms.call("ScheduleKeyDeletion", &json!({ "KeyId": id, "PendingWindowInDays": 7 }));
    kms.call_in(
        THERE,
        "ScheduleKeyDeletion",
        &json!({ "KeyId": id, "PendingWindowInDays": 7 }),
    )
    .unwrap();
    kms.clock.advance(8 * DAY);
    assert_eq!(state(&kms, THERE, &id), None);
    assert_eq!(state(&kms, HERE, &id).as_deref(), Some("PendingDeletion"));
    kms.clock.advance(8 * DAY);
    assert_eq!(state(&kms, HERE, &id), None);
}

#[test]
fn what_cannot_be_replicated_says_why() {
    let kms = Kms::new();
    let (id, plain) = (replicated(&kms), kms.key());
    let replicate = |key: &str, region: &str| json!({ "KeyId": key, "ReplicaRegion": region });
    for (key, region, kind) in [
        (plain.as_str(), THERE, "UnsupportedOperationException"),
        (&id, THERE, "AlreadyExistsException"),
        (&id, HERE, "AlreadyExistsException"),
        (&id, "nowhere", "ValidationException"),
        (&id, "eu-west", "ValidationException"),
        (&id, "EU-west-1", "ValidationException"),
        ("alias/a", "eu-west-2", "NotFoundException"),
    ] {
        kms.fails("ReplicateKey", &replicate(key, region), kind);
    }
    let of_replica = kms
        .call_in(THERE, "ReplicateKey", &replicate(&id, "eu-west-2"))
        .unwrap_err();
    assert_eq!(
        of_replica.message,
        format!("arn:aws:kms:eu-west-1:000000000000:key/{id} is not a multi-region primary key.")
    );
    let update = |key: &str, region: &str| json!({ "KeyId": key, "PrimaryRegion": region });
    kms.fails("UpdatePrimaryRegion", &update(&id, "eu-west-2"), "NotFoundException");
    kms.fails(
        "UpdatePrimaryRegion",
        &update(&plain, THERE),
        "UnsupportedOperationException",
    );
    kms.call("DisableKey", &json!({ "KeyId": id }));
    kms.fails("ReplicateKey", &replicate(&id, "eu-west-2"), "DisabledException");
}
