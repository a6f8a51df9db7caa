//! Each fault, as a client sees it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sealstone_kms_mock::{Fault, InjectedError, Latency, MockKms, Outage, Rate, Settings};

use crate::common::{Client, call, request};

const GENERATE: &str = r#"{"KeyId":"alias/a","KeySpec":"AES_256"}"#;
const THROTTLED: &str = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";

fn mock() -> MockKms {
    MockKms::builder().key("alias/a").key("alias/b").start().unwrap()
}

fn on(op: &str) -> Fault {
    Fault {
        op: Some(op.to_owned()),
        ..Fault::default()
    }
}

fn error(kind: &str) -> Option<InjectedError> {
    Some(InjectedError {
        kind: kind.to_owned(),
        message: None,
        status: None,
    })
}

#[test]
fn an_error_is_answered_and_written_into_the_audit_log() {
    let kms = mock();
    let message = Some("no".to_owned());
    let teapot = InjectedError {
        kind: "OddException".to_owned(),
        message,
        status: Some(418),
    };
    kms.faults()
        .add(Fault {
            count: Some(1),
            error: Some(teapot),
            ..on("GenerateDataKey")
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    let answer = client.call("GenerateDataKey", GENERATE);
    assert_eq!((answer.status, answer.kind().as_str()), (418, "OddException"));
    assert_eq!(answer.json()["message"], "no");
    assert_eq!(client.call("GenerateDataKey", GENERATE).status, 200);

    let events = kms.audit_events();
    let codes: Vec<_> = events.iter().map(|event| event["errorCode"].as_str()).collect();
    assert_eq!(codes, [Some("OddException"), None]);
    assert_eq!(events[0]["requestID"], answer.header("x-amzn-requestid").unwrap());
    assert_eq!(events[0]["eventName"], "GenerateDataKey");
}

#[test]
fn errors_have_the_status_that_the_service_sends_them_with() {
    let kms = mock();
    let expected = [
        ("KMSInternalException", 500),
        ("KeyUnavailableException", 500),
        ("DependencyTimeoutException", 503),
        ("ThrottlingException", 400),
        ("AccessDeniedException", 400),
    ];
    for (kind, status) in expected {
        kms.faults()
            .add(Fault {
                count: Some(1),
                error: error(kind),
                ..Fault::default()
            })
            .unwrap();
        let answer = call(&kms.endpoint(), "ListKeys", "{}");
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind));
    }
}

#[test]
fn a_fault_of_one_key_leaves_the_others_alone() {
    let kms = mock();
    let key = Some("alias/a".to_owned());
    kms.faults()
        .add(Fault {
            key,
            error: error("KMSInternalException"),
            ..Fault::default()
        })
        .unwrap();
    let ask = |key: &str| {
        let json = format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256"}}"#);
        call(&kms.endpoint(), "GenerateDataKey", &json).status
    };
    let arn = |alias: &str| format!("arn:aws:kms:{}:{}:{alias}", kms.region(), kms.account());
    assert_eq!(ask("alias/a"), 500);
    assert_eq!(ask(&arn("alias/a")), 500);
    assert_eq!(ask("alias/b"), 200);
    assert_eq!(ask(&arn("alias/b")), 200);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
    assert_eq!(kms.faults().list()[0].matched, 2);
}

#[test]
fn a_fault_can_be_changed_and_taken_away() {
    let kms = mock();
    let id = kms
        .faults()
        .add(Fault {
            error: error("AException"),
            ..Fault::default()
        })
        .unwrap();
    let ask = || call(&kms.endpoint(), "ListKeys", "{}");
    assert_eq!(ask().kind(), "AException");
    assert!(
        kms.faults()
            .replace(
                id,
                Fault {
                    error: error("BException"),
                    ..Fault::default()
                }
            )
            .unwrap()
    );
    assert_eq!(ask().kind(), "BException");
    assert_eq!(kms.faults().get(id).unwrap().fired, 2);
    assert!(kms.faults().remove(id));
    assert!(!kms.faults().remove(id));
    assert_eq!(ask().status, 200);
}

#[test]
fn a_latency_holds_the_answer_back_but_not_other_connections() {
    let kms = mock();
    let latency_ms = Some(Latency { fixed: 300, jitter: 0 });
    kms.faults()
        .add(Fault {
            latency_ms,
            ..on("GenerateDataKey")
        })
        .unwrap();
    let start = Instant::now();
    let mut slow = Client::new(&kms.endpoint());
    slow.send(&request("GenerateDataKey", GENERATE.as_bytes()));
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
    assert_eq!(slow.receive().unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_hang_answers_nothing_and_ends_with_its_client() {
    let kms = MockKms::builder().connections(1).start().unwrap();
    kms.faults()
        .add(Fault {
            count: Some(1),
            hang: true,
            ..Fault::default()
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("ListKeys", b"{}"));
    client
        .stream()
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let silent = client.stream().peek(&mut [0]).unwrap_err();
    assert!(
        matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{silent}"
    );
    // The only connection slot is free again once the client has gone.
    drop(client);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
}

#[test]
fn a_mock_ends_while_calls_hang() {
    let kms = mock();
    kms.faults()
        .add(Fault {
            hang: true,
            ..Fault::default()
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("ListKeys", b"{}"));
    while kms.faults().list()[0].fired == 0 {
        std::thread::yield_now();
    }
    let start = Instant::now();
    drop(kms);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(client.until_the_end().0, b"");
}

#[test]
fn a_reset_is_a_reset() {
    let kms = mock();
    kms.faults()
        .add(Fault {
            count: Some(1),
            reset_connection: true,
            ..Fault::default()
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("ListKeys", b"{}"));
    assert_eq!(client.until_the_end(), (Vec::new(), true));
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
}

#[test]
fn a_cut_off_answer_promises_more_than_comes() {
    let kms = mock();
    kms.faults()
        .add(Fault {
            truncate_body: true,
            ..on("GenerateDataKey")
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("GenerateDataKey", GENERATE.as_bytes()));
    let (bytes, reset) = client.until_the_end();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let promised = head.to_ascii_lowercase();
    let promised: usize = promised
        .split("content-length: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(body.len(), promised / 2);
    assert!(!body.is_empty() && !reset);
    // The call was executed.
    assert_eq!(kms.audit_events().len(), 1);
}

#[test]
fn too_many_calls_are_throttled_with_the_words_of_the_service() {
    let kms = mock();
    let rate = Some(Rate {
        per_second: 0.0,
        burst: Some(3),
    });
    kms.faults()
        .set_settings(Settings {
            rate,
            ..Settings::default()
        })
        .unwrap();
    let mut client = Client::new(&kms.endpoint());
    for _ in 0..3 {
        assert_eq!(client.call("GenerateDataKey", GENERATE).status, 200);
    }
    let answer = client.call("GenerateDataKey", GENERATE);
    assert_eq!((answer.status, answer.kind().as_str()), (400, "ThrottlingException"));
    assert_eq!(answer.json()["message"], THROTTLED);
    // Not metered.
    assert_eq!(client.call("ListKeys", "{}").status, 200);
    kms.faults().set_settings(Settings::default()).unwrap();
    assert_eq!(client.call("GenerateDataKey", GENERATE).status, 200);
}

#[test]
fn an_outage_of_either_kind_meets_every_request_and_passes() {
    let kms = mock();
    let set = |outage| {
        let settings = Settings {
            outage,
            ..Settings::default()
        };
        kms.faults().set_settings(settings).unwrap();
    };
    let mut client = Client::new(&kms.endpoint());
    assert_eq!(client.call("ListKeys", "{}").status, 200);
    let known = kms.audit_events().len();

    set(Some(Outage::Unavailable));
    let answer = client.call("ListKeys", "{}");
    assert_eq!(
        (answer.status, answer.kind().as_str()),
        (503, "ServiceUnavailableException")
    );

    set(Some(Outage::Reset));
    client.send(&request("ListKeys", b"{}"));
    assert_eq!(client.until_the_end(), (Vec::new(), true));
    assert_eq!(kms.audit_events().len(), known);

    set(None);
    assert_eq!(call(&kms.endpoint(), "ListKeys", "{}").status, 200);
}

#[test]
fn a_disabled_key_works_until_the_change_has_spread() {
    let kms = mock();
    let delay = Duration::from_secs(600);
    let settings = Settings {
        propagation_delay_ms: 600_000,
        ..Settings::default()
    };
    kms.faults().set_settings(settings).unwrap();
    kms.advance_clock(delay);
    let mut client = Client::new(&kms.endpoint());
    let id = client.call("DescribeKey", r#"{"KeyId":"alias/a"}"#).json()["KeyMetadata"]["KeyId"].clone();
    assert_eq!(client.call("DisableKey", &format!(r#"{{"KeyId":{id}}}"#)).status, 200);
    assert_eq!(client.call("GenerateDataKey", GENERATE).status, 200);
    kms.advance_clock(delay);
    assert_eq!(client.call("GenerateDataKey", GENERATE).kind(), "DisabledException");
}
