//! The names under which this server is found: `localhost`, `nip.io`, `sslip.io` and its own domain.

use std::net::Ipv4Addr;

use super::HostName;

/// Where a host points.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The server itself.
    Bare,
    /// The label of an app, which may or may not exist.
    App(&'a str),
    /// Nothing of ours.
    Elsewhere,
}

/// Services that answer `<anything>.<ip>.<suffix>` with that address.
const ADDRESS_ZONES: [&str; 2] = [".nip.io", ".sslip.io"];

/// The label of the server itself; no app can be called so.
const OWN_LABEL: &str = "mini";

/// Finds what `host` names: an app is the one label just before `domain`, `localhost` or `<ip>.nip.io`.
pub(super) fn place<'a>(host: &'a HostName, domain: Option<&str>) -> Place<'a> {
    let Some(name) = host.name() else { return Place::Bare };
    [domain, Some("localhost")].into_iter().flatten().find_map(|base| below(name, base)).unwrap_or_else(|| below_address(name))
}

fn below<'a>(name: &'a str, base: &str) -> Option<Place<'a>> {
    match name.strip_suffix(base)? {
        "" => Some(Place::Bare),
        front => Some(label(front.strip_suffix('.')?)),
    }
}

fn below_address(name: &str) -> Place<'_> {
    let Some(rest) = ADDRESS_ZONES.iter().find_map(|zone| name.strip_suffix(zone)) else { return Place::Elsewhere };
    let (front, last) = rest.rsplit_once('.').unwrap_or(("", rest));
    if is_address(&last.replace('-', ".")) {
        return label(front);
    }
    let start = rest.rmatch_indices('.').nth(3).map_or(0, |(dot, _)| dot + 1);
    if is_address(&rest[start..]) { label(rest[..start].trim_end_matches('.')) } else { Place::Elsewhere }
}

fn is_address(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn label(front: &str) -> Place<'_> {
    match front {
        "" | OWN_LABEL => Place::Bare,
        deep if deep.contains('.') => Place::Elsewhere,
        app => Place::App(app),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[&str], expected: &Place) {
        for text in cases {
            let host = text.parse().unwrap();
            assert_eq!(place(&host, Some("example.com")), *expected, "{text}");
        }
    }

    #[test]
    fn every_form_of_host_reaches_its_app() {
        let forms = [
            "blog.localhost",
            "blog.localhost:8080",
            "BLOG.localhost.",
            "blog.127.0.0.1.nip.io",
            "blog.127-0-0-1.nip.io",
            "blog.203.0.113.9.sslip.io:81",
            "blog.203-0-113-9.sslip.io",
            "blog.example.com",
        ];

        check(&forms, &Place::App("blog"));
    }

    #[test]
    fn the_bare_address_is_the_server_itself() {
        let forms = [
            "127.0.0.1",
            "[::1]:80",
            "localhost",
            "mini.localhost",
            "example.com",
            "mini.example.com",
            "10.0.0.1.nip.io",
            "mini.10-0-0-1.sslip.io",
        ];

        check(&forms, &Place::Bare);
    }

    #[test]
    fn deeper_labels_and_strange_names_are_nobodys() {
        let forms = [
            "a.blog.localhost",
            "a.blog.127.0.0.1.nip.io",
            "a.blog.127-0-0-1.nip.io",
            "a.blog.example.com",
            "blog.nip.io",
            "nip.io",
            "blog.1.2.3.nip.io",
            "blog.1.2.3.256.nip.io",
            "blog-1-2-3-4.nip.io",
            "blog.example.org",
            "blogexample.com",
            "notlocalhost",
        ];

        check(&forms, &Place::Elsewhere);
    }

    #[test]
    fn without_a_domain_only_the_universal_names_are_known() {
        let host = "blog.example.com".parse().unwrap();

        assert_eq!(place(&host, None), Place::Elsewhere);
    }
}
