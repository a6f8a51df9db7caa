//! TLS with a self-made certificate, for clients that require TLS. They are configured to trust its authority.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longer than a mock runs, and shorter than the limit of some clients.
const VALID: Duration = Duration::days(365);

/// The server side of TLS, and the certificate authority that clients must trust.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate in PEM. Its private key is discarded.
    pub(crate) authority: String,
}

/// The negotiated parameters of a connection, as CloudTrail names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) version: &'static str,
    pub(crate) cipher_suite: String,
}

impl Tls {
    /// For `localhost`, the loopback addresses and this one.
    ///
    /// # Errors
    /// The random generator or the cryptography fails.
    pub(crate) fn new(address: IpAddr) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        if !address.is_unspecified() && !address.is_loopback() {
            names.push(address.to_string());
        }
        let now = OffsetDateTime::now_utc();
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "kms-mock, for tests only");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name.push(DnType::CommonName, "kms-mock");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.use_authority_key_identifier_extension = true;
        for certificate in [&mut authority, &mut server] {
            // A client's clock may be behind.
            (certificate.not_before, certificate.not_after) = (now - Duration::DAY, now + VALID);
        }
        let (authority_key, server_key) = (KeyPair::generate()?, KeyPair::generate()?);
        let authority_certificate = authority.self_signed(&authority_key)?;
        let server_certificate = server.signed_by(&server_key, &Issuer::from_params(&authority, &authority_key))?;

        let chain = vec![server_certificate.der().clone(), authority_certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority: authority_certificate.pem(),
        })
    }
}

impl Agreed {
    pub(crate) fn of<S>(stream: &TlsStream<S>) -> Option<Self> {
        let (_, connection) = stream.get_ref();
        let suite = connection.negotiated_cipher_suite()?.suite();
        Some(Self {
            version: match connection.protocol_version()? {
                rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher_suite: suite.as_str()?.replace("TLS13_", "TLS_"),
        })
    }
}
