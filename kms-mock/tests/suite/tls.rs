//! The service over TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sealstone_kms_mock::{Fault, MockKms, MockKmsBuilder};

use crate::common::{PATIENCE, request};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn start(more: impl FnOnce(MockKmsBuilder) -> MockKmsBuilder) -> MockKms {
    more(MockKms::builder().tls()).start().unwrap()
}

fn plain(kms: &MockKms) -> TcpStream {
    let stream = TcpStream::connect(kms.endpoint().strip_prefix("https://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client that trusts this certificate and expects this server name.
fn client(kms: &MockKms, certificate: &str, name: &str) -> Stream {
    let mut trusted = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    trusted.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, plain(kms))
}

/// The answer to a call up to the end of its body, or the error.
fn call(stream: &mut Stream, operation: &str) -> std::io::Result<String> {
    stream.write_all(&request(operation, b"{}"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer)? {
            0 => break,
            len => answer.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn a_client_that_trusts_the_certificate_is_answered_by_every_name_of_loopback() {
    let kms = start(|builder| builder);
    let certificate = kms.certificate().unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut stream = client(&kms, certificate, name);
        for _ in 0..3 {
            let answer = call(&mut stream, "ListKeys").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {answer}");
        }
    }
    let event = kms.audit_events().pop().unwrap();
    assert_eq!(event["tlsDetails"]["tlsVersion"], "TLSv1.3");
    assert!(
        event["tlsDetails"]["cipherSuite"].as_str().unwrap().starts_with("TLS_"),
        "{event}"
    );
}

#[test]
fn others_are_not() {
    let (kms, other) = (start(|builder| builder), start(|builder| builder));
    let stranger = call(&mut client(&kms, other.certificate().unwrap(), "localhost"), "ListKeys");
    assert!(stranger.unwrap_err().to_string().contains("certificate"));
    let elsewhere = call(
        &mut client(&kms, kms.certificate().unwrap(), "kms.eu-west-1.amazonaws.com"),
        "ListKeys",
    );
    assert!(elsewhere.unwrap_err().to_string().contains("certificate"));

    // Without TLS the service does not answer, and the next client is served.
    let mut bare = plain(&kms);
    bare.write_all(&request("ListKeys", b"{}")).unwrap();
    let mut answer = Vec::new();
    let _ = bare.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let mut trusting = client(&kms, kms.certificate().unwrap(), "localhost");
    assert!(call(&mut trusting, "ListKeys").unwrap().contains(" 200 OK"));
    assert!(MockKms::start().unwrap().certificate().is_none());
}

#[test]
fn a_handshake_that_does_not_come_is_cut_off() {
    let kms = start(|builder| builder.client_timeout(Duration::from_millis(200)));
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let begin = Instant::now();
        let mut stream = plain(&kms);
        stream.write_all(sent).unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
        assert!(begin.elapsed() < PATIENCE / 2);
    }
}

#[test]
fn faults_are_the_same_as_without() {
    let kms = start(|builder| builder);
    let certificate = kms.certificate().unwrap();
    let cases = [
        Fault {
            reset_connection: true,
            ..Fault::default()
        },
        Fault {
            truncate_body: true,
            ..Fault::default()
        },
    ];
    for fault in cases {
        let id = kms.faults().add(fault.clone()).unwrap();
        let mut stream = client(&kms, certificate, "localhost");
        let answer = call(&mut stream, "ListKeys");
        let is_whole = answer.as_ref().is_ok_and(|answer| answer.ends_with('}'));
        assert!(!is_whole, "{fault:?}: {answer:?}");
        assert!(kms.faults().remove(id));
        assert!(call(&mut client(&kms, certificate, "localhost"), "ListKeys").is_ok());
    }
}
