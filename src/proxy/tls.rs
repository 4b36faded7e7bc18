//! TLS with clients (RFC 8446, RFC 5246): which certificate is shown to whom, and which protocol is agreed on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::error::{Error, Result};
use crate::route::{Certificate, HostName, Routes, Target};

/// What a certificate authority agrees on to see its proof (RFC 8737 §3).
const CHALLENGE: &[u8] = b"acme-tls/1";
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// A fatal alert `unrecognized_name` as a record of its own (RFC 8446 §5.1, §6; RFC 6066 §3).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// How handshakes are made. Clones share the keys of session tickets, so that a session resumes on any core.
#[derive(Clone)]
pub(super) struct Tls {
    certificates: Arc<Shown>,
    http: Arc<ServerConfig>,
    challenge: Arc<ServerConfig>,
}

/// Picks the certificate that a client is shown.
struct Shown {
    routes: Routes,
    /// For the server's own names, and for hosts whose certificate has ended or is not there yet: a client that goes on all the same is
    /// served, others see what is wrong.
    stopgap: Arc<CertifiedKey>,
}

/// As [`Shown`], for the authority's challenges.
struct Proof(Arc<Shown>);

/// What a handshake came to.
pub(super) enum Agreed<S> {
    Http1(TlsStream<S>),
    Http2(TlsStream<S>),
    /// The authority has seen what it wanted to see.
    Proven,
}

// === impl Tls ===

impl Tls {
    /// Errors are of kind `Setup`.
    pub(super) fn new(routes: Routes) -> Result<Tls> {
        let certificates = Arc::new(Shown { routes, stopgap: stopgap()? });
        let mut http = config(Arc::clone(&certificates) as _)?;
        http.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        http.ticketer = aws_lc_rs::Ticketer::new().map_err(|err| Error::setup("TLS cannot make session tickets").because(err))?;
        http.send_tls13_tickets = 1;
        let mut challenge = config(Arc::new(Proof(Arc::clone(&certificates))))?;
        challenge.alpn_protocols = vec![CHALLENGE.to_vec()];
        Ok(Tls { certificates, http: Arc::new(http), challenge: Arc::new(challenge) })
    }

    /// Makes a handshake within `deadline`. Errors: the client left, took too long, or does not speak what we do.
    pub(super) async fn accept<S>(&self, stream: S, deadline: Duration) -> io::Result<Agreed<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        timeout(deadline, self.shake_hands(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn shake_hands<S>(&self, stream: S) -> io::Result<Agreed<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        // Only alone it means the authority: others that offer it, too, want HTTP.
        let is_challenge = hello.alpn().is_some_and(|mut offered| offered.next() == Some(CHALLENGE) && offered.next().is_none());
        let name = hello.server_name().map(str::to_owned);
        if !is_challenge && self.certificates.pick(name.as_deref()).is_none() {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            return Err(io::Error::other(format!("nothing is known of {}", name.unwrap_or_default().escape_debug())));
        }
        let config = if is_challenge { &self.challenge } else { &self.http };
        let mut stream = start.into_stream(Arc::clone(config)).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(CHALLENGE) => stream.shutdown().await.map(|()| Agreed::Proven),
            Some(HTTP2) => Ok(Agreed::Http2(stream)),
            _ => Ok(Agreed::Http1(stream)),
        }
    }
}

/// What both kinds of handshake have in common: TLS 1.2 and 1.3, and no certificates of clients.
fn config(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|err| Error::setup("TLS cannot be set up").because(err))?;
    Ok(builder.with_no_client_auth().with_cert_resolver(certificates))
}

fn stopgap() -> Result<Arc<CertifiedKey>> {
    let failed = |err: rcgen::Error| Error::setup("no certificate can be made").because(err);
    let made = rcgen::generate_simple_self_signed(["mini.localhost".to_owned()]).map_err(failed)?;
    let certificate = Certificate::parse(&made.cert.pem(), &made.signing_key.serialize_pem())?;
    Ok(Arc::clone(certificate.key()))
}

// === impl Shown ===

impl Shown {
    /// Finds what to show for a name; without one, or for an address, this is a request to the server itself.
    fn pick(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name else { return Some(Arc::clone(&self.stopgap)) };
        let name = name.to_ascii_lowercase();
        let good = self.routes.certificates().find(&name).filter(|certificate| !certificate.has_ended());
        let is_known = || name.parse::<HostName>().is_ok_and(|host| !matches!(self.routes.lookup(&host), Target::None));
        good.map(|certificate| Arc::clone(certificate.key())).or_else(|| is_known().then(|| Arc::clone(&self.stopgap)))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pick(hello.server_name())
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the certificates of the routes")
    }
}

impl ResolvesServerCert for Proof {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.routes.certificates().challenge(&name).map(|certificate| Arc::clone(certificate.key()))
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the proofs for certificate authorities")
    }
}
