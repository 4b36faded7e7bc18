//! What `iptables -S` says, and when two ways to write a rule mean the same.

use std::collections::BTreeSet;

/// The filter table as it stands.
#[derive(Debug, Default)]
pub struct Listing {
    chains: BTreeSet<String>,
    rules: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    /// Without its `-A`: `INPUT -i mini-+ -j MINI-IN`.
    text: String,
    parts: Vec<String>,
}

// === impl Listing ===

impl Listing {
    pub fn parse(text: &str) -> Self {
        let mut listing = Listing::default();
        for line in text.lines() {
            if let Some(chain) = line.strip_prefix("-N ") {
                listing.chains.insert(chain.to_owned());
            } else if let Some(rule) = line.strip_prefix("-A ") {
                listing.rules.push(Listed { text: rule.to_owned(), parts: parts(rule) });
            }
        }
        listing
    }

    pub fn has_chain(&self, name: &str) -> bool {
        self.chains.contains(name)
    }

    /// The chains that other people and we have made.
    pub fn chains(&self) -> impl Iterator<Item = &str> {
        self.chains.iter().map(String::as_str)
    }

    /// The rules of a chain in their order, each without its `-A`.
    pub fn rules_of(&self, chain: &str) -> Vec<&str> {
        let of_chain = self.rules.iter().map(|rule| rule.text.as_str());
        of_chain.filter(|text| text.split(' ').next() == Some(chain)).collect()
    }

    pub fn has(&self, rule: &str) -> bool {
        let wanted = parts(rule);
        self.rules.iter().any(|listed| listed.parts == wanted)
    }
}

/// Tells whether two lists of rules are the same, however they are written.
pub fn are_same(some: &[&str], others: &[String]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| parts(one) == parts(other))
}

/// A rule's chain and its options, each with its value, in one order and spelling.
///
/// `iptables` chooses its own order, quotes values, names modules and adds `/32`; versions differ.
fn parts(rule: &str) -> Vec<String> {
    let mut words = rule.split(' ').map(|word| word.trim_matches('"')).filter(|word| !word.is_empty());
    let chain = words.next().unwrap_or_default().to_owned();
    let mut options: Vec<String> = Vec::new();
    for word in words {
        match options.last_mut() {
            Some(option) if !word.starts_with('-') => {
                let mut values: Vec<&str> = word.trim_end_matches("/32").split(',').collect();
                values.sort_unstable();
                *option = format!("{option} {}", values.join(","));
            }
            _ => options.push(word.to_owned()),
        }
    }
    options.retain(|option| !option.starts_with("-m "));
    options.sort_unstable();
    options.insert(0, chain);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_in_the_words_of_iptables() {
        let text = "-P INPUT ACCEPT\n-N MINI-IN\n-A INPUT -i mini-+ -m comment --comment \"mini-ab\" -j MINI-IN\n\
                    -A MINI-IN -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A MINI-IN -d 10.0.0.1/32 -p udp -m udp --dport 53 -j ACCEPT\n";

        let listing = Listing::parse(text);

        assert!(listing.has_chain("MINI-IN") && !listing.has_chain("INPUT"));
        for rule in [
            "INPUT -i mini-+ -m comment --comment mini-ab -j MINI-IN",
            "MINI-IN -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
            "MINI-IN -p udp -d 10.0.0.1 --dport 53 -j ACCEPT",
        ] {
            assert!(listing.has(rule), "{rule}");
        }
        for rule in ["INPUT -i mini-+ -j MINI-IN", "MINI-IN -m conntrack --ctstate ESTABLISHED -j RETURN", "MINI-IN -j DROP"] {
            assert!(!listing.has(rule), "{rule}");
        }
        assert_eq!(listing.rules_of("MINI-IN").len(), 2);
    }
}
