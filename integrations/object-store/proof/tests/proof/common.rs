//! The server, keys and data.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealstone::RawKey;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};

pub(crate) const METADATA: Capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::All);
pub(crate) const ATTACHED: Capabilities = Capabilities::new(HeaderPlace::Attached, ServerCopies::All);

const VARIABLE: &str = "SEALSTONE_TEST_S3_ENDPOINT";

/// The server's address, as `http://HOST:PORT`.
pub(crate) fn endpoint() -> String {
    let url = std::env::var(VARIABLE);
    url.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `tools/check stores`"))
}

/// Makes an empty bucket, and returns its name. `object_store` cannot make buckets.
pub(crate) fn new_bucket() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("proof-{}-{count}", std::process::id());
    let endpoint = endpoint();
    let host = endpoint.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut server = TcpStream::connect(host).unwrap();
    let request = format!("PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    server.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    name
}

pub(crate) fn key() -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[7; 32]).unwrap())
}

/// What no object may have as it is.
pub(crate) const SECRET: &[u8] = b"diagnosis: confidential";

/// Bytes that repeat nowhere near, with the secret at their beginning, in their middle and at their end.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    let words = (0..).map(|word: u64| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let mut bytes: Vec<u8> = words.flatten().take(len).collect();
    for start in [0, len / 2, len - SECRET.len()] {
        bytes[start..start + SECRET.len()].copy_from_slice(SECRET);
    }
    bytes
}

pub(crate) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
