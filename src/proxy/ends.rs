//! The two ends of one client connection.

use std::net::{IpAddr, SocketAddr};

use hyper::header::HeaderValue;

use super::headers::text;

/// Who is at the other end of a connection and where it came in, and how headers write that: once for all of its requests.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// IPv4 in its own form, whatever the socket's.
    pub(super) client: IpAddr,
    pub(super) port: u16,
    /// It is a connection of TLS.
    pub(super) is_secure: bool,
    client_text: HeaderValue,
}

// === impl Ends ===

impl Ends {
    pub(super) fn new(client: SocketAddr, local: SocketAddr, is_secure: bool) -> Ends {
        let client = client.ip().to_canonical();
        Ends { client, port: local.port(), is_secure, client_text: text(&client.to_string()) }
    }

    /// Returns the client's address as a header's value.
    pub(super) fn client_text(&self) -> HeaderValue {
        self.client_text.clone()
    }
}
