//! Slots that move between keys of the service, and between them and others.

use sealstone_kms_mock::Fault;
use serde_json::json;

use super::{opens, sealed_for};
use crate::service::{ONE, Service, TWO, failing};

#[test]
fn slots_move_between_keys_of_the_service_without_the_data() {
    let service = sealed_for(&[ONE]);
    let before = service.read("in.seal");
    let rewrap = ["rewrap", "in.seal", "--accept-context", "--key", ONE, "--to", TWO];
    let calls = service.calls_of(|| _ = service.ok(&rewrap));
    assert!(calls.contains(&("ReEncrypt".to_owned(), None)), "{calls:?}");
    assert!(!calls.iter().any(|(name, _)| name == "Encrypt"), "{calls:?}");
    assert!(!opens(&service, "in.seal", ONE) && opens(&service, "in.seal", TWO));
    assert!(service.read("in.seal")[crate::common::PAYLOAD..] == before[crate::common::PAYLOAD..]);
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
