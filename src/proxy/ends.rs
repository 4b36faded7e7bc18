//! The two ends of one client connection.

use std::net::IpAddr;

use hyper::header::HeaderValue;

use super::headers::text;

/// Who is at the other end of a connection and where it came in, and how headers write that: once for all of its requests.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// IPv4 in its own form, whatever the socket's.
    pub(super) client: IpAddr,
    /// It is a connection of TLS.
    pub(super) is_secure: bool,
    client_text: HeaderValue,
    port_text: HeaderValue,
}

// === impl Ends ===

impl Ends {
    /// `port`: where it came in, in digits.
    pub(super) fn new(client: IpAddr, port: HeaderValue, is_secure: bool) -> Ends {
        let client = client.to_canonical();
        Ends { client, is_secure, client_text: text(&client.to_string()), port_text: port }
    }

    /// Returns the client's address as a header's value.
    pub(super) fn client_text(&self) -> &HeaderValue {
        &self.client_text
    }

    /// Returns the port as a header's value.
    pub(super) fn port_text(&self) -> &HeaderValue {
        &self.port_text
    }
}
