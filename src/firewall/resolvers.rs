//! The name servers that containers ask through the engine: apps must reach them also where this machine is one of them.

use std::net::Ipv4Addr;

/// systemd's list is what the engine takes when the first one names only systemd's own resolver on loopback.
const LISTS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Lists them, without those on loopback, which the engine asks from outside of the container.
pub fn of_this_machine() -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> =
        LISTS.iter().filter_map(|path| std::fs::read_to_string(path).ok()).flat_map(|text| parse(&text)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Reads resolv.conf(5); at most three name servers count there.
fn parse(text: &str) -> Vec<Ipv4Addr> {
    let named = text.lines().filter_map(|line| line.strip_prefix("nameserver")).filter_map(|rest| rest.trim().parse().ok());
    named.take(3).filter(|address: &Ipv4Addr| !address.is_loopback() && !address.is_unspecified()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_loopback_or_no_address_is_left_out() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver  169.254.169.254\nnameserver fe80::1\nnameserver 10.0.0.2\n";

        assert_eq!(parse(text), [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(10, 0, 0, 2)]);
    }
}
