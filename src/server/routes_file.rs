//! The routes of `mini proxy`: a file with a host and an address on each line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::{AppId, AppName, Edge, Version};
use crate::route::{HostName, Release, Routes};

/// The upstreams of each host, in the order of the file.
type Table = BTreeMap<String, Vec<SocketAddr>>;

/// Reads a file; `edge` is what holds for each of its hosts.
pub(super) fn read(path: &Path, edge: &Edge) -> Result<Routes> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|err| Error::setup(format!("--routes {} cannot be read: {err}", path.display())).because(err))?;
    let table = parse(&text).map_err(|(number, why)| Error::setup(format!("--routes {}, line {number}: {why}", path.display())))?;
    routes_of(&table, edge)
}

fn parse(text: &str) -> std::result::Result<Table, (usize, &'static str)> {
    let mut table = Table::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (host, address) = match words[..] {
            [] => continue,
            [host, address] => (host.parse::<HostName>().ok(), address.parse()),
            _ => return Err((index + 1, "a route is a host and an address")),
        };
        let name = host.as_ref().and_then(HostName::name).ok_or((index + 1, "this is not a name"))?;
        let address = address.map_err(|_| (index + 1, "this is not an address such as 127.0.0.1:3000"))?;
        table.entry(name.to_owned()).or_default().push(address);
    }
    Ok(table)
}

fn routes_of(table: &Table, edge: &Edge) -> Result<Routes> {
    let routes = Routes::new(None)?;
    for (number, (host, upstreams)) in table.iter().enumerate() {
        let (id, name) = (AppId::random(), format!("route-{number}").parse::<AppName>()?);
        routes.add_app(name.clone(), id.clone());
        routes.set_domains(&id, &[host.parse()?]);
        routes.set_edge(&id, edge);
        routes.switch(&id, Release::new(name, id.clone(), Version(1), upstreams.clone()).0);
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_nonsense_is_named_by_its_line() {
        let table = parse("# mine\nA.example.com 127.0.0.1:1\n\na.example.com 127.0.0.1:2 # the second\nb.example.com [::1]:3\n").unwrap();
        assert_eq!(table["a.example.com"], ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        assert_eq!(table.len(), 2);

        for wrong in ["a.example.com", "a.example.com b.example.com:1", "127.0.0.1 127.0.0.1:1", "a 127.0.0.1:1 2", "a_b 127.0.0.1:1"] {
            assert_eq!(parse(&format!("ok.example.com 127.0.0.1:1\n{wrong}")).unwrap_err().0, 2, "{wrong}");
        }
    }
}
