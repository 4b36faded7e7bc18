//! Options of an app at the edge, as `apps:set` reads them and `apps:info` shows them: `body-limit=10MiB`, `allow=10.0.0.0/8`, `https=redirect`.

use std::time::Duration;

use crate::command::Entry;
use crate::config::Size;
use crate::error::{Error, Result};
use crate::model::limits::MAX_RANGES;
use crate::model::{AddressRange, AppName, Credential, Edge, EdgeChange, Protocol, Www};

/// Longer than any answer that somebody waits for.
const MAX_FIRST_BYTE_SECONDS: u32 = 3600;
/// Browsers remember it for so long at most: two years.
const MAX_HSTS_SECONDS: u32 = 63_072_000;

/// What one word asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum EdgeOption {
    Change(EdgeChange),
    /// A user of basic authentication, whose password comes from the input.
    User(String),
}

/// Reads one; `None` when it is no option of the edge.
///
/// # Errors
/// Of kind `Usage`: the option has no such value.
pub fn parse(key: &str, value: &str) -> Result<Option<EdgeOption>> {
    let change = match key {
        "protocol" => EdgeChange::Protocol(one_of(key, value, &[("http1", Protocol::Http1), ("h2c", Protocol::H2c)])?),
        "https" => EdgeChange::RedirectsToHttps(one_of(key, value, &[("redirect", true), ("off", false)])?),
        "www" => EdgeChange::Www(one_of(key, value, &[("add", Www::Add), ("remove", Www::Remove), ("off", Www::AsAsked)])?),
        "first-byte" => {
            let seconds = unless_off(value, |text| seconds(key, text, 1, MAX_FIRST_BYTE_SECONDS, "30"))?;
            EdgeChange::FirstByte(seconds.map(|seconds| Duration::from_secs(seconds.into())))
        }
        "hsts" => EdgeChange::HstsSeconds(unless_off(value, |text| seconds(key, text, 0, MAX_HSTS_SECONDS, "31536000"))?),
        "body-limit" => EdgeChange::MaxBodyBytes(unless_off(value, |text| Ok(text.parse::<Size>()?.0))?),
        "allow" => EdgeChange::Allowed(ranges(key, value, "any")?),
        "deny" => EdgeChange::Denied(ranges(key, value, "none")?),
        "basic-auth" => return user(value).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(EdgeOption::Change(change)))
}

/// Says what a change comes to.
pub(super) fn in_words(app: &AppName, change: &EdgeChange) -> String {
    match change {
        EdgeChange::Protocol(Protocol::Http1) => format!("Requests go to `{app}` as HTTP/1.1."),
        EdgeChange::Protocol(Protocol::H2c) => format!("Requests go to `{app}` as HTTP/2 without TLS."),
        EdgeChange::FirstByte(Some(time)) => format!("`{app}` has {} s to begin an answer; then it is 504.", time.as_secs()),
        EdgeChange::FirstByte(None) => format!("`{app}` may take any time to begin an answer."),
        EdgeChange::MaxBodyBytes(Some(bytes)) => format!("A request to `{app}` may bring {}; more is 413.", Size(*bytes)),
        EdgeChange::MaxBodyBytes(None) => format!("A request to `{app}` may bring any number of bytes."),
        EdgeChange::User(credential) => {
            format!("`{}` comes in at `{app}` with that password; whoever has none does not.", credential.user())
        }
        EdgeChange::NoUser(user) => format!("`{user}` does not come in at `{app}` any more."),
        EdgeChange::NoUsers => format!("`{app}` asks nobody for a password."),
        EdgeChange::Allowed(ranges) if ranges.is_empty() => format!("Any address may come in at `{app}`."),
        EdgeChange::Allowed(ranges) => format!("Only {} may come in at `{app}`.", listed(ranges)),
        EdgeChange::Denied(ranges) if ranges.is_empty() => format!("No address is kept off `{app}`."),
        EdgeChange::Denied(ranges) => format!("{} may not come in at `{app}`.", listed(ranges)),
        EdgeChange::RedirectsToHttps(true) => format!("Where `{app}` has a certificate, http is sent to https."),
        EdgeChange::RedirectsToHttps(false) => format!("`{app}` answers over http as it does over https."),
        EdgeChange::HstsSeconds(Some(seconds)) => format!("Browsers that saw `{app}` over https ask for nothing else for {seconds} s."),
        EdgeChange::HstsSeconds(None) => {
            format!("`{app}` is not said to be https alone. Browsers that were told so remember it: hsts=0 ends that.")
        }
        EdgeChange::Www(Www::Remove) => format!("Where `{app}` has both, www.NAME is sent to NAME."),
        EdgeChange::Www(Www::Add) => format!("Where `{app}` has both, NAME is sent to www.NAME."),
        EdgeChange::Www(Www::AsAsked) => format!("`{app}` answers at each of its domains."),
    }
}

/// Lists what differs from the defaults, as it is set; of users their names.
pub(super) fn shown(edge: &Edge) -> Vec<Entry> {
    let usual = Edge::default();
    let or_off = |value: Option<String>| value.unwrap_or_else(|| "off".to_owned());
    let all = [
        (edge.protocol != usual.protocol, "protocol", if edge.protocol == Protocol::H2c { "h2c" } else { "http1" }.to_owned()),
        (edge.first_byte != usual.first_byte, "first-byte", or_off(edge.first_byte.map(|time| time.as_secs().to_string()))),
        (edge.max_body_bytes.is_some(), "body-limit", or_off(edge.max_body_bytes.map(|bytes| Size(bytes).to_string()))),
        (!edge.credentials.is_empty(), "basic-auth", edge.credentials.iter().map(Credential::user).collect::<Vec<_>>().join(",")),
        (!edge.allowed.is_empty(), "allow", listed(&edge.allowed)),
        (!edge.denied.is_empty(), "deny", listed(&edge.denied)),
        (edge.redirects_to_https, "https", "redirect".to_owned()),
        (edge.hsts_seconds.is_some(), "hsts", or_off(edge.hsts_seconds.map(|seconds| seconds.to_string()))),
        (edge.www != usual.www, "www", if edge.www == Www::Add { "add" } else { "remove" }.to_owned()),
    ];
    all.into_iter().filter(|(is_set, ..)| *is_set).map(|(_, name, value)| Entry { name: name.to_owned(), value }).collect()
}

fn one_of<T: Copy>(key: &str, value: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(word, _)| *word == value).map(|(_, meant)| *meant).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        Error::usage(format!("{key} is {}, not `{}`", words.join(" or "), value.escape_debug()))
            .hint(format!("apps:set APP {key}={}", words[0]))
    })
}

fn unless_off<T>(value: &str, read: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    if value == "off" { Ok(None) } else { read(value).map(Some) }
}

/// Reads a number of seconds, with or without the unit.
pub(super) fn seconds(key: &str, text: &str, least: u32, most: u32, example: &str) -> Result<u32> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    seconds.filter(|seconds| (least..=most).contains(seconds)).ok_or_else(|| {
        Error::usage(format!("`{}` is not a number of seconds up to {most}", text.escape_debug()))
            .hint(format!("apps:set APP {key}={example}"))
    })
}

fn ranges(key: &str, value: &str, nothing: &str) -> Result<Vec<AddressRange>> {
    if value == nothing {
        return Ok(Vec::new());
    }
    let wrong = |err: Error| err.hint(format!("apps:set APP {key}=10.0.0.0/8,203.0.113.9 ({nothing}: {key}={nothing})"));
    let ranges = value.split(',').map(|word| word.trim().parse()).collect::<Result<Vec<AddressRange>>>().map_err(wrong)?;
    if ranges.len() > MAX_RANGES {
        return Err(Error::usage(format!("a list may have {MAX_RANGES} ranges, these are {}", ranges.len())));
    }
    Ok(ranges)
}

/// What stands behind the colon is a password: it is not repeated.
fn user(value: &str) -> Result<EdgeOption> {
    match (value, value.rsplit_once(':')) {
        ("off", _) => Ok(EdgeOption::Change(EdgeChange::NoUsers)),
        (_, Some((user, "-"))) => Ok(EdgeOption::User(user.to_owned())),
        (_, Some((user, "off"))) => Ok(EdgeOption::Change(EdgeChange::NoUser(user.to_owned()))),
        _ => Err(Error::usage("basic-auth is USER:- with the password in the input, USER:off, or off")
            .hint("echo PASSWORD | ssh mini apps:set APP basic-auth=anna:-")),
    }
}

fn listed(ranges: &[AddressRange]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn read(option: &str) -> Result<Option<EdgeOption>> {
        let (key, value) = option.split_once('=').unwrap();
        parse(key, value)
    }

    /// What `apps:info` shows of an app with this one option.
    fn shown_of(option: &str) -> String {
        let Some(EdgeOption::Change(change)) = read(option).unwrap() else { panic!("{option}") };
        let app = "blog".parse().unwrap();
        assert!(in_words(&app, &change).contains("`blog`"), "{option}");
        let mut edge = Edge::default();
        edge.change(change);
        let shown: Vec<String> = shown(&edge).iter().map(|entry| format!("{}={}", entry.name, entry.value)).collect();
        shown.join(" ")
    }

    #[test]
    fn an_option_is_shown_as_it_is_set() {
        for option in [
            "protocol=h2c",
            "first-byte=30",
            "first-byte=off",
            "body-limit=10MiB",
            "body-limit=0",
            "allow=10.0.0.0/8,203.0.113.9",
            "deny=2001:db8::/32",
            "https=redirect",
            "hsts=31536000",
            "hsts=0",
            "www=add",
            "www=remove",
        ] {
            assert_eq!(shown_of(option), option);
        }
    }

    #[test]
    fn each_option_has_a_word_that_takes_it_back() {
        for option in [
            "protocol=http1",
            "first-byte=60s",
            "body-limit=off",
            "allow=any",
            "deny=none",
            "https=off",
            "hsts=off",
            "www=off",
            "basic-auth=off",
        ] {
            assert_eq!(shown_of(option), "", "{option}");
        }
    }

    #[test]
    fn of_users_the_names_are_shown() {
        let mut edge = Edge::default();
        assert_eq!(read("basic-auth=anna:-").unwrap(), Some(EdgeOption::User("anna".into())));
        assert_eq!(read("basic-auth=anna:off").unwrap(), Some(EdgeOption::Change(EdgeChange::NoUser("anna".into()))));
        for user in ["anna", "ben"] {
            edge.change(EdgeChange::User(Credential::new(user, &Secret::new("s3cret".into())).unwrap()));
        }

        assert_eq!(shown(&edge), [Entry { name: "basic-auth".into(), value: "anna,ben".into() }]);
    }

    #[test]
    fn nonsense_is_refused_with_an_example_and_a_password_is_not_repeated() {
        for option in [
            "protocol=h3",
            "first-byte=0",
            "first-byte=3601",
            "first-byte=",
            "body-limit=10",
            "body-limit=",
            "allow=",
            "allow=none",
            "deny=any",
            "allow=10.0.0.0/33",
            "allow=10.0.0.1,,10.0.0.2",
            "https=on",
            "hsts=-1",
            "hsts=63072001",
            "www=on",
            "basic-auth=anna",
            "basic-auth=anna:s3cret",
            "basic-auth=",
        ] {
            let err = read(option).unwrap_err();
            assert!(err.exit_code() == 2 && err.next_step().is_some() && !format!("{err:?}").contains("s3cret"), "{option}: {err}");
        }
        assert_eq!(read("colour=red").unwrap(), None);
        assert!(read(&format!("deny={}", vec!["::1"; MAX_RANGES + 1].join(","))).is_err());
    }
}
