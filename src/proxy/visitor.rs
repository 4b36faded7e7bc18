//! Who asks, and how: the client itself or, where it is a proxy that is trusted, whom that proxy names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::ends::Ends;
use super::headers::text;
use super::rules::list;
use crate::model::AddressRange;
use crate::route::HostName;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The proxies before this one whose word on their clients is taken; by default nobody's is.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[AddressRange]>);

/// Whom address lists and access lines mean, and what the app is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// The last address on the request's way that is no trusted proxy's.
    pub address: IpAddr,
    /// It came over TLS, here or at a trusted proxy.
    pub is_secure: bool,
    /// What a trusted proxy says; else the client is the visitor.
    named: Option<Box<Named>>,
}

/// A visitor as a trusted proxy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    address: HeaderValue,
    /// The addresses on the request's way, from the farthest that can be read to our peer's.
    forwarded_for: HeaderValue,
    /// As the visitor knows it, where the proxy says so.
    host: Option<HostName>,
    port: HeaderValue,
}

// === impl TrustedProxies ===

impl TrustedProxies {
    #[must_use]
    pub fn new(ranges: &[AddressRange]) -> TrustedProxies {
        TrustedProxies(ranges.into())
    }

    /// Reads who asks. To be called before anything is taken from the headers: a proxy that lets `Connection: X-Forwarded-For` of
    /// its client through would else hide that client.
    pub(super) fn visitor(&self, headers: &HeaderMap, ends: &Ends) -> Visitor {
        if self.trusts(ends.client) { self.named(headers, ends) } else { Visitor::itself(ends) }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    fn named(&self, headers: &HeaderMap, ends: &Ends) -> Visitor {
        let way = way(headers, ends.client);
        let address = way.iter().rev().find(|address| !self.trusts(**address)).or(way.first()).copied().unwrap_or(ends.client);
        let scheme = only(headers, &X_FORWARDED_PROTO).and_then(is_https);
        let own_port = || scheme.map_or_else(|| ends.port_text().clone(), |is_https| if is_https { 443 } else { 80 }.into());
        let port = only(headers, &X_FORWARDED_PORT).and_then(|port| port.parse().ok()).filter(|port: &u16| *port > 0);
        let named = Named {
            address: text(&address.to_string()),
            forwarded_for: text(&way.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")),
            host: only(headers, &X_FORWARDED_HOST).and_then(|host| host.parse().ok()),
            port: port.map_or_else(own_port, HeaderValue::from),
        };
        Visitor { address, is_secure: scheme.unwrap_or(ends.is_secure), named: Some(Box::new(named)) }
    }
}

/// Returns the addresses of `X-Forwarded-For` behind the last member that is none, and our peer's: who wrote nonsense may have written
/// what stands before it too.
fn way(headers: &HeaderMap, peer: IpAddr) -> Vec<IpAddr> {
    let members: Vec<&str> = list(headers, &X_FORWARDED_FOR).collect();
    let mut way: Vec<IpAddr> = members.into_iter().rev().map_while(address).collect();
    way.reverse();
    way.push(peer);
    way
}

/// Reads an address; some proxies write the port too.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// Returns the one value that a header has.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

// === impl Visitor ===

impl Visitor {
    /// The client is the visitor, whatever it says.
    fn itself(ends: &Ends) -> Visitor {
        Visitor { address: ends.client, is_secure: ends.is_secure, named: None }
    }

    /// Returns the address as headers and lines write it.
    pub(super) fn address_text<'a>(&'a self, ends: &'a Ends) -> &'a HeaderValue {
        self.named.as_ref().map_or(ends.client_text(), |named| &named.address)
    }

    /// Tells an app; `host` is the one that it is asked at.
    pub(super) fn introduce(&self, headers: &mut HeaderMap, ends: &Ends, host: &HeaderValue) {
        let (way, port, of_visitor) = match &self.named {
            None => (ends.client_text(), ends.port_text(), None),
            Some(named) => (&named.forwarded_for, &named.port, named.host.as_ref()),
        };
        headers.insert(X_FORWARDED_FOR, way.clone());
        headers.insert(X_REAL_IP, self.address_text(ends).clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if self.is_secure { "https" } else { "http" }));
        headers.insert(X_FORWARDED_PORT, port.clone());
        headers.insert(X_FORWARDED_HOST, of_visitor.map_or_else(|| host.clone(), |host| text(&host.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The visitor behind a peer that comes in over TLS at port 8080, and what an app is told of it.
    fn visitor(peer: &str, lines: &[(&'static str, &'static str)]) -> (Visitor, impl Fn(&str) -> String + use<>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let ends = Ends::new(peer.parse().unwrap(), HeaderValue::from_static("8080"), true);
        let visitor = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]).visitor(&headers, &ends);
        visitor.introduce(&mut headers, &ends, &HeaderValue::from_static("asked.localhost"));
        assert_eq!(headers["x-real-ip"], *visitor.address_text(&ends));
        (visitor, move |name: &str| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn a_stranger_is_its_own_visitor_whatever_it_says() {
        let (visitor, told) =
            visitor("::ffff:9.8.7.6", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "b")]);

        assert_eq!(visitor.address.to_string(), "9.8.7.6");
        assert!(visitor.is_secure);
        let names = ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];
        assert_eq!(names.map(told), ["9.8.7.6", "9.8.7.6", "https", "asked.localhost", "8080"]);
    }

    #[test]
    fn the_visitor_of_a_trusted_proxy_is_the_last_address_that_is_not_trusted() {
        let seen = |peer, list| {
            let (visitor, told) = visitor(peer, &[("x-forwarded-for", list)]);
            assert_eq!(told("x-real-ip"), visitor.address.to_string());
            (visitor.address.to_string(), told("x-forwarded-for"))
        };
        let of = |address: &str, way: &str| (address.to_owned(), way.to_owned());

        assert_eq!(seen("10.0.0.1", "6.6.6.6, 7.7.7.7, 10.2.2.2"), of("7.7.7.7", "6.6.6.6, 7.7.7.7, 10.2.2.2, 10.0.0.1"));
        assert_eq!(seen("10.0.0.1", "10.2.2.2"), of("10.2.2.2", "10.2.2.2, 10.0.0.1"));
        assert_eq!(seen("fd00::1", "2001:db8::1"), of("2001:db8::1", "2001:db8::1, fd00::1"));
        assert_eq!(seen("10.0.0.1", "6.6.6.6, unknown, 7.7.7.7:443"), of("7.7.7.7", "7.7.7.7, 10.0.0.1"));
        assert_eq!(seen("10.0.0.1", "[2001:db8::1]:443"), of("2001:db8::1", "2001:db8::1, 10.0.0.1"));
        assert_eq!(seen("10.0.0.1", "6.6.6.6,"), of("10.0.0.1", "10.0.0.1"));
    }

    #[test]
    fn only_what_is_well_formed_is_taken_from_a_trusted_proxy() {
        let names = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];
        let (good, told) =
            visitor("10.0.0.1", &[("x-forwarded-proto", "http"), ("x-forwarded-host", "Shop.example.com:81"), ("x-forwarded-port", "81")]);
        assert!(!good.is_secure);
        assert_eq!(names.map(told), ["http", "shop.example.com:81", "81"]);

        let (bad, told) = visitor("10.0.0.1", &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b"), ("x-forwarded-port", "0")]);
        assert!(bad.is_secure);
        assert_eq!(names.map(told), ["https", "asked.localhost", "8080"]);

        let (twice, _) = visitor("10.0.0.1", &[("x-forwarded-proto", "http"), ("x-forwarded-proto", "http")]);
        assert!(twice.is_secure);
    }
}
