//! Keys of AWS KMS: the program against the mock, over HTTP, with AWS's own client in between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod objects;
mod rewrap;
mod service;
mod waiting;

use crate::common::plaintext;
use crate::service::Service;

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
