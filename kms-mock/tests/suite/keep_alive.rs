//! Persistent connections.

use sealstone_kms_mock::MockKms;

use crate::common::{Client, request};

#[test]
fn many_calls_on_one_connection_each_with_a_request_id_of_its_own() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    let mut ids: Vec<String> = (0..200)
        .map(|_| {
            client
                .call("ListKeys", "{}")
                .header("x-amzn-requestid")
                .unwrap()
                .to_owned()
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn every_answer_says_that_it_is_a_mock() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    for operation in ["ListKeys", "Conjure"] {
        let answer = client.call(operation, "{}");
        assert_eq!(answer.header("x-kms-mock"), Some("not a real key service"));
        assert!(answer.header("server").unwrap().starts_with("kms-mock/"));
    }
}

/// Some clients compare header names with case.
#[test]
fn header_names_are_in_title_case() {
    let kms = MockKms::start().unwrap();
    let mut client = Client::new(&kms.endpoint());
    for operation in ["ListKeys", "Conjure"] {
        client.send(&request(operation, b"{}"));
        let head = client.head();
        assert!(
            head.contains("\r\nContent-Length: ") && head.contains("\r\nContent-Type: "),
            "{head}"
        );
        let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        for (name, _) in names {
            let words = name.split('-');
            let is_title = |word: &str| word.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(words.clone().all(is_title), "{name}");
        }
    }
}

#[test]
fn a_mock_can_be_started_and_dropped_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let kms = MockKms::start().unwrap();
        assert_eq!(crate::common::call(&kms.endpoint(), "ListKeys", "{}").status, 200);
    });
}

#[test]
fn many_clients_at_once() {
    let kms = MockKms::start().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::new(&kms.endpoint());
                for _ in 0..100 {
                    assert_eq!(client.call("ListKeys", "{}").status, 200);
                }
            });
        }
    });
}
