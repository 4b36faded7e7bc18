//! The routes of `mini proxy`: a file with a host, an address and perhaps settings of the host on each line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::{AppId, AppName, Edge, Version};
use crate::platform::{EdgeOption, parse_edge_option};
use crate::route::{HostName, Release, Routes};

/// What is known of each host.
type Table = BTreeMap<String, Site>;

/// A host's upstreams, in the order of the file, and its settings.
#[derive(Debug)]
struct Site {
    upstreams: Vec<SocketAddr>,
    edge: Edge,
}

/// Reads a file; `usual` holds for each of its hosts where a line says nothing else.
pub(super) fn read(path: &Path, usual: &Edge) -> Result<Routes> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|err| Error::setup(format!("--routes {} cannot be read: {err}", path.display())).because(err))?;
    let table = parse(&text, usual).map_err(|(number, why)| Error::setup(format!("--routes {}, line {number}: {why}", path.display())))?;
    routes_of(table)
}

/// Errors: the number of a line and what is wrong with it.
fn parse(text: &str, usual: &Edge) -> Result<Table, (usize, String)> {
    let mut table = Table::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        add(&mut table, &words, usual).map_err(|why| (index + 1, why))?;
    }
    Ok(table)
}

fn add(table: &mut Table, words: &[&str], usual: &Edge) -> Result<(), String> {
    let (host, address, options) = match words {
        [] => return Ok(()),
        [host, address, options @ ..] => (host.parse::<HostName>().ok(), address.parse(), options),
        _ => return Err("a route is a host and an address".to_owned()),
    };
    let name = host.as_ref().and_then(HostName::name).ok_or("this is not a name")?;
    let address = address.map_err(|_| "this is not an address such as 127.0.0.1:3000")?;
    let edge = edge_of(options, usual)?;
    let site = table.entry(name.to_owned()).or_insert_with(|| Site { upstreams: Vec::new(), edge: edge.clone() });
    if site.edge != edge {
        return Err(format!("this says other settings of {name} than a line before it"));
    }
    site.upstreams.push(address);
    Ok(())
}

/// Reads settings in the words of `apps:set`.
fn edge_of(options: &[&str], usual: &Edge) -> Result<Edge, String> {
    let mut edge = usual.clone();
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match (key, parse_edge_option(key, value)) {
            ("www", _) => return Err("www= is for an app with both names, and a host of this file is alone".to_owned()),
            ("basic-auth", _) => return Err("basic-auth= is not for a file: it would show the password".to_owned()),
            (_, Ok(Some(EdgeOption::Change(change)))) => edge.change(change),
            (_, Ok(_)) => return Err(format!("`{}` is no setting", option.escape_debug())),
            (_, Err(err)) => return Err(err.to_string()),
        }
    }
    Ok(edge)
}

fn routes_of(table: Table) -> Result<Routes> {
    let routes = Routes::new(None)?;
    for (number, (host, site)) in table.into_iter().enumerate() {
        let (id, name) = (AppId::random(), format!("route-{number}").parse::<AppName>()?);
        routes.add_app(name.clone(), id.clone());
        routes.set_domains(&id, &[host.parse()?]);
        routes.set_edge(&id, &site.edge);
        routes.switch(&id, Release::new(name, id.clone(), Version(1), site.upstreams).0);
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn refused(text: &str) -> (usize, String) {
        parse(text, &Edge::default()).unwrap_err()
    }

    #[test]
    fn routes_are_read_and_nonsense_is_named_by_its_line() {
        let text = "# mine\nA.example.com 127.0.0.1:1\n\na.example.com 127.0.0.1:2 # the second\nb.example.com [::1]:3\n";
        let table = parse(text, &Edge::default()).unwrap();
        assert_eq!(table["a.example.com"].upstreams, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        assert_eq!(table.len(), 2);

        for wrong in ["a.example.com", "a.example.com b.example.com:1", "127.0.0.1 127.0.0.1:1", "a 127.0.0.1:1 2", "a_b 127.0.0.1:1"] {
            assert_eq!(refused(&format!("ok.example.com 127.0.0.1:1\n{wrong}")).0, 2, "{wrong}");
        }
    }

    #[test]
    fn a_line_says_settings_as_apps_set_does_and_the_rest_is_as_usual() {
        let usual = Edge { hsts_seconds: Some(60), ..Edge::default() };

        let table = parse("a.test 127.0.0.1:1 protocol=h2c body-limit=1M first-byte=5s\nb.test 127.0.0.1:2", &usual).unwrap();

        let Edge { protocol, max_body_bytes, first_byte, hsts_seconds, .. } = table["a.test"].edge;
        assert_eq!((protocol, max_body_bytes, hsts_seconds), (Protocol::H2c, Some(1 << 20), Some(60)));
        assert_eq!(first_byte.map(|time| time.as_secs()), Some(5));
        assert_eq!(table["b.test"].edge, usual);
    }

    #[test]
    fn lines_of_a_host_agree_on_its_settings() {
        let agreed = "a.test 127.0.0.1:1 body-limit=1M hsts=60\na.test 127.0.0.1:2 hsts=60s body-limit=1024KiB";
        assert_eq!(parse(agreed, &Edge::default()).unwrap()["a.test"].upstreams.len(), 2);

        for second in ["a.test 127.0.0.1:2", "A.test 127.0.0.1:2 body-limit=2M"] {
            let (line, why) = refused(&format!("a.test 127.0.0.1:1 body-limit=1M\n\n{second}"));
            assert!(line == 3 && why.contains("other settings of a.test"), "{line}: {why}");
        }
    }

    #[test]
    fn a_setting_that_does_not_hold_here_is_refused_and_no_password_is_repeated() {
        for (option, why) in [
            ("protocol=h3", "http1 or h2c"),
            ("protocol", "http1 or h2c"),
            ("colour=red", "no setting"),
            ("www=add", "alone"),
            ("basic-auth=anna:s3cret", "not for a file"),
            ("basic-auth=anna:-", "not for a file"),
        ] {
            let (line, said) = refused(&format!("a.test 127.0.0.1:1 {option}"));
            assert!(line == 1 && said.contains(why) && !said.contains("s3cret"), "{option}: {said}");
        }
    }
}
