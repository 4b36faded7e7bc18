//! A client of TLS that takes any certificate and tells which one it was.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};

use super::client::Client;
use super::stage::Stage;

pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Believes everybody: which certificate was shown is a question for the case.
#[derive(Debug)]
struct Anyone;

/// Returns how a client speaks; the protocols are those that it offers by ALPN.
pub fn config(versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER)).with_protocol_versions(versions).unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// Makes a handshake for a name; errors say why there was none.
pub fn connect(stage: &Stage, name: &str, config: &Arc<ClientConfig>) -> Result<Client, String> {
    let mut client = stage.connect_https();
    let mut tls = begin(name, config);
    while tls.is_handshaking() || tls.wants_write() {
        let moved = tls.complete_io(&mut client.stream).map_err(|err| format!("no handshake: {err}"))?;
        if moved == (0, 0) {
            return Err("no handshake: the connection was closed".into());
        }
    }
    client.tls = Some(Box::new(tls));
    Ok(client)
}

/// Returns a session that has its hello to say.
pub fn begin(name: &str, config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
}

/// Makes a handshake as most clients do, with this offered.
pub fn offering(stage: &Stage, name: &str, protocols: &[&str]) -> Result<Client, String> {
    connect(stage, name, &Arc::new(config(rustls::DEFAULT_VERSIONS, protocols)))
}

/// Returns the certificate that was shown.
pub fn shown(client: &Client) -> Option<CertificateDer<'static>> {
    client.tls.as_ref()?.peer_certificates()?.first().cloned()
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
