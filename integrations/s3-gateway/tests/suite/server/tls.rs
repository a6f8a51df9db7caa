//! TLS, and what it says about a connection.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sealstone_s3_gateway::server::TlsFiles;

use super::client::{Call, Reply, connect, send};
use super::double::Running;

/// Writes a new certificate and its key, and returns what clients must trust.
pub(crate) fn certificate(directory: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificates: directory.join("chain.pem"),
        key: directory.join("key.pem"),
    };
    std::fs::write(&files.certificates, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

pub(crate) fn send_over_tls(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    request: &[u8],
) -> std::io::Result<Reply> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(address));
    stream.write_all(request)?;
    Ok(Reply::read(stream))
}

#[test]
fn a_connection_is_encrypted_by_tls_or_by_a_trusted_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let (files, trusted) = certificate(directory.path());
    let get = Call::new("GET", "/buck/connection");
    let forwarded = get.clone().unsigned("x-forwarded-proto", "https, http");

    let plain = Running::start(|_| {});
    assert_eq!(send(plain.address, &get.signed()).text(), "false");
    assert_eq!(send(plain.address, &forwarded.signed()).text(), "false");
    let behind_proxy = Running::start(|settings| settings.trust_forwarded_proto = true);
    assert_eq!(send(behind_proxy.address, &get.signed()).text(), "false");
    assert_eq!(send(behind_proxy.address, &forwarded.signed()).text(), "true");
    let http = get.clone().unsigned("x-forwarded-proto", "http, https");
    assert_eq!(send(behind_proxy.address, &http.signed()).text(), "false");
    let tls = Running::start(|settings| settings.tls = Some(files));
    let reply = send_over_tls(tls.address, &trusted, &get.signed()).unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "true"));
}

#[test]
fn a_body_that_fails_in_its_middle_ends_the_connection_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (files, trusted) = certificate(directory.path());
    let server = Running::start(|settings| settings.tls = Some(files));
    let reply = send_over_tls(server.address, &trusted, &Call::new("GET", "/buck/fails").signed()).unwrap();
    assert_eq!(
        (reply.header("content-length"), reply.body.len()),
        (Some("131072"), 65536)
    );
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (files, old) = certificate(directory.path());
    let server = Running::start(|settings| settings.tls = Some(files.clone()));
    let list = Call::new("GET", "/").signed();
    let (_, new) = certificate(directory.path());
    assert!(send_over_tls(server.address, &new, &list).is_err());
    server.handle.reload().unwrap();
    assert_eq!(send_over_tls(server.address, &new, &list).unwrap().status, 200);
    assert!(send_over_tls(server.address, &old, &list).is_err());
    // One that cannot be used does not replace it.
    std::fs::write(&files.key, "no key").unwrap();
    let error = server.handle.reload().unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert_eq!(send_over_tls(server.address, &new, &list).unwrap().status, 200);
}
