//! HTTPS as a careful client speaks it: only what leads to a root that it trusts is taken.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Answer;

/// GETs a path over TLS; returns the answer and the first certificate of the server's chain, or why the client would not go on.
pub fn get_https(address: SocketAddr, host: &str, path: &str, root_pem: &str) -> Result<(Answer, Vec<u8>), String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let tcp = TcpStream::connect(address).map_err(|err| err.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").map_err(|err| err.to_string())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(|err| err.to_string())?;
    let shown = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok((Answer::parse(&String::from_utf8_lossy(&text)), shown))
}
