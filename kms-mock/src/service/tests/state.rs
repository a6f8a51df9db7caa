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
    kms.call(
        "TagResource",
        &json!({ "KeyId": key, "Tags": [{ "TagKey": "t", "TagValue": "v" }] }),
    );
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*"}}"#;
    kms.call("PutKeyPolicy", &json!({ "KeyId": key, "Policy": policy }));
    kms.call("UpdateKeyDescription", &json!({ "KeyId": key, "Description": "d" }));
    let made = kms.call("CreateKey", &json!({ "MultiRegion": true }));
    let related = text(&made["KeyMetadata"]["KeyId"]);
    kms.call(
        "ReplicateKey",
        &json!({ "KeyId": related, "ReplicaRegion": "eu-west-1" }),
    );
    let told = |kms: &Kms| {
        let of_key = ["GetKeyPolicy", "ListResourceTags", "DescribeKey"].map(|name| kms.call(name, &id));
        let replica = kms
            .call_in("eu-west-1", "DescribeKey", &json!({ "KeyId": related }))
            .unwrap();
        assert_eq!(
            (
                &of_key[1]["Tags"][0]["TagValue"],
                &of_key[2]["KeyMetadata"]["Description"]
            ),
            (&json!("v"), &json!("d"))
        );
        let more = (of_key, replica);
        let keys = [&key, &disabled, &doomed].map(|key| kms.call("DescribeKey", &json!({ "KeyId": key })));
        let lists = ["ListGrants", "ListKeyRotations", "GetKeyRotationStatus"].map(|name| kms.call(name, &id));
        (keys, lists, kms.call("ListAliases", &json!({})), more)
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

fn refusal(path: &Path) -> String {
    start(path)
        .err()
        .unwrap_or_else(|| panic!("{} was opened", path.display()))
}

/// What was written by the first version, whose keys, grants and ciphertexts were made by it.
const FIRST: &str = include_str!("state_of_version_1.json");

#[test]
fn a_file_of_the_first_version_opens_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let blob = "ARI0q80SqzTNVu8SNFZ4kKtQU5qEgangSKfEfWsPCMyALY6RW3kmun4WlyT2MFr4argexExHzBYq3eDKcdKIeHFDgG6XBdzDzbNHGyLDeHyw\
                oPOiXCJGThPA4XXW+Dzlics39PGpLzQ9tyoP68zrQj4LuWSLnSqC2ZyYSeLeoFEoCoR3fPg1jERv1usOCjvo4FhcMe17dRid9bBBTrvFyj\
                AqFXmng7M7wggI+0cImKzmeKeAFEfvlA==";
    fs::write(&path, FIRST).unwrap();
    // The second start reads what the first one made of it.
    for _ in 0..2 {
        let kms = start(&path).unwrap();
        let request = json!({ "CiphertextBlob": blob, "EncryptionContext": { "a": "1" } });
        let opened = kms.call_as("GRANTEE1", "Decrypt", &request).unwrap();
        assert_eq!(opened["Plaintext"], "Bx3pClCExsKs7YwQ8yGZ94TMU+Ot6XlvT+M0M2ib+A4=");
        assert_eq!(opened["KeyId"], key);
        assert_eq!(
            kms.call("DescribeKey", &json!({ "KeyId": "alias/demo" }))["KeyMetadata"]["KeyState"],
            "Disabled"
        );
        let id = json!({ "KeyId": key });
        assert_eq!(kms.call("ListGrants", &id)["Grants"][0]["Name"], "n");
        assert_eq!(
            kms.call("ListKeyRotations", &id)["Rotations"].as_array().unwrap().len(),
            1
        );
        assert_eq!(kms.call("GetKeyRotationStatus", &id)["RotationPeriodInDays"], 365);
    }
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for (from, to, needle) in [
        (
            r#""version":1"#,
            r#""version":3"#,
            "its version is 3, and this program supports up to 2",
        ),
        (
            r#""account":"000000000000""#,
            r#""account":"111111111111""#,
            "pass --account 111111111111",
        ),
        (r#""region":"us-east-1""#, r#""region":"eu-west-1""#, "the ARN of key"),
        (r#""keys":"#, r#""kays":"#, "it is damaged"),
        (
            &format!(r#""id":"{id}""#),
            r#""id":"0000abcd-12ab-34cd-56ef-1234567890ab""#,
            "the ARN of key",
        ),
        (
            &format!(r#""target":"{id}""#),
            r#""target":"0000abcd-12ab-34cd-56ef-1234567890ab""#,
            "alias/fixed names a key",
        ),
        (
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka",
            "it is damaged",
        ),
        ("{\"version\"", "[]{\"version\"", "it is damaged"),
    ] {
        assert!(FIRST.contains(from), "{from}");
        fs::write(&path, FIRST.replacen(from, to, 1)).unwrap();
        let error = refusal(&path);
        assert!(
            error.contains(needle) && !error.contains("AAECAwQF"),
            "{needle}: {error}"
        );
    }
    for len in 1..FIRST.len() - 1 {
        fs::write(&path, &FIRST[..len]).unwrap();
        assert!(refusal(&path).contains("it is damaged: "), "{len}");
    }
}

/// A file with some of everything in it, and one secret of it.
fn written(path: &Path) -> (String, String) {
    let kms = start(path).unwrap();
    let key = kms.key();
    kms.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key }));
    let grantee = "arn:aws:iam::000000000000:root";
    kms.call(
        "CreateGrant",
        &json!({ "KeyId": key, "GranteePrincipal": grantee, "Operations": ["Decrypt"] }),
    );
    kms.call("RotateKeyOnDemand", &json!({ "KeyId": key }));
    kms.call("DeleteAlias", &json!({ "AliasName": "alias/a" }));
    drop(kms);
    let text = fs::read_to_string(path).unwrap();
    let line: Value = serde_json::from_str(text.lines().nth(2).unwrap().split_once(' ').unwrap().1).unwrap();
    let secret = line["changes"][0]["key"]["materials"][0]["secret"].as_str().unwrap();
    (text.clone(), secret.to_owned())
}

/// What a kill leaves is a start of what was written; of a line that is not whole, nothing was answered.
#[test]
fn a_cut_file_holds_the_changes_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (whole, _) = written(&path);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    // After the header: the time, the key, its alias, its grant, its new material, its alias again.
    assert_eq!(lines.len(), 7);
    let found = |kms: &Kms| {
        let keys = kms.call("ListKeys", &json!({}))["Keys"].as_array().unwrap().clone();
        let of_key = |operation: &str, list: &str| {
            let key = keys.first().map(|key| key["KeyId"].clone());
            key.map_or(0, |key| {
                kms.call(operation, &json!({ "KeyId": key }))[list]
                    .as_array()
                    .unwrap()
                    .len()
            })
        };
        let rotations = of_key("ListKeyRotations", "Rotations");
        (
            keys.len(),
            of_key("ListAliases", "Aliases"),
            of_key("ListGrants", "Grants"),
            rotations,
        )
    };
    let expected = [
        (0, 0, 0, 0),
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 1, 1, 0),
        (1, 1, 1, 1),
        (1, 0, 1, 1),
    ];
    let ends: Vec<usize> = whole.match_indices('\n').map(|(place, _)| place + 1).collect();
    // Around each line feed, and in the middle of each line.
    let near = |len: usize| ends.iter().any(|end| len.abs_diff(*end) < 3) || len.is_multiple_of(97);
    for len in (1..=whole.len()).filter(|len| near(*len)) {
        fs::write(&path, &whole[..len]).unwrap();
        let complete = whole[..len].matches('\n').count();
        if complete == 0 && len < lines[0].trim_end().len() {
            assert!(refusal(&path).contains("it is damaged: "), "{len}");
            continue;
        }
        let kms = start(&path).unwrap_or_else(|error| panic!("{len}: {error}"));
        assert_eq!(found(&kms), expected[complete.saturating_sub(1)], "{len}");
        // And it goes on from there.
        kms.key();
        drop(kms);
        assert_eq!(
            found(&start(&path).unwrap()).0,
            expected[complete.saturating_sub(1)].0 + 1,
            "{len}"
        );
    }
    // Blocks that never reached the disk.
    let zeros = whole.replace(lines[6], &"\0".repeat(lines[6].len()));
    fs::write(&path, zeros).unwrap();
    assert_eq!(found(&start(&path).unwrap()), expected[5]);
}

#[test]
fn a_damaged_file_is_an_error_that_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (whole, secret) = written(&path);
    fs::write(&path, "").unwrap();
    assert!(refusal(&path).contains("it is empty"));
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        0,
        "a refused file is left as it was"
    );
    fs::write(&path, "\n").unwrap();
    assert!(refusal(&path).contains("it is damaged"));

    let header = whole.find('\n').unwrap();
    for place in 0..whole.len() - 1 {
        let mut bytes = whole.clone().into_bytes();
        // Another letter, never a line feed.
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        fs::write(&path, &bytes).unwrap();
        let error = refusal(&path);
        let expected = if place <= header { "" } else { "it is damaged: line " };
        assert!(error.contains(expected) && !error.contains(&secret), "{place}: {error}");
    }
    // A line that is missing, one that is there twice, and two that have changed places.
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for order in [
        &[0, 1, 2, 4, 5, 6][..],
        &[0, 1, 2, 2, 3, 4, 5, 6],
        &[0, 2, 1, 3, 4, 5, 6],
    ] {
        let lines: Vec<&str> = order.iter().map(|number| lines[*number]).collect();
        fs::write(&path, lines.concat()).unwrap();
        assert!(refusal(&path).contains("its checksum is wrong"), "{order:?}");
    }
    fs::write(&path, whole.replacen(r#""version":2"#, r#""version":3"#, 1)).unwrap();
    assert!(refusal(&path).contains("its version is 3, and this program supports up to 2"));
    fs::write(&path, whole.replacen("000000000000", "111111111111", 1)).unwrap();
    assert!(refusal(&path).contains("belong to account 111111111111: pass --account 111111111111"));
    fs::write(&path, &whole).unwrap();
    assert!(start(&path).is_ok());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(start(&path).is_err());
}

/// Of a start or a compaction that was killed: it has key material in it.
#[test]
fn what_a_kill_left_beside_the_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    drop(start(&path).unwrap());
    let left = directory.path().join("state.new");
    fs::write(&left, "{\"version\":2,\"acc").unwrap();
    let kms = start(&path).unwrap();
    kms.key();
    assert!(!left.exists());
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["state", "state.lock"]);
}

/// A key costs the same, whatever was there before: in the file to the byte, in time with a wide margin.
#[test]
fn a_key_costs_the_same_however_many_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let kms = start(&path).unwrap();
    let grown = |kms: &Kms| {
        let before = fs::metadata(&path).unwrap().len();
        kms.key();
        fs::metadata(&path).unwrap().len() - before
    };
    let first = grown(&kms);
    for _ in 0..200 {
        kms.key();
    }
    assert_eq!(grown(&kms), first);

    let kms = Kms::new();
    let batch = || {
        let begin = std::time::Instant::now();
        for _ in 0..500 {
            kms.key();
        }
        begin.elapsed()
    };
    // The fastest of some: other work of the machine only adds.
    let fastest = || (0..4).map(|_| batch()).min().unwrap();
    let few = fastest();
    for _ in 0..20_000 {
        kms.key();
    }
    let many = fastest();
    assert!(
        many < 4 * few,
        "500 keys took {few:?} at first, and {many:?} when there were 20,000"
    );
}

#[test]
fn a_file_that_is_mostly_obsolete_is_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let kms = start(&path).unwrap();
    let key = kms.key();
    let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*" });
    let policy = json!({ "Statement": [statement], "Id": "p".repeat(100_000) }).to_string();
    let mut longest = 0;
    for _ in 0..40 {
        kms.call("PutKeyPolicy", &json!({ "KeyId": key, "Policy": policy }));
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    assert!((500_000..2 << 20).contains(&longest), "{longest}");
    drop(kms);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kms = start(&path).unwrap();
    assert_eq!(kms.call("GetKeyPolicy", &json!({ "KeyId": key }))["Policy"], policy);
    assert!(fs::metadata(&path).unwrap().len() < 110_000, "and at every start");
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
        (&["demo"], "ValidationException"),
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
