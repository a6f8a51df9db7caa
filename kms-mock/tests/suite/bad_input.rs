//! Requests that no AWS client sends: each gets an error in AWS's form or a closed connection, and the server keeps
//! serving.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sealstone_kms_mock::MockKms;

use crate::common::{Client, PATIENCE, authorization, call, control, head, request};

const LIMIT: usize = 256 << 10;

fn alive(kms: &MockKms) {
    let answer = call(&kms.endpoint(), "ListKeys", "{}");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Builds a request from its parts. Empty headers are omitted.
fn odd(line: &str, content_type: &str, target: &str, authorization: &str, date: &str) -> Vec<u8> {
    let mut text = format!("{line}\r\nHost: localhost\r\nContent-Length: 2\r\n");
    for (name, value) in [
        ("Content-Type", content_type),
        ("X-Amz-Target", target),
        ("Authorization", authorization),
        ("X-Amz-Date", date),
    ] {
        if !value.is_empty() {
            text += &format!("{name}: {value}\r\n");
        }
    }
    (text + "\r\n{}").into_bytes()
}

#[test]
fn what_is_no_call_gets_the_error_of_the_service() {
    const POST: &str = "POST / HTTP/1.1";
    const JSON: &str = "application/x-amz-json-1.1";
    const TARGET: &str = "TrentService.ListKeys";
    const DATE: &str = "20260131T000000Z";
    let (auth, s3) = (authorization("kms"), authorization("s3"));
    let (auth, s3) = (auth.as_str(), s3.as_str());
    let cases = [
        (
            odd("GET / HTTP/1.1", JSON, TARGET, auth, DATE),
            405,
            "UnknownOperationException",
        ),
        (
            odd("POST /key HTTP/1.1", JSON, TARGET, auth, DATE),
            404,
            "UnknownOperationException",
        ),
        (odd(POST, "", TARGET, auth, DATE), 400, "SerializationException"),
        (
            odd(POST, "application/json", TARGET, auth, DATE),
            400,
            "SerializationException",
        ),
        (odd(POST, JSON, "", auth, DATE), 400, "UnknownOperationException"),
        (
            odd(POST, JSON, "ListKeys", auth, DATE),
            400,
            "UnknownOperationException",
        ),
        (
            odd(POST, JSON, "DynamoDB_20120810.ListTables", auth, DATE),
            400,
            "UnknownOperationException",
        ),
        (
            odd(POST, JSON, "TrentService.Conjure", auth, DATE),
            400,
            "UnknownOperationException",
        ),
        (
            odd(POST, JSON, "TrentService.\u{e9}", auth, DATE),
            400,
            "UnknownOperationException",
        ),
        (
            odd(POST, JSON, "TrentService.Sign", auth, DATE),
            400,
            "UnsupportedOperationException",
        ),
        (
            odd(POST, JSON, TARGET, "", DATE),
            400,
            "MissingAuthenticationTokenException",
        ),
        (
            odd(POST, JSON, TARGET, "Bearer x", DATE),
            400,
            "MissingAuthenticationTokenException",
        ),
        (
            odd(POST, JSON, TARGET, "AWS4-HMAC-SHA256 x", DATE),
            400,
            "IncompleteSignatureException",
        ),
        (odd(POST, JSON, TARGET, auth, ""), 400, "IncompleteSignatureException"),
        (odd(POST, JSON, TARGET, s3, DATE), 400, "InvalidSignatureException"),
    ];
    let kms = MockKms::start().unwrap();
    // All on one connection: none of them closes it.
    let mut client = Client::new(&kms.endpoint());
    for (bytes, status, kind) in cases {
        client.send(&bytes);
        let answer = client.receive().unwrap();
        let asked = String::from_utf8_lossy(&bytes);
        assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{asked}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/x-amz-json-1.1"),
            "{asked}"
        );
        assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36), "{asked}");
        assert_ne!(answer.json()["message"], "", "{asked}: a member with nothing in it");
    }
    assert_eq!(client.call("ListKeys", "{}").status, 200);
}

#[test]
fn a_charset_does_not_matter() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    let json = "Application/X-Amz-Json-1.1; charset=utf-8";
    client.send(&odd(
        "POST / HTTP/1.1",
        json,
        "TrentService.ListKeys",
        &authorization("kms"),
        "20260131T000000Z",
    ));
    assert_eq!(client.receive().unwrap().status, 200);
}

#[test]
fn the_largest_body_is_read_and_one_byte_more_is_not() {
    let kms = MockKms::start().unwrap();
    let padded = |len: usize| {
        let mut body = b"{}".to_vec();
        body.resize(len, b' ');
        body
    };
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("ListKeys", &padded(LIMIT)));
    assert_eq!(client.receive().unwrap().status, 200);
    client.send(&request("ListKeys", &padded(LIMIT + 1)));
    let answer = client.receive().unwrap();
    assert_eq!(
        (answer.status, answer.kind().as_str()),
        (413, "RequestEntityTooLargeException")
    );
    assert!(answer.closes());
    assert_eq!(client.until_the_end(), (Vec::new(), false));

    // Without a length in the head.
    let mut client = Client::new(&kms.endpoint());
    client.send(head("ListKeys", "Transfer-Encoding: chunked\r\n").as_bytes());
    for _ in 0..5 {
        client.send(b"10000\r\n");
        client.send(&padded(0x10000));
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    let answer = client.receive().unwrap();
    assert_eq!(
        (answer.status, answer.kind().as_str()),
        (413, "RequestEntityTooLargeException")
    );
    alive(&kms);
}

#[test]
fn a_length_beyond_all_memory_is_refused_at_once() {
    let kms = MockKms::start().unwrap();
    for len in [
        "99999999999",
        "18446744073709551615",
        "99999999999999999999999999",
        "-1",
        "x",
    ] {
        let mut client = Client::new(&kms.endpoint());
        let expect = format!("Content-Length: {len}\r\nExpect: 100-continue\r\n");
        client.send(head("ListKeys", &expect).as_bytes());
        let status = client.receive().map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 413 | 431)), "{len}: {status:?}");
    }
    alive(&kms);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(head("ListKeys", "Content-Length: 2\r\nExpect: 100-continue\r\n").as_bytes());
    assert_eq!(client.receive().unwrap().status, 100);
    client.send(b"{}");
    assert_eq!(client.receive().unwrap().status, 200);
}

#[test]
fn pipelined_calls_are_answered_in_order() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    let mut all = Vec::new();
    for _ in 0..50 {
        all.extend(request("ListKeys", b"{}"));
        all.extend(request("Conjure", b"{}"));
    }
    client.send(&all);
    for _ in 0..50 {
        assert_eq!(client.receive().unwrap().status, 200);
        assert_eq!(client.receive().unwrap().kind(), "UnknownOperationException");
    }
}

#[test]
fn a_body_byte_by_byte_and_in_chunks_is_one_body() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    for byte in request("ListKeys", br#"{"Limit":  10}"#) {
        client.send(&[byte]);
    }
    assert_eq!(client.receive().unwrap().status, 200);
    client.send(head("ListKeys", "Transfer-Encoding: chunked\r\n").as_bytes());
    client.send(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 200);
}

#[test]
fn slow_clients_are_disconnected() {
    let kms = MockKms::builder()
        .client_timeout(Duration::from_millis(200))
        .start()
        .unwrap();
    let whole = request("ListKeys", b"{}");
    // No byte, half a head, a head without its body.
    for sent in [0, 40, whole.len() - 1] {
        let mut client = Client::new(&kms.endpoint());
        client.send(&whole[..sent]);
        let (bytes, _) = client.until_the_end();
        let text = String::from_utf8_lossy(&bytes);
        if sent == whole.len() - 1 {
            assert!(
                text.starts_with("HTTP/1.1 408 ") && text.contains("RequestTimeoutException"),
                "{text}"
            );
        }
    }
    alive(&kms);
}

#[test]
fn a_client_that_has_sent_all_is_answered_though_it_closed_its_side() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    client.send(&request("ListKeys", b"{}"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.receive().unwrap().status, 200);

    // In the middle of a head, and of a body.
    let whole = request("ListKeys", b"{}");
    for sent in [20, whole.len() - 1] {
        let mut client = Client::new(&kms.endpoint());
        client.send(&whole[..sent]);
        client.stream().shutdown(Shutdown::Write).unwrap();
        let (bytes, _) = client.until_the_end();
        assert!(
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
    alive(&kms);
}

#[test]
fn heads_without_end_are_cut_off() {
    let kms = MockKms::start().unwrap();
    let line = format!("X-Long: {}\r\n", "a".repeat(8000));
    for lines in [line.repeat(100), "X-Many: 1\r\n".repeat(20_000), "a".repeat(1 << 20)] {
        let mut client = Client::new(&kms.endpoint());
        // The server may close before everything is sent.
        let _ = client.stream().write_all(head("ListKeys", &lines).as_bytes());
        if let Some(answer) = client.receive() {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
    }
    alive(&kms);
}

#[test]
fn no_more_connections_than_allowed_are_served_and_the_rest_wait() {
    let kms = MockKms::builder().connections(2).start().unwrap();
    let mut first = Client::new(&kms.endpoint());
    let mut second = Client::new(&kms.endpoint());
    assert_eq!(first.call("ListKeys", "{}").status, 200);
    assert_eq!(second.call("ListKeys", "{}").status, 200);
    let mut third = Client::new(&kms.endpoint());
    third.send(&request("ListKeys", b"{}"));
    third
        .stream()
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(third.stream().peek(&mut [0]).is_err(), "a third was served");
    drop(first);
    third.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(third.receive().unwrap().status, 200);
}

#[test]
fn a_flood_of_garbage_leaves_the_server_as_it_was() {
    let kms = MockKms::builder().control().start().unwrap();
    let control_url = kms.control_endpoint().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let whole = request("Decrypt", br#"{"CiphertextBlob":"AAAA"}"#);
    let start = Instant::now();
    for round in 0..400 {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            random.fill(&mut bytes);
        } else {
            for _ in 0..8 {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
        for url in [kms.endpoint(), control_url.clone()] {
            let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert!(start.elapsed() < PATIENCE, "a connection was kept");
    alive(&kms);
    assert_eq!(control(&control_url, "GET", "/health", "").status, 200);
}

#[test]
fn bodies_that_are_no_json_text_get_an_error() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let wrong: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"KeyId\":\xff}",
        b"{\"KeyId\":\"\xc3\x28\"}",
        &deep,
    ];
    for body in wrong {
        client.send(&request("GenerateDataKey", body));
        let answer = client.receive().unwrap();
        assert_eq!(
            answer.status,
            400,
            "{:?}",
            String::from_utf8_lossy(&body[..body.len().min(40)])
        );
        assert!(answer.kind().ends_with("Exception"));
    }
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = prop::sample::select(vec![
        "content-type",
        "x-amz-target",
        "authorization",
        "x-amz-date",
        "host",
    ]);
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "AWS4-HMAC-SHA256 (Credential=[a-z/0-9]{0,40}[,; =]{0,3}){0,3}".prop_map(String::into_bytes),
        "TrentService\\.[A-Za-z]{0,20}".prop_map(String::into_bytes),
    ];
    (names.prop_map(str::to_owned), value)
}

proptest! {
    #[test]
    fn the_parser_survives_any_request(
        method in "[A-Z]{1,8}",
        uri in "/[ -~]{0,20}",
        headers in prop::collection::vec(header(), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
        let _ = sealstone_kms_mock::fuzzing::parse(&method, &uri, &headers, &body);
    }
}
