//! The control port.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealstone_kms_mock::MockKms;
use serde_json::json;

use crate::common::{Client, call, control};

fn mock() -> (MockKms, String) {
    let kms = MockKms::builder().control().start().unwrap();
    let url = kms.control_endpoint().unwrap();
    (kms, url)
}

#[test]
fn there_is_none_unless_asked_for() {
    assert_eq!(MockKms::start().unwrap().control_endpoint(), None);
}

#[test]
fn a_fault_from_its_making_to_its_end() {
    let (kms, url) = mock();
    let fault = r#"{"op":"ListKeys","skip_first":1,"error":{"type":"KMSInternalException"}}"#;
    let made = control(&url, "POST", "/faults", fault);
    assert_eq!((made.status, &made.json()["id"]), (201, &json!(1)));
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 500);

    let seen = control(&url, "GET", "/faults/1", "").json();
    assert_eq!((&seen["matched"], &seen["fired"]), (&json!(2), &json!(1)));
    let changed = control(
        &url,
        "PATCH",
        "/faults/1",
        r#"{"error":{"type":"AException","status":418}}"#,
    );
    assert_eq!((changed.status, &changed.json()["skip_first"]), (200, &json!(1)));
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 418);
    let null = control(&url, "PATCH", "/faults/1", r#"{"error":null}"#);
    assert_eq!(null.status, 400, "a fault that does nothing");

    assert_eq!(
        control(&url, "GET", "/faults", "").json()["faults"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(control(&url, "DELETE", "/faults/1", "").status, 204);
    assert_eq!(control(&url, "DELETE", "/faults/1", "").status, 404);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);

    for _ in 0..3 {
        assert_eq!(control(&url, "POST", "/faults", r#"{"hang":true}"#).status, 201);
    }
    assert_eq!(control(&url, "DELETE", "/faults", "").status, 204);
    assert_eq!(kms.faults().list(), []);
}

#[test]
fn settings_are_set_whole_or_in_part() {
    let (kms, url) = mock();
    let whole = r#"{"outage":"unavailable","seed":7}"#;
    assert_eq!(control(&url, "PUT", "/settings", whole).json()["seed"], 7);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 503);
    let part = control(&url, "PATCH", "/settings", r#"{"outage":null,"rate":{"per_second":5}}"#).json();
    assert_eq!(
        (&part["seed"], &part["outage"], &part["rate"]["per_second"]),
        (&json!(7), &json!(null), &json!(5.0))
    );
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
    let put = control(&url, "PUT", "/settings", "{}").json();
    assert_eq!(put, control(&url, "GET", "/settings", "").json());
    assert_eq!((&put["seed"], &put["rate"]), (&json!(0), &json!(null)));
}

#[test]
fn the_clock_goes_forward() {
    let (kms, url) = mock();
    kms.advance_clock(Duration::from_secs(100));
    let clock = control(&url, "POST", "/clock", r#"{"advance_seconds":2592000}"#).json();
    assert_eq!(clock["ahead_seconds"], 2_592_100);
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(clock["now"].as_u64().unwrap().abs_diff(system + 2_592_100) < 60);
    let far = control(&url, "POST", "/clock", r#"{"advance_seconds":18446744073709551615}"#);
    assert_eq!(far.status, 200);
    assert_eq!(
        control(&url, "GET", "/clock", "").json()["ahead_seconds"],
        far.json()["ahead_seconds"]
    );
    assert_eq!(call(&kms.endpoint(), "CreateKey", "{}").status, 200);
}

#[test]
fn audit_events_can_be_read() {
    let (kms, url) = mock();
    assert_eq!(control(&url, "GET", "/audit", "").json(), json!({"Records": []}));
    call(&kms.endpoint(), "ListKeys", "{}");
    let records = control(&url, "GET", "/audit", "").json()["Records"].clone();
    assert_eq!(records[0]["eventName"], "ListKeys");
    assert_eq!(records, json!(kms.audit_events()));
}

#[test]
fn nonsense_gets_a_clear_error() {
    let (kms, url) = mock();
    let cases = [
        ("POST", "/faults", "{", 400),
        ("POST", "/faults", "", 400),
        ("POST", "/faults", "{}", 400),
        ("POST", "/faults", r#"{"hang":true,"colour":"red"}"#, 400),
        ("POST", "/faults", r#"{"hang":true,"op":"Conjure"}"#, 400),
        ("POST", "/faults", r#"{"hang":true,"probability":2}"#, 400),
        ("POST", "/faults", r#"{"hang":true,"reset_connection":true}"#, 400),
        ("POST", "/faults", r#"{"error":{"type":"a b"}}"#, 400),
        ("POST", "/faults", r#"{"error":{"type":"A","status":200}}"#, 400),
        ("POST", "/faults", r#"{"latency_ms":{"fixed":99999999999}}"#, 400),
        ("PUT", "/settings", r#"{"rate":{"per_second":-1}}"#, 400),
        ("PUT", "/settings", r#"{"rate":{"per_second":1,"burst":0}}"#, 400),
        ("PUT", "/settings", r#"{"outage":"yes"}"#, 400),
        ("PATCH", "/settings", "[]", 400),
        ("POST", "/clock", r#"{"advance_seconds":-1}"#, 400),
        ("PATCH", "/faults/77", "{}", 404),
        ("GET", "/faults/x", "", 404),
        ("GET", "/", "", 404),
        ("DELETE", "/clock", "", 405),
        ("PUT", "/faults", "{}", 405),
    ];
    for (method, path, body, status) in cases {
        let answer = control(&url, method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}");
        assert!(
            answer.json()["error"].as_str().unwrap().len() > 5,
            "{method} {path} {body}"
        );
    }
    assert_eq!(kms.faults().list(), []);
    assert_eq!(control(&url, "GET", "/health", "").json()["status"], "ok");
}

#[test]
fn it_has_the_limits_of_the_main_port() {
    let (_kms, url) = mock();
    let mut client = Client::new(&url);
    client.send(b"POST /faults HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.receive().unwrap();
    assert_eq!(answer.status, 413);
    assert!(answer.closes());
}

#[test]
fn faults_have_their_limit() {
    let (kms, url) = mock();
    for _ in 0..1000 {
        kms.faults()
            .add(sealstone_kms_mock::Fault {
                hang: true,
                ..Default::default()
            })
            .unwrap();
    }
    assert_eq!(control(&url, "POST", "/faults", r#"{"hang":true}"#).status, 400);
}
