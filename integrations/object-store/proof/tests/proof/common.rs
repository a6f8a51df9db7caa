//! The server, keys and data.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::Method;
use sealstone::RawKey;
use sealstone_object_store::{Capabilities, HeaderPlace, ServerCopies};
use url::Position;

use crate::v0_14::cases::s3_builder_of;
use crate::v0_14::object_store::path::Path;
use crate::v0_14::object_store::signer::Signer;

pub(crate) const METADATA: Capabilities = Capabilities::new(HeaderPlace::Metadata, ServerCopies::All);
pub(crate) const ATTACHED: Capabilities = Capabilities::new(HeaderPlace::Attached, ServerCopies::All);

/// The S3 server, and who we are to it.
pub(crate) struct Server {
    /// As `http://HOST:PORT`.
    pub(crate) endpoint: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    /// Whether it is Garage, which ignores the conditions of writes. Its listings can also show what was just deleted, if
    /// one of the two nodes that it asks has not heard of the deletion.
    pub(crate) is_garage: bool,
}

impl Server {
    pub(crate) fn of_environment() -> Self {
        let variable = |name| {
            let value = std::env::var(name);
            value.unwrap_or_else(|_| panic!("{name} is not set: run `tools/check stores`"))
        };
        Self {
            endpoint: variable("SEALSTONE_TEST_S3_ENDPOINT"),
            access_key_id: variable("AWS_ACCESS_KEY_ID"),
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY"),
            is_garage: std::env::var_os("SEALSTONE_TEST_S3_IS_GARAGE").is_some(),
        }
    }

    /// Makes an empty bucket, and returns its name. `object_store` cannot make buckets, but it can sign the request.
    pub(crate) fn new_bucket(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("proof-{}-{count}", std::process::id());
        let bucket = s3_builder_of(self, &name).build().unwrap();
        let root = Path::default();
        let signed = bucket.signed_url(Method::PUT, &root, Duration::from_secs(60));
        // Nothing is fetched for it.
        let url = signed.now_or_never().unwrap().unwrap();
        let host = url.authority();
        let target = &url[Position::BeforePath..];
        let mut server = TcpStream::connect(host).unwrap();
        let request =
            format!("PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        server.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        server.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        name
    }
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
