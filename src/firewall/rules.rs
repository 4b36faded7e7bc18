//! The rules of one server, and the steps from what stands to what should: text for `iptables-restore`.
//!
//! ```text
//! INPUT        -i mini-+ → MINI-IN                    first of all, one a server
//! MINI-IN      answers → RETURN, → MINI-<server> …, DROP
//! MINI-<tag>   the proxy's port, single apps' ports → ACCEPT              what this server lets apps reach of the machine
//! DOCKER-USER  -i mini-+ -d 169.254.0.0/16 → MINI-<tag>-LL
//! MINI-<tag>-LL  the machine's resolvers → RETURN, DROP
//! ```
//! `MINI-IN` is shared, because a packet must be asked for by any server before it is dropped. IPv6 has no second half:
//! app networks are IPv4 networks, and link-local IPv6 is never forwarded.

use std::fmt::Display;
use std::net::Ipv4Addr;

use super::listing::{Listing, are_same};
use super::openings::Opening;

/// What servers on one machine share.
const SHARED: &str = "MINI-IN";
const ANSWERS: &str = "MINI-IN -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";
const REST: &str = "MINI-IN -j DROP";
/// The chain that Docker leaves to the administrator; it asks it before its own rules, and keeps it over restarts.
const DOCKER_USER: &str = "DOCKER-USER";
const DOCKER_HOOK: &str = "FORWARD -j DOCKER-USER";
/// Where clouds tell a machine its credentials (RFC 3927).
const LINK_LOCAL: &str = "169.254.0.0/16";

/// The rules of one server for one table.
#[derive(Debug)]
pub struct Rules {
    /// Eight hex digits.
    tag: String,
    /// Rules in chains of others, in the order in which they are inserted at the top.
    hooks: Vec<String>,
    /// This server's chains, with all their rules.
    chains: Vec<(String, Vec<String>)>,
}

// === impl Rules ===

impl Rules {
    /// The rules for IPv4.
    pub fn v4(tag: &str, bridges: &str, ports: &[u16], resolvers: &[Ipv4Addr], openings: &[Opening]) -> Self {
        let mut rules = Rules::v6(tag, bridges, ports);
        let (own, reachable) = &mut rules.chains[0];
        let open = openings.iter().map(|Opening { bridge, port }| format!("{own} -i {bridge} -p tcp -m tcp --dport {port} -j ACCEPT"));
        reachable.extend(open);
        reachable.extend(resolvers.iter().flat_map(|address| dns(own, *address, "ACCEPT")));
        let link_local = format!("{}-LL", own_chain(tag));
        let near = resolvers.iter().filter(|address| address.is_link_local());
        let mut forwarded: Vec<String> = near.flat_map(|address| dns(&link_local, *address, "RETURN")).collect();
        forwarded.push(format!("{link_local} -j DROP"));
        rules.hooks.push(format!("{DOCKER_USER} -d {LINK_LOCAL} -i {bridges} -m comment --comment {} -j {link_local}", mark(tag)));
        rules.chains.push((link_local, forwarded));
        rules
    }

    /// The rules for IPv6: the half of IPv4's that concerns the machine itself.
    pub fn v6(tag: &str, bridges: &str, ports: &[u16]) -> Self {
        let own = own_chain(tag);
        let reachable = ports.iter().map(|port| format!("{own} -p tcp -m tcp --dport {port} -j ACCEPT")).collect();
        Rules {
            tag: tag.to_owned(),
            hooks: vec![format!("INPUT -i {bridges} -m comment --comment {} -j {SHARED}", mark(tag))],
            chains: vec![(own, reachable)],
        }
    }

    /// Lists the rules that do not stand.
    pub fn missing(&self, listing: &Listing) -> Vec<String> {
        let own = self.chains.iter().flat_map(|(_, rules)| rules);
        let shared = [ANSWERS.to_owned(), jump(&self.tag), REST.to_owned()];
        self.hooks.iter().chain(&shared).chain(own).filter(|rule| !listing.has(rule)).cloned().collect()
    }

    /// Returns the steps to these rules; `None` when they stand as they should.
    pub fn apply(&self, listing: &Listing) -> Option<String> {
        if self.stand(listing) {
            return None;
        }
        let mut script = Script::new();
        script.fresh([SHARED]);
        if self.needs_docker_user() && !listing.has_chain(DOCKER_USER) {
            // As Docker makes it, which takes over what is there when it starts.
            script.fresh([DOCKER_USER]);
            script.lines("-I", [DOCKER_HOOK]);
        }
        script.fresh(self.chains.iter().map(|(chain, _)| chain));
        script.lines("-D", self.hooks_in(listing));
        script.lines("-I", &self.hooks);
        script.lines("-A", self.shared(listing));
        script.lines("-A", self.chains.iter().flat_map(|(_, rules)| rules));
        Some(script.end())
    }

    /// Returns the steps to a table without these rules; `None` when it has none.
    pub fn remove(&self, listing: &Listing) -> Option<String> {
        let hooks = self.hooks_in(listing);
        let chains: Vec<&str> = self.chains.iter().map(|(chain, _)| chain.as_str()).filter(|chain| listing.has_chain(chain)).collect();
        if hooks.is_empty() && chains.is_empty() {
            return None;
        }
        let mut script = Script::new();
        let is_last = tags(listing).all(|tag| tag == self.tag);
        if is_last {
            script.fresh([SHARED]);
        } else if listing.has(&jump(&self.tag)) {
            script.lines("-D", [jump(&self.tag)]);
        }
        script.lines("-D", &hooks);
        script.fresh(&chains);
        script.lines("-X", &chains);
        if is_last {
            script.lines("-X", [SHARED]);
        }
        // Docker's own always ends with a rule of Docker's: this one is what `apply` made.
        if self.needs_docker_user()
            && listing.has_chain(DOCKER_USER)
            && listing.rules_of(DOCKER_USER).iter().all(|rule| hooks.contains(rule))
        {
            if listing.has(DOCKER_HOOK) {
                script.lines("-D", [DOCKER_HOOK]);
            }
            script.lines("-X", [DOCKER_USER]);
        }
        Some(script.end())
    }

    fn stand(&self, listing: &Listing) -> bool {
        let hooks = self.hooks_in(listing);
        hooks.len() == self.hooks.len()
            && self.hooks.iter().all(|hook| listing.has(hook) && is_on_top(hook, listing))
            && self.chains.iter().all(|(chain, rules)| are_same(&listing.rules_of(chain), rules))
            && listing.has(&jump(&self.tag))
            && are_same(&listing.rules_of(SHARED), &self.shared(listing))
    }

    /// What the shared chain should hold: a jump for each server that is known.
    fn shared(&self, listing: &Listing) -> Vec<String> {
        let mut servers: Vec<&str> = tags(listing).chain([self.tag.as_str()]).collect();
        servers.sort_unstable();
        servers.dedup();
        let jumps = servers.into_iter().map(jump);
        [ANSWERS.to_owned()].into_iter().chain(jumps).chain([REST.to_owned()]).collect()
    }

    /// This server's rules in chains of others, as they are listed.
    fn hooks_in<'a>(&self, listing: &'a Listing) -> Vec<&'a str> {
        let rules = ["INPUT", DOCKER_USER].into_iter().flat_map(|chain| listing.rules_of(chain));
        rules.filter(|rule| mark_of(rule) == Some(mark(&self.tag).as_str())).collect()
    }

    fn needs_docker_user(&self) -> bool {
        self.hooks.iter().any(|hook| hook.starts_with(DOCKER_USER))
    }
}

/// A rule that accepts everything before ours would make ours void.
fn is_on_top(hook: &str, listing: &Listing) -> bool {
    let chain = hook.split(' ').next().unwrap_or_default();
    let others = listing.rules_of(chain).into_iter().skip_while(|rule| mark_of(rule).is_some_and(|mark| mark.starts_with("mini-")));
    !others.into_iter().any(|rule| mark_of(rule) == mark_of(hook))
}

fn dns(chain: &str, address: Ipv4Addr, verdict: &str) -> [String; 2] {
    ["udp", "tcp"].map(|protocol| format!("{chain} -d {address} -p {protocol} -m {protocol} --dport 53 -j {verdict}"))
}

fn own_chain(tag: &str) -> String {
    format!("MINI-{tag}")
}

/// The comment by which a rule in a chain of others is known as ours.
fn mark(tag: &str) -> String {
    format!("mini-{tag}")
}

fn mark_of(rule: &str) -> Option<&str> {
    let (_, rest) = rule.split_once("--comment ")?;
    rest.split(' ').next().map(|word| word.trim_matches('"'))
}

fn jump(tag: &str) -> String {
    format!("{SHARED} -j {}", own_chain(tag))
}

/// The servers that have rules in this table.
fn tags(listing: &Listing) -> impl Iterator<Item = &str> {
    let is_tag = |text: &&str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    listing.chains().filter_map(|chain| chain.strip_prefix("MINI-")).filter(is_tag)
}

/// Input of `iptables-restore --noflush`: it happens as a whole or not at all.
struct Script(String);

// === impl Script ===

impl Script {
    fn new() -> Self {
        Script("*filter\n".to_owned())
    }

    /// Makes chains, or empties those that are there.
    fn fresh(&mut self, chains: impl IntoIterator<Item: Display>) {
        for chain in chains {
            self.0.extend([":", &chain.to_string(), " - [0:0]\n"]);
        }
    }

    fn lines(&mut self, verb: &str, rules: impl IntoIterator<Item: Display>) {
        for rule in rules {
            self.0.extend([verb, " ", &rule.to_string(), "\n"]);
        }
    }

    fn end(self) -> String {
        self.0 + "COMMIT\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-N DOCKER-USER\n-N MINI-1111aaaa\n-N MINI-1111aaaa-LL\n-N MINI-IN\n\
        -A INPUT -i mini-+ -m comment --comment mini-1111aaaa -j MINI-IN\n\
        -A DOCKER-USER -d 169.254.0.0/16 -i mini-+ -m comment --comment mini-1111aaaa -j MINI-1111aaaa-LL\n\
        -A DOCKER-USER -j RETURN\n\
        -A MINI-1111aaaa -p tcp -m tcp --dport 80 -j ACCEPT\n-A MINI-1111aaaa-LL -j DROP\n\
        -A MINI-IN -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A MINI-IN -j MINI-1111aaaa\n-A MINI-IN -j DROP\n";

    fn rules(tag: &str, port: u16) -> Rules {
        Rules::v4(tag, "mini-+", &[port], &[], &[])
    }

    #[test]
    fn rules_that_stand_need_nothing_and_a_lost_or_shadowed_one_is_mended() {
        let mine = rules("1111aaaa", 80);
        let without = |line: &str| Listing::parse(&ONE.replace(&format!("-A {line}\n"), ""));

        assert_eq!(mine.apply(&Listing::parse(ONE)), None);
        assert_eq!(mine.missing(&Listing::parse(ONE)), Vec::<String>::new());

        for line in ["MINI-IN -j DROP", "MINI-1111aaaa -p tcp -m tcp --dport 80 -j ACCEPT", "MINI-1111aaaa-LL -j DROP"] {
            assert_eq!(mine.missing(&without(line)), [line]);
            assert!(mine.apply(&without(line)).unwrap().contains(&format!("-A {line}\n")));
        }
        let shadowed = Listing::parse(&format!("-A INPUT -j ACCEPT\n{ONE}"));
        let script = mine.apply(&shadowed).unwrap();
        assert!(script.contains("-D INPUT -i mini-+") && script.contains("-I INPUT -i mini-+"), "{script}");
    }

    #[test]
    fn another_server_adds_its_port_and_takes_only_its_own_away() {
        let listing = Listing::parse(ONE);
        let other = rules("2222bbbb", 8080);

        let script = other.apply(&listing).unwrap();
        let last = rules("1111aaaa", 80).remove(&listing).unwrap();

        assert!(script.contains("-A MINI-IN -j MINI-1111aaaa\n-A MINI-IN -j MINI-2222bbbb\n-A MINI-IN -j DROP\n"), "{script}");
        assert!(!script.contains("-D ") && !script.contains(":MINI-1111aaaa"), "{script}");
        assert_eq!(other.remove(&listing), None);
        assert!(last.contains("-X MINI-IN\n") && !last.contains("-X DOCKER-USER"), "{last}");

        let both = format!(
            "{ONE}-N MINI-2222bbbb\n-A MINI-IN -j MINI-2222bbbb\n-A INPUT -i mini-+ -m comment --comment mini-2222bbbb -j MINI-IN\n"
        );
        let script = other.remove(&Listing::parse(&both)).unwrap();
        assert!(
            script.contains("-D MINI-IN -j MINI-2222bbbb\n") && !script.contains("-X MINI-IN\n") && !script.contains("1111"),
            "{script}"
        );
    }

    #[test]
    fn a_resolver_that_is_link_local_stays_reachable_for_names_only() {
        let near = Rules::v4("1111aaaa", "mini-+", &[80], &[Ipv4Addr::new(169, 254, 169, 254)], &[]);
        let six = Rules::v6("1111aaaa", "mini-+", &[80]);

        let script = near.apply(&Listing::default()).unwrap();

        let rule = "-A MINI-1111aaaa-LL -d 169.254.169.254 -p udp -m udp --dport 53 -j RETURN\n";
        assert!(script.find(rule).unwrap() < script.find("-A MINI-1111aaaa-LL -j DROP").unwrap(), "{script}");
        assert!(script.contains("-I FORWARD -j DOCKER-USER\n"), "{script}");
        assert!(!six.apply(&Listing::default()).unwrap().contains("DOCKER-USER"));
    }
}
