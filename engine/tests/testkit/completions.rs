//! Receipts and completions of composite objects, as the second implementation made and judged them.

use std::fs;

use sealstone::composite::{CompositeObject, Receipt, padded_len, plaintext_len_of_padded};
use sealstone::format::ChunkSize;
use sealstone::{Decryptor, Error, ExpectedContext, Header};
use serde_json::Value;

use crate::common::oracle::unhex;
use crate::judge::{class, provider};

fn cases(name: &str) -> Vec<Value> {
    let path = crate::directory().join("composite").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap()).unwrap()
}

/// The object that the case's header and key are of, as a process that did not begin it sees it.
fn object(case: &Value) -> CompositeObject {
    let header = Header::from_detached(&bytes(&case["header"])).unwrap();
    let commitment = *header.commitment();
    let unlocked = Decryptor::new(provider(case["key"].as_str().unwrap()))
        .with_context(ExpectedContext::AcceptStored)
        .unlock(header)
        .unwrap();
    unlocked.composite(&commitment).unwrap()
}

fn check(case: &Value, found: &Result<(), Error>) -> Option<String> {
    let found = match found {
        Ok(()) => "success",
        // The sum of the lengths, in a completion.
        Err(Error::ObjectTooLarge) => "manifest",
        Err(error) => class(error),
    };
    let expected = case["expect"].as_array().unwrap();
    (!expected.iter().any(|class| class == found)).then(|| format!("{}: {found}, not {expected:?}", case["name"]))
}

#[test]
fn receipts_are_taken_and_refused_as_the_second_implementation_does() {
    let cases = cases("receipts.json");
    let wrong = cases.iter().filter_map(|case| {
        let taken = Receipt::from_bytes(&bytes(&case["receipt"])).and_then(|receipt| {
            assert_eq!(receipt.to_bytes(), bytes(&case["receipt"]));
            let len = case["plaintext_len"].as_u64();
            assert!(len.is_none_or(|len| receipt.plaintext_len() == len));
            object(case)
                .complete(&[(bytes(&case["label"]), receipt)], b"")
                .map(drop)
        });
        check(case, &taken)
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(cases.len() >= 30 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn completions_are_made_and_refused_as_the_second_implementation_does() {
    let cases = cases("completions.json");
    let wrong = cases.iter().filter_map(|case| {
        let completed = || {
            let mut parts = Vec::new();
            for part in case["parts"].as_array().unwrap() {
                parts.push((bytes(&part["label"]), Receipt::from_bytes(&bytes(&part["receipt"]))?));
            }
            let end = object(case).complete(&parts, &bytes(&case["note"]))?;
            if let Some(len) = case["plaintext_len"].as_u64() {
                assert_eq!(end.plaintext_len, len, "{}", case["name"]);
                assert_eq!(
                    end.payload_len,
                    case["payload_len"].as_u64().unwrap(),
                    "{}",
                    case["name"]
                );
                let before = case["components_len"].as_u64().unwrap();
                assert_eq!(end.bytes.len() as u64, end.payload_len - before, "{}", case["name"]);
            }
            Ok(())
        };
        check(case, &completed())
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(cases.len() >= 20 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn padded_lengths_are_those_of_the_second_implementation() {
    let cases = cases("padded.json");
    for case in &cases {
        let chunk_len = case["chunk_size"].as_u64().unwrap();
        let mut sizes = ChunkSize::ALL.into_iter();
        let size = sizes.find(|size| size.bytes() as u64 == chunk_len).unwrap();
        let padded = case["payload_len"].as_u64().unwrap();
        match case["plaintext_len"].as_u64() {
            Some(len) => {
                assert_eq!(plaintext_len_of_padded(size, padded).unwrap(), len);
                assert_eq!(padded_len(size, len).unwrap(), padded);
            }
            None => assert!(plaintext_len_of_padded(size, padded).is_err(), "{padded}"),
        }
    }
    assert!(cases.len() >= 200);
}
