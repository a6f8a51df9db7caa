//! Objects under keys of the service.

use serde_json::{Value, json};

use super::{LEN, opens, sealed_for};
use crate::common::plaintext;
use crate::service::{ONE, Service, TWO};

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
fn old_objects_open_after_the_service_rotated_its_key() {
    let service = sealed_for(&[ONE]);
    service.admin("RotateKeyOnDemand", &json!({ "KeyId": service.arn("alias/one") }));
    assert!(opens(&service, "in.seal", ONE));
    let before = service.read("in.seal");
    service.ok(&["rewrap", "-q", "in.seal", "--accept-context", "--key", ONE, "--to", ONE]);
    assert!(opens(&service, "in.seal", ONE));
    assert!(service.read("in.seal")[crate::common::PAYLOAD..] == before[crate::common::PAYLOAD..]);
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

pub(crate) fn service_key(service: &Service) -> String {
    service.arn("alias/two")
}

#[test]
fn calls_are_paced_as_asked_for() {
    let service = Service::new();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        service.write(name, name);
    }
    let start = std::time::Instant::now();
    let args = [&["encrypt", "-k", ONE, "--kms-max-per-second=5"], &names[..]].concat();
    service.ok(&args);
    // Each but the first waits for a fifth of a second.
    assert!(start.elapsed() >= std::time::Duration::from_millis(700));
    let none = service.run(&["verify", "a.seal", "--kms-max-per-second=0"]);
    assert_eq!(none.code, Some(2), "{none:?}");
}
