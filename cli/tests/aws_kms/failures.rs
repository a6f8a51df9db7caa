//! A service that refuses, is down, or is configured wrongly.

use std::time::{Duration, Instant};

use sealstone_kms_mock::{Fault, Outage, Rate, Settings};
use serde_json::json;

use super::{opens, sealed_for};
use crate::service::{ONE, Service, failing};

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
        let run = crate::common::Run::from(command.output().unwrap());
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
    let run = crate::common::Run::from(command.output().unwrap());
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
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
fn what_is_missing_of_the_settings_is_named_soon() {
    let service = Service::new();
    service.write("in", "secret");
    let start = Instant::now();
    let mut command = service.command(&["encrypt", "in", "--key", ONE]);
    let run = crate::common::Run::from(command.env_remove("AWS_REGION").output().unwrap());
    run.failed(2, &["region", "AWS_REGION"]);
    let mut command = service.command(&["encrypt", "in", "--key", ONE]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let run = crate::common::Run::from(command.output().unwrap());
    run.failed(7, &["credentials"]);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(service.names(), ["in"]);
    assert_eq!(service.run(&["encrypt", "in", "--key", "aws-kms:x"]).code, Some(2));
}
