//! What becomes of keys: switched off, on their way out, rotated, and AWS's own.

use super::*;

#[test]
fn a_change_of_state_is_seen_when_its_delay_has_passed() {
    let kms = Kms::new();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    let seen = || kms.try_call("GenerateDataKey", &data_key(&key, &json!({}))).is_ok();
    // Far more than a test takes.
    let delay = Duration::from_secs(3600);
    kms.service.set_propagation_delay(delay);
    kms.call("DisableKey", &id);
    assert_eq!(kms.call("DescribeKey", &id)["KeyMetadata"]["KeyState"], "Disabled");
    assert!(seen(), "what manages keys knows at once, and what uses them does not");
    kms.clock.advance(delay);
    assert!(!seen());
    kms.call("EnableKey", &id);
    assert!(!seen());
    kms.clock.advance(delay / 2);
    kms.call("DisableKey", &id);
    kms.clock.advance(delay / 2);
    assert!(seen(), "the first of two changes on their way arrives");
    kms.clock.advance(delay / 2);
    assert!(!seen(), "and then the second one");

    kms.call("EnableKey", &id);
    kms.clock.advance(delay);
    kms.call("DisableKey", &id);
    kms.service.set_propagation_delay(Duration::ZERO);
    kms.call("EnableKey", &id);
    kms.clock.advance(delay);
    assert!(seen(), "a slower change does not overtake a later one");
}

#[test]
fn a_key_pending_deletion_is_described_and_not_changed() {
    let kms = Kms::new();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key }));
    kms.call("EnableKeyRotation", &id);
    let scheduled = kms.call("ScheduleKeyDeletion", &id);
    assert_eq!(scheduled["KeyId"], key);
    assert_eq!(scheduled["KeyState"], "PendingDeletion");
    assert_eq!(scheduled["PendingWindowInDays"], 30);

    let metadata = &kms.call("DescribeKey", &id)["KeyMetadata"];
    assert_eq!(metadata["Enabled"], false);
    assert_eq!(metadata["DeletionDate"], scheduled["DeletionDate"]);
    assert_eq!(kms.call("GetKeyRotationStatus", &id)["KeyRotationEnabled"], false);
    for operation in ["ListGrants", "ListAliases", "ListKeyRotations"] {
        kms.call(operation, &id);
    }
    let alias = json!({ "AliasName": "alias/b", "TargetKeyId": key });
    let expected = format!("{key} is pending deletion.");
    for (operation, body) in [
        ("DisableKey", &id),
        ("EnableKey", &id),
        ("ScheduleKeyDeletion", &id),
        ("EnableKeyRotation", &id),
        ("DisableKeyRotation", &id),
        ("RotateKeyOnDemand", &id),
        ("CreateAlias", &alias),
        ("UpdateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key })),
        (
            "CreateGrant",
            &json!({ "KeyId": key, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"] }),
        ),
    ] {
        assert_eq!(
            kms.fails(operation, body, "KMSInvalidStateException"),
            expected,
            "{operation}"
        );
    }
    kms.clock.advance(29 * DAY);
    kms.call("DescribeKey", &id);
    kms.clock.advance(DAY);
    kms.fails("DescribeKey", &id, "NotFoundException");
    assert_eq!(kms.call("ListKeys", &json!({}))["Keys"], json!([]));
    assert_eq!(kms.call("ListAliases", &json!({}))["Aliases"], json!([]));
}

#[test]
fn a_cancelled_deletion_leaves_the_key_disabled_and_whole() {
    let kms = Kms::new();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    let blob = &kms.data_key(&key, &json!({}))["CiphertextBlob"];
    kms.call(
        "ScheduleKeyDeletion",
        &json!({ "KeyId": key, "PendingWindowInDays": 7 }),
    );
    assert_eq!(kms.call("CancelKeyDeletion", &id), json!({ "KeyId": key }));
    kms.clock.advance(60 * DAY);
    assert_eq!(
        kms.fails("Decrypt", &json!({ "CiphertextBlob": blob }), "DisabledException"),
        format!("{key} is disabled.")
    );
    kms.call("EnableKey", &id);
    assert!(kms.decrypts(blob));
}

#[test]
fn only_enabled_keys_rotate_and_overdue_ones_once() {
    let kms = Kms::new();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    kms.call(
        "EnableKeyRotation",
        &json!({ "KeyId": key, "RotationPeriodInDays": 100 }),
    );
    let next = kms.call("GetKeyRotationStatus", &id)["NextRotationDate"].clone();
    kms.call(
        "EnableKeyRotation",
        &json!({ "KeyId": key, "RotationPeriodInDays": 100 }),
    );
    assert_eq!(
        kms.call("GetKeyRotationStatus", &id)["NextRotationDate"],
        next,
        "asked again, the date stays"
    );

    let rotations = || kms.call("ListKeyRotations", &id)["Rotations"].as_array().unwrap().len();
    kms.call("DisableKey", &id);
    kms.clock.advance(350 * DAY);
    assert_eq!(rotations(), 0);
    for operation in ["RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"] {
        kms.fails(operation, &id, "DisabledException");
    }
    assert_eq!(kms.call("GetKeyRotationStatus", &id)["KeyRotationEnabled"], true);
    kms.call("EnableKey", &id);
    assert_eq!(rotations(), 1, "three periods were missed");
    let status = kms.call("GetKeyRotationStatus", &id);
    assert!(status["NextRotationDate"].as_f64() > next.as_f64());
    assert_eq!(
        status.get("OnDemandRotationStartDate"),
        None,
        "none is under way: they take no time here"
    );
    assert_eq!(
        kms.call("DescribeKey", &id)["KeyMetadata"]["CurrentKeyMaterialId"],
        kms.data_key(&key, &json!({}))["KeyMaterialId"]
    );
}

#[test]
fn awss_own_keys_can_be_used_and_not_be_managed() {
    let kms = Kms::new();
    let arn = text(&kms.data_key("alias/aws/s3", &json!({}))["KeyId"]);
    assert_eq!(kms.data_key("alias/aws/s3", &json!({}))["KeyId"], arn, "made once");
    let id = json!({ "KeyId": arn });
    assert_eq!(kms.call("GetKeyRotationStatus", &id)["RotationPeriodInDays"], 365);
    let grant =
        json!({ "KeyId": arn, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"] });
    for (operation, body) in [
        ("DisableKey", &id),
        ("EnableKey", &id),
        ("ScheduleKeyDeletion", &id),
        ("CancelKeyDeletion", &id),
        ("EnableKeyRotation", &id),
        ("DisableKeyRotation", &id),
        ("RotateKeyOnDemand", &id),
        ("CreateGrant", &grant),
        ("CreateAlias", &json!({ "AliasName": "alias/mine", "TargetKeyId": arn })),
    ] {
        kms.fails(operation, body, "AccessDeniedException");
    }
}
