//! A stream to a server's API: plain, or TLS with the certificates that this machine trusts.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::HttpAddress;
use crate::error::{Error, Result};

/// Time to connect and to agree on keys.
const CONNECT: Duration = Duration::from_secs(10);

/// A stream of bytes, whatever it runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects. Errors: no way there, or a certificate that this machine does not trust.
pub async fn connect(address: &HttpAddress) -> Result<TokioIo<Box<dyn Stream>>> {
    let place = address.place();
    let silent =
        || Error::unavailable(format!("the machine at {place} does not answer")).hint("does it run, and does its firewall let you in?");
    let opened = tokio::time::timeout(CONNECT, open(address)).await.map_err(|_| silent())??;
    Ok(TokioIo::new(opened))
}

async fn open(address: &HttpAddress) -> Result<Box<dyn Stream>> {
    let tcp = tcp(address).await.map_err(|err| no_server(address, err))?;
    // Small requests must not wait for more of them.
    let _ = tcp.set_nodelay(true);
    if !address.is_tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(address.host.clone())
        .map_err(|err| Error::usage(format!("`{}` is no name that a certificate can have", address.host)).because(err))?;
    let connector = TlsConnector::from(Arc::new(client_config()?));
    let tls = connector.connect(name, tcp).await.map_err(|err| untrusted(address, err))?;
    Ok(Box::new(tls))
}

/// Names below `localhost` are this machine, also where the resolver does not know them (RFC 6761, section 6.3).
async fn tcp(address: &HttpAddress) -> std::io::Result<TcpStream> {
    if address.is_loopback() && address.host.parse::<std::net::IpAddr>().is_err() {
        return TcpStream::connect(("localhost", address.port)).await;
    }
    TcpStream::connect((address.host.as_str(), address.port)).await
}

fn client_config() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            Error::unavailable("this machine trusts no certificates").hint("install the package `ca-certificates`, or set SSL_CERT_FILE")
        );
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|err| Error::failed("TLS is not available").because(err))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn no_server(address: &HttpAddress, err: std::io::Error) -> Error {
    let place = address.place();
    let refused = err.kind() == std::io::ErrorKind::ConnectionRefused;
    let is_unknown = err.raw_os_error().is_none();
    let sentence = match (refused, is_unknown) {
        (true, _) => format!("no server answers at {place}"),
        (_, true) => format!("there is no machine called `{}`", address.host),
        _ => format!("the machine at {place} does not answer"),
    };
    Error::unavailable(sentence).hint("does it run, and on this port? see: mini hosts").because(err)
}

fn untrusted(address: &HttpAddress, err: std::io::Error) -> Error {
    let place = address.place();
    let is_certificate = err.to_string().contains("certificate");
    let (sentence, hint) = if is_certificate {
        (
            format!("the certificate of {place} is not one that this machine trusts"),
            "is the name right? a private authority can be named: SSL_CERT_FILE=FILE mini …",
        )
    } else {
        (format!("no TLS is spoken at {place}"), "is it http:// or another port?")
    };
    Error::unavailable(sentence).hint(hint).because(err)
}
