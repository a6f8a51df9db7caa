//! Keys of AWS KMS: the program against the mock, over HTTP, with AWS's own client in between.
#![cfg(feature = "aws-kms")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::kms::{ONE, Service, TWO, failing};
use common::plaintext;
use sealstone_kms_mock::{Fault, Outage, Rate, Settings};
use serde_json::{Value, json};

const LEN: usize = 50_000;

/// A service and `in.seal`, sealed for `keys` under the context `tenant=blue`.
fn sealed_for(keys: &[&str]) -> Service {
    let service = Service::new();
    service.write("in", plaintext(LEN));
    let mut args = vec!["encrypt", "-q", "in", "--context", "tenant=blue"];
    for key in keys {
        args.extend(["--key", key]);
    }
    service.ok(&args);
    service
}

/// Whether `key` decrypts the object to what was encrypted.
fn opens(service: &Service, object: &str, key: &str) -> bool {
    let run = service.run(&["decrypt", "-q", object, "-o", "-", "--accept-context", "--key", key]);
    assert!(matches!(run.code, Some(0 | 7)), "{run:?}");
    run.code == Some(0) && run.stdout == plaintext(LEN)
}

#[test]
fn the_service_makes_the_data_key_and_unwraps_it_under_the_context() {
    let service = sealed_for(&[ONE]);
    service.ok(&[
        "decrypt",
        "-q",
        "in.seal",
        "-o",
        "out",
        "--context",
        "tenant=blue",
        "--key",
        ONE,
    ]);
    assert!(service.read("out") == plaintext(LEN));

    let events = service.mock.audit_events();
    let of = |name: &str| events.iter().find(|event| event["eventName"] == name).unwrap();
    for name in ["GenerateDataKey", "Decrypt"] {
        assert_eq!(
            of(name)["requestParameters"]["encryptionContext"],
            json!({ "tenant": "blue" })
        );
        assert_eq!(of(name)["errorCode"], Value::Null);
    }

    let inspected = service.ok(&["inspect", "--json", "in.seal"]);
    let facts: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let slot = json!([{ "provider": "aws-kms", "key_id": service.arn("alias/one") }]);
    assert_eq!(facts["slots"], slot);
    assert_eq!(facts["context"][0]["key"], "tenant");
}

#[test]
fn every_form_of_a_key_reads() {
    let service = sealed_for(&[ONE]);
    let arn = service.arn("alias/one");
    let id = arn.rsplit_once('/').unwrap().1.to_owned();
    let alias_arn = arn.replace(&format!("key/{id}"), "alias/one");
    let with_region = format!("alias/one@{}", service.mock.region());
    for key in [arn, id, alias_arn, with_region] {
        assert!(opens(&service, "in.seal", &format!("aws-kms:{key}")), "{key}");
    }
    // The region and the endpoint may come from the command line alone.
    let key = format!("{ONE}@{}", service.mock.region());
    let mut command = service.command(&["verify", "-q", "in.seal", "--accept-context", "--key", &key]);
    command.args(["--kms-endpoint", &service.mock.endpoint()]);
    command.env_remove("AWS_REGION").env_remove("AWS_ENDPOINT_URL_KMS");
    assert!(command.status().unwrap().success());
}

#[test]
fn an_endpoint_without_tls_on_another_machine_has_to_be_allowed() {
    let service = sealed_for(&[ONE]);
    let verify = ["verify", "in.seal", "--accept-context", "--key", ONE];
    let elsewhere = ["--kms-endpoint", "http://192.0.2.1:9"];
    let run = service.run(&[&verify[..], &elsewhere].concat());
    assert!(run.code != Some(0) && run.stdout.is_empty());
    assert!(
        run.stderr.contains("plain http://") && run.stderr.contains("--kms-insecure-endpoint"),
        "{run:?}"
    );
    // This machine's own needs no word.
    service.ok(&verify);
    service.ok(&[&verify[..], &["--kms-insecure-endpoint"]].concat());
}

#[test]
fn a_wrong_context_is_refused_by_us_before_any_call_or_by_the_service() {
    let service = Service::new();
    service.write("in", "secret");
    let pairs = ["--context", "tenant=blue", "--context-supplied", "path=a"];
    service.ok(&[&["encrypt", "-q", "in", "--key", ONE], &pairs[..]].concat());
    let decrypt = ["decrypt", "in.seal", "-o", "out", "--key", ONE];
    let calls = service.calls_of(|| {
        let pairs = ["--context", "tenant=red", "--context-supplied", "path=a"];
        service.fails(&[&decrypt[..], &pairs].concat(), 6, &["tenant"]);
    });
    assert!(calls.is_empty(), "{calls:?}");
    let calls = service.calls_of(|| {
        let pairs = ["--context", "tenant=blue", "--context-supplied", "path=b"];
        service.fails(&[&decrypt[..], &pairs].concat(), 6, &["context"]);
    });
    assert_eq!(
        calls,
        [("Decrypt".to_owned(), Some("InvalidCiphertextException".to_owned()))]
    );
    assert_eq!(service.names(), ["in", "in.seal"]);
}

/// The default context of SSE-KMS.
#[test]
fn an_object_is_bound_to_its_place_in_s3() {
    let service = Service::new();
    service.write("in", "secret");
    service.ok(&["encrypt", "-q", "in", "--key", ONE, "--s3-object", "s3://bucket/key"]);
    let verify = ["verify", "-q", "in.seal", "--key", ONE, "--s3-object"];
    let elsewhere = [&verify[..], &["s3://bucket/other"]].concat();
    service.fails(&elsewhere, 6, &["context"]);
    service.ok(&[&verify[..], &["s3://bucket/key"]].concat());
    let events = service.mock.audit_events();
    let context = &events.last().unwrap()["requestParameters"]["encryptionContext"];
    assert_eq!(*context, json!({ "aws:s3:arn": "arn:aws:s3:::bucket/key" }));
    let no_object = ["encrypt", "in", "--key", ONE, "--s3-object", "s3://bucket"];
    assert_eq!(service.run(&no_object).code, Some(2));
}

#[test]
fn a_disabled_key_stops_reads_and_writes_until_it_is_enabled() {
    let service = sealed_for(&[ONE]);
    service.admin("DisableKey", &json!({ "KeyId": service.arn("alias/one") }));
    service.fails(
        &["verify", "in.seal", "--accept-context", "--key", ONE],
        7,
        &["disabled"],
    );
    service.fails(&["encrypt", "in", "-o", "other.seal", "--key", ONE], 7, &["disabled"]);
    assert_eq!(service.names(), ["in", "in.seal"]);
    service.admin("EnableKey", &json!({ "KeyId": service.arn("alias/one") }));
    assert!(opens(&service, "in.seal", ONE));
}

#[test]
fn old_objects_open_after_the_service_rotated_its_key() {
    let service = sealed_for(&[ONE]);
    service.admin("RotateKeyOnDemand", &json!({ "KeyId": service.arn("alias/one") }));
    assert!(opens(&service, "in.seal", ONE));
    let before = service.read("in.seal");
    service.ok(&["rewrap", "-q", "in.seal", "--accept-context", "--key", ONE, "--to", ONE]);
    assert!(opens(&service, "in.seal", ONE));
    assert!(service.read("in.seal")[common::PAYLOAD..] == before[common::PAYLOAD..]);
}

#[test]
fn an_unknown_key_is_not_found() {
    let service = Service::new();
    service.write("in", "secret");
    service.fails(&["encrypt", "in", "--key", "aws-kms:alias/none"], 4, &["alias/none"]);
    assert_eq!(service.names(), ["in"]);
}

/// A service that is down is code 5, and nothing else is: what is configured wrongly does not pass by itself.
#[test]
fn what_is_configured_wrongly_has_codes_of_its_own() {
    let service = Service::new();
    service.write("in", "secret");
    let fails = |set: &[(&str, &str)], args: &[&str], code: i32, words: &[&str]| {
        let mut command = service.command(&["encrypt", "-f", "in", "--key", ONE]);
        command
            .args(args)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(set.iter().copied());
        let run = common::Run::from(command.output().unwrap());
        run.failed(code, words);
        assert!(!run.stderr.contains("panicked"), "{run:?}");
    };
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    fails(&none, &[], 7, &["no AWS credentials"]);
    fails(&[("AWS_PROFILE", "none"), none[0], none[1]], &[], 7, &["credentials"]);
    fails(&[("AWS_REGION", "")], &[], 2, &["no region is known"]);
    fails(&[("AWS_REGION", "eu west")], &[], 2, &["not the name of a region"]);
    fails(&[("AWS_ENDPOINT_URL_KMS", "localhost:1")], &[], 2, &["not a URL"]);
    fails(&[], &["--kms-endpoint", "localhost:1"], 2, &["not a URL"]);
    // These are not read, and would have been a panic.
    let mut command = service.command(&["encrypt", "-qf", "in", "--key", ONE]);
    command.envs([
        ("AWS_MAX_ATTEMPTS", "x"),
        ("AWS_RETRY_MODE", ""),
        ("AWS_PROFILE", ""),
        ("AWS_ENDPOINT_URL", ""),
    ]);
    let run = common::Run::from(command.output().unwrap());
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
}

/// The key that a header names is never asked for: it may be an attacker's.
#[test]
fn an_object_of_another_key_costs_no_call() {
    let service = sealed_for(&[TWO]);
    let key = format!("aws-kms:{}", service.arn("alias/one"));
    let calls = service.calls_of(|| {
        let args = ["verify", "in.seal", "--accept-context", "--key", &key];
        service.fails(&args, 7, &[&service_key(&service)]);
    });
    assert_eq!(
        calls.iter().filter(|(name, _)| name == "Decrypt").count(),
        0,
        "{calls:?}"
    );
    // Without --key nothing is asked either, and the error says which key it would take.
    let calls = service.calls_of(|| {
        service.fails(
            &["verify", "in.seal", "--accept-context"],
            7,
            &["--key aws-kms:arn:aws:kms:"],
        );
    });
    assert!(calls.is_empty(), "{calls:?}");
}

fn service_key(service: &Service) -> String {
    service.arn("alias/two")
}

#[test]
fn a_service_that_is_not_there_is_waited_for_within_bounds() {
    let service = sealed_for(&[ONE]);
    service.write("in2", "more");
    service
        .mock
        .faults()
        .set_settings(Settings {
            outage: Some(Outage::Reset),
            ..Settings::default()
        })
        .unwrap();
    let start = Instant::now();
    let decrypt = ["decrypt", "in.seal", "-o", "out", "--accept-context", "--key", ONE];
    service.fails(&decrypt, 5, &["try again later"]);
    // What was not begun is said, and nothing is left.
    service.fails(
        &["encrypt", "in", "in2", "-o", ".", "-f", "--key", ONE],
        5,
        &["1 more input"],
    );
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(service.names(), ["in", "in.seal", "in2"]);
    service.mock.faults().set_settings(Settings::default()).unwrap();
    assert!(opens(&service, "in.seal", ONE));
}

#[test]
fn throttling_is_retried_and_then_told() {
    let service = sealed_for(&[ONE]);
    let throttle = |count| Fault {
        count,
        ..failing("Decrypt", "ThrottlingException")
    };
    let verify = ["verify", "-q", "in.seal", "--accept-context", "--key", ONE];
    service.mock.faults().add(throttle(Some(1))).unwrap();
    let calls = service.calls_of(|| _ = service.ok(&verify));
    assert_eq!(calls.len(), 2, "{calls:?}");
    service.mock.faults().add(throttle(None)).unwrap();
    service.fails(&verify, 5, &["try again later"]);
}

/// The waits between a call's four attempts are drawn at random: for a call in 400,000 they are too short for this rate.
#[test]
fn a_rate_limit_is_waited_out() {
    let service = sealed_for(&[ONE]);
    service
        .mock
        .faults()
        .set_settings(Settings {
            rate: Some(Rate {
                per_second: 20.0,
                burst: Some(1),
            }),
            ..Settings::default()
        })
        .unwrap();
    let mut verify = vec!["verify", "-q", "--accept-context", "--key", ONE];
    verify.extend(["in.seal"; 4]);
    let calls = service.calls_of(|| _ = service.ok(&verify));
    let (answered, throttled): (Vec<_>, Vec<_>) = calls.iter().partition(|(_, error)| error.is_none());
    assert_eq!(answered.len(), 4, "{calls:?}");
    assert!(!throttled.is_empty());
}

#[test]
fn slots_move_between_keys_of_the_service_without_the_data() {
    let service = sealed_for(&[ONE]);
    let before = service.read("in.seal");
    let rewrap = ["rewrap", "in.seal", "--accept-context", "--key", ONE, "--to", TWO];
    let calls = service.calls_of(|| _ = service.ok(&rewrap));
    assert!(calls.contains(&("ReEncrypt".to_owned(), None)), "{calls:?}");
    assert!(!calls.iter().any(|(name, _)| name == "Encrypt"), "{calls:?}");
    assert!(!opens(&service, "in.seal", ONE) && opens(&service, "in.seal", TWO));
    assert!(service.read("in.seal")[common::PAYLOAD..] == before[common::PAYLOAD..]);
    assert!(service.ok(&rewrap).stderr.contains("unchanged (already)"));
}

/// By those who may not decrypt: the data key does not leave the service.
#[test]
fn slots_move_without_opening() {
    let service = sealed_for(&[ONE]);
    let [one, two] = ["alias/one", "alias/two"].map(|alias| format!("aws-kms:{}", service.arn(alias)));
    let rewrap = [
        "rewrap",
        "-q",
        "in.seal",
        "--accept-context",
        "--without-opening",
        "--key",
        &one,
        "--to",
        &two,
    ];
    let calls = service.calls_of(|| _ = service.ok(&rewrap));
    assert_eq!(calls, [("ReEncrypt".to_owned(), None)]);
    // Again, it is done, and no permission to decrypt is needed to know that.
    let calls = service.calls_of(|| _ = service.ok(&rewrap));
    assert!(calls.is_empty(), "{calls:?}");
    assert!(!opens(&service, "in.seal", ONE) && opens(&service, "in.seal", TWO));
}

#[test]
fn from_the_local_ring_to_the_service_and_back() {
    let service = sealed_for(&["local:default"]);
    let rewrap = |old, new| _ = service.ok(&["rewrap", "-q", "in.seal", "--accept-context", "--key", old, "--to", new]);
    rewrap("local:default", ONE);
    assert!(opens(&service, "in.seal", ONE) && !opens(&service, "in.seal", "local:default"));
    rewrap(ONE, "local:default");
    assert!(!opens(&service, "in.seal", ONE) && opens(&service, "in.seal", "local:default"));
}

/// An alias may mean any slot of the service by its name; only those that it opens are replaced.
#[test]
fn slots_of_other_keys_stay() {
    let service = sealed_for(&[ONE, TWO]);
    service.admin(
        "CreateAlias",
        &json!({
            "AliasName": "alias/three",
            "TargetKeyId": service.admin("CreateKey", &json!({}))["KeyMetadata"]["KeyId"],
        }),
    );
    let three = "aws-kms:alias/three";
    service.ok(&[
        "rewrap",
        "-q",
        "in.seal",
        "--accept-context",
        "--key",
        ONE,
        "--to",
        three,
    ]);
    assert!(!opens(&service, "in.seal", ONE) && opens(&service, "in.seal", TWO) && opens(&service, "in.seal", three));
    service.ok(&[
        "rewrap",
        "-q",
        "in.seal",
        "--accept-context",
        "--key",
        three,
        "--remove",
        TWO,
    ]);
    assert!(!opens(&service, "in.seal", TWO) && opens(&service, "in.seal", three));
}

/// A key that cannot be used now is no reason to drop its slot, or to say that there is nothing to remove.
#[test]
fn a_key_that_is_disabled_loses_and_keeps_no_slot_unseen() {
    let service = sealed_for(&["local:default", TWO]);
    let before = service.read("in.seal");
    service.admin("DisableKey", &json!({ "KeyId": service.arn("alias/two") }));
    let rewrap = ["rewrap", "in.seal", "--accept-context", "--key", "local:default"];
    let rebind = ["--key", TWO, "--set-context", "tenant=red", "--drop-unreachable"];
    service.fails(&[&rewrap[..], &rebind].concat(), 7, &["disabled"]);
    service.fails(&[&rewrap[..], &["--remove", TWO]].concat(), 7, &["disabled"]);
    service.fails(
        &[&rewrap[..], &["--remove", "aws-kms:alias/none"]].concat(),
        4,
        &["alias/none"],
    );
    assert!(service.read("in.seal") == before);
    // By its name it can be removed.
    let slot = format!("aws-kms:{}", service.arn("alias/two"));
    service.ok(&[&rewrap[..], &["--remove", &slot]].concat());
}

#[test]
fn every_key_that_is_named_is_asked() {
    let service = sealed_for(&[TWO]);
    for name in ["alias/a", "alias/b"] {
        let target = &service.admin("CreateKey", &json!({}))["KeyMetadata"]["KeyId"];
        service.admin("CreateAlias", &json!({ "AliasName": name, "TargetKeyId": target }));
    }
    let keys = [
        "--key",
        "aws-kms:alias/a",
        "--key",
        "aws-kms:alias/b",
        "--key",
        ONE,
        "--key",
        TWO,
    ];
    service.ok(&[&["verify", "-q", "in.seal", "--accept-context"], &keys[..]].concat());
}

#[test]
fn the_context_is_changed_by_the_service() {
    let service = sealed_for(&[ONE]);
    service.ok(&[
        "rewrap",
        "-q",
        "in.seal",
        "--accept-context",
        "--key",
        ONE,
        "--set-context",
        "tenant=red",
    ]);
    service.ok(&["verify", "-q", "in.seal", "--context", "tenant=red", "--key", ONE]);
    service.fails(
        &["verify", "in.seal", "--context", "tenant=blue", "--key", ONE],
        6,
        &["tenant"],
    );
}

#[test]
fn an_outage_in_the_middle_of_many_rewraps_is_gone_on_from() {
    // A campaign takes more.
    let objects = std::env::var("SEALSTONE_CASES").map_or(20, |cases| cases.parse::<usize>().unwrap());
    let rest = objects - 7;
    let service = Service::new();
    let names: Vec<_> = (0..objects).map(|number| format!("{number:04}")).collect();
    for name in &names {
        service.write(name, name);
    }
    let inputs: Vec<_> = names.iter().map(String::as_str).collect();
    service.ok(&[&["encrypt", "-q", "--key", ONE], &inputs[..]].concat());

    let sealed: Vec<_> = names.iter().map(|name| format!("{name}.seal")).collect();
    let sealed: Vec<_> = sealed.iter().map(String::as_str).collect();
    let rewrap = [&["rewrap", "--key", ONE, "--to", TWO], &sealed[..]].concat();
    let not_begun = format!("{} more inputs not begun", rest - 1);
    let told = format!("7 of {objects} are as asked for");
    let fault = service.mock.faults().add(Fault {
        skip_first: 7,
        ..failing("ReEncrypt", "KMSInternalException")
    });
    let run = service.fails(&rewrap, 5, &[&not_begun, &told]);
    assert_eq!(run.stderr.matches("rewrapped ").count(), 7, "{run:?}");
    // Every object opens by the one key or the other in between.
    let both = [&["verify", "-q", "--key", ONE, "--key", TWO], &sealed[..]].concat();
    service.ok(&both);

    assert!(service.mock.faults().remove(fault.unwrap()));
    let run = service.ok(&rewrap);
    let told = format!("{objects} of {objects} are as asked for: {rest} changed, 7 already; 0 are not");
    assert!(run.stderr.contains(&told), "{run:?}");
    service.ok(&[&["verify", "-q", "--key", TWO], &sealed[..]].concat());
    println!("campaign: rewraps_with_an_outage cases={objects}");
}

#[test]
fn what_is_missing_of_the_settings_is_named_soon() {
    let service = Service::new();
    service.write("in", "secret");
    let start = Instant::now();
    let mut command = service.command(&["encrypt", "in", "--key", ONE]);
    let run = common::Run::from(command.env_remove("AWS_REGION").output().unwrap());
    run.failed(2, &["region", "AWS_REGION"]);
    let mut command = service.command(&["encrypt", "in", "--key", ONE]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let run = common::Run::from(command.output().unwrap());
    run.failed(7, &["credentials"]);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(service.names(), ["in"]);
    assert_eq!(service.run(&["encrypt", "in", "--key", "aws-kms:x"]).code, Some(2));
}
