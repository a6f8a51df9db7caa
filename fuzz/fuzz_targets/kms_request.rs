//! Every request to kms-mock's port is answered or refused. The first line is the operation, the rest the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealstone_kms_mock::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let line = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (operation, body) = bytes.split_at(line);
    let body = body.get(1..).unwrap_or_default();
    let headers: [(&str, &[u8]); 3] = [
        ("content-type", b"application/x-amz-json-1.1"),
        ("x-amz-target", operation),
        ("authorization", body),
    ];
    let _ = fuzzing::parse("POST", "/", &headers, body);
    if let Ok(operation) = std::str::from_utf8(operation) {
        let _ = fuzzing::call(operation, body);
    }
});
