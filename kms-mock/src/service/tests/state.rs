//! The state file and seeds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::store::Seed;

fn start(path: &Path) -> Result<Kms, String> {
    Kms::with(ServiceConfig {
        state: Some(path.to_owned()),
        ..ServiceConfig::default()
    })
    .map_err(|error| error.to_string())
}

#[test]
fn everything_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let kms = start(&path).unwrap();
    let (key, disabled, doomed) = (kms.key(), kms.key(), kms.key());
    let id = json!({ "KeyId": key });
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key }));
    let old = kms.data_key(&key, &json!({}));
    kms.call("RotateKeyOnDemand", &id);
    kms.call(
        "EnableKeyRotation",
        &json!({ "KeyId": key, "RotationPeriodInDays": 100 }),
    );
    let new = kms.data_key(&key, &json!({}));
    kms.call("DisableKey", &json!({ "KeyId": disabled }));
    kms.call(
        "ScheduleKeyDeletion",
        &json!({ "KeyId": doomed, "PendingWindowInDays": 7 }),
    );
    let grantee = "arn:aws:iam::000000000000:user/GRANTEE1";
    let granted = kms.call(
        "CreateGrant",
        &json!({
            "KeyId": key, "GranteePrincipal": grantee, "Operations": ["Decrypt", "RetireGrant"], "Name": "n",
            "Constraints": { "EncryptionContextSubset": {} },
        }),
    );
    let aws = kms.data_key("alias/aws/s3", &json!({}));
    let told = |kms: &Kms| {
        let keys = [&key, &disabled, &doomed].map(|key| kms.call("DescribeKey", &json!({ "KeyId": key })));
        let lists = ["ListGrants", "ListKeyRotations", "GetKeyRotationStatus"].map(|name| kms.call(name, &id));
        (keys, lists, kms.call("ListAliases", &json!({})))
    };
    let before = told(&kms);
    // The file has whole milliseconds, and so do answers: nothing is lost.
    drop(kms);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let kms = start(&path).unwrap();
    assert_eq!(told(&kms), before);
    for blob in [&old, &new, &aws].map(|made| &made["CiphertextBlob"]) {
        assert!(kms.decrypts(blob));
    }
    let request = json!({ "CiphertextBlob": old["CiphertextBlob"], "GrantTokens": [granted["GrantToken"]] });
    kms.call_as("GRANTEE1", "Decrypt", &request).unwrap();
    kms.clock.advance(101 * DAY);
    kms.fails("DescribeKey", &json!({ "KeyId": doomed }), "NotFoundException");
    assert_ne!(kms.data_key(&key, &json!({}))["KeyMaterialId"], new["KeyMaterialId"]);
    drop(kms);

    let kms = start(&path).unwrap();
    assert!(
        kms.clock.ahead() >= 100 * DAY,
        "a clock that was moved does not fall back"
    );
    kms.fails("DescribeKey", &json!({ "KeyId": doomed }), "NotFoundException");
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        2,
        "but for the lock, nothing else is left behind"
    );
}

#[test]
fn a_damaged_file_is_an_error_that_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let kms = start(&path).unwrap();
    kms.call(
        "CreateAlias",
        &json!({ "AliasName": "alias/a", "TargetKeyId": kms.key() }),
    );
    drop(kms);
    let whole = fs::read_to_string(&path).unwrap();
    let document: Value = serde_json::from_str(&whole).unwrap();
    let secret = text(&document["keys"][0]["materials"][0]["secret"]);

    // Without the line feed at its end it is whole, and an empty file is a new one.
    for len in 1..whole.len() - 1 {
        fs::write(&path, &whole[..len]).unwrap();
        let error = start(&path)
            .err()
            .unwrap_or_else(|| panic!("{len} bytes of {}", whole.len()));
        assert!(error.contains("it is damaged: ") && !error.contains(&secret), "{error}");
    }
    let id = text(&document["keys"][0]["id"]);
    let other = id.replace(&id[..8], "00000000");
    for (from, to, needle) in [
        (
            r#""version":1"#,
            r#""version":2"#,
            "it is of version 2, and this program knows 1",
        ),
        (
            r#""account":"000000000000""#,
            r#""account":"111111111111""#,
            "account 111111111111 in us-east-1",
        ),
        (r#""region":"us-east-1""#, r#""region":"eu-west-1""#, "in eu-west-1"),
        (r#""keys":"#, r#""kays":"#, "it is damaged"),
        (
            &format!(r#""id":"{id}""#),
            &format!(r#""id":"{other}""#),
            "the ARN of key",
        ),
        (
            &format!(r#""target":"{id}""#),
            &format!(r#""target":"{other}""#),
            "alias/a names key",
        ),
        (&secret, &secret[4..], "it is damaged"),
        ("{\"version\"", "[]{\"version\"", "it is damaged"),
    ] {
        assert!(whole.contains(from), "{from}");
        fs::write(&path, whole.replacen(from, to, 1)).unwrap();
        let error = start(&path).err().unwrap_or_else(|| panic!("{from} -> {to}"));
        assert!(error.contains(needle) && !error.contains(&secret), "{needle}: {error}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(start(&path).is_ok());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(start(&path).is_err());
}

#[test]
fn a_change_that_cannot_be_written_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let kms = start(&inner.join("state")).unwrap();
    let key = kms.key();
    let id = json!({ "KeyId": key });
    let before = kms.call("DescribeKey", &id);
    fs::remove_dir_all(&inner).unwrap();
    for (operation, body) in [
        ("CreateKey", &json!({})),
        ("DisableKey", &id),
        ("RotateKeyOnDemand", &id),
        ("ScheduleKeyDeletion", &id),
        ("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key })),
        ("GenerateDataKey", &data_key("alias/aws/s3", &json!({}))),
    ] {
        let error = kms.try_call(operation, body).unwrap_err();
        assert_eq!(
            (error.kind.as_str(), error.status),
            ("KMSInternalException", 500),
            "{operation}"
        );
    }
    assert_eq!(kms.call("DescribeKey", &id), before);
    assert_eq!(kms.call("ListKeys", &json!({}))["Keys"].as_array().unwrap().len(), 1);
    assert_eq!(kms.call("ListAliases", &json!({}))["Aliases"], json!([]));
    kms.data_key(&key, &json!({}));
    fs::create_dir(&inner).unwrap();
    kms.call("DisableKey", &id);
    drop(kms);
    let kms = start(&inner.join("state")).unwrap();
    kms.fails("GenerateDataKey", &data_key(&key, &json!({})), "DisabledException");
}

#[test]
fn seeds_are_made_once_and_open_what_they_wrapped_without_a_file() {
    let text_of_file = br#"{"keys": [
        {"alias": "alias/random"},
        {"alias": "alias/fixed", "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "description": "d",
         "material": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "rotation": true}]}"#;
    let start = |state: Option<&Path>| {
        let seeds = Seed::parse_file(text_of_file).unwrap();
        let state = state.map(Path::to_owned);
        Kms::with(ServiceConfig {
            seeds,
            state,
            ..ServiceConfig::default()
        })
        .unwrap()
    };
    let made = start(None).data_key("alias/fixed", &json!({}));
    assert_eq!(
        made["KeyId"],
        "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    );
    let again = start(None);
    assert!(again.decrypts(&made["CiphertextBlob"]));
    assert_eq!(
        again.call("GetKeyRotationStatus", &json!({ "KeyId": made["KeyId"] }))["KeyRotationEnabled"],
        true
    );

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let kms = start(Some(&path));
    let keys = kms.call("ListKeys", &json!({}));
    let random = kms.data_key("alias/random", &json!({}));
    kms.call("RotateKeyOnDemand", &json!({ "KeyId": made["KeyId"] }));
    let material = &kms.data_key("alias/fixed", &json!({}))["KeyMaterialId"];
    drop(kms);
    let kms = start(Some(&path));
    assert_eq!(kms.call("ListKeys", &json!({})), keys);
    assert!(kms.decrypts(&random["CiphertextBlob"]));
    assert_eq!(
        kms.data_key("alias/fixed", &json!({}))["KeyMaterialId"],
        *material,
        "the file is what counts"
    );
}

#[test]
fn a_seed_that_cannot_be_is_refused() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab".parse().ok();
    for (aliases, needle) in [
        (&["alias/aws/s3"][..], "NotAuthorizedException"),
        (&["demo"], "InvalidAliasNameException"),
        (&["alias/a b"], "ValidationException"),
        (&["alias/a", "alias/b"], "AlreadyExistsException"),
    ] {
        let seeds = aliases.iter().map(|alias| Seed {
            key_id: id,
            ..Seed::of_alias(alias)
        });
        let config = ServiceConfig {
            seeds: seeds.collect(),
            ..ServiceConfig::default()
        };
        let error = Kms::with(config).err().unwrap().to_string();
        assert!(
            error.contains(needle) && error.contains(aliases.last().unwrap()),
            "{error}"
        );
    }
}
