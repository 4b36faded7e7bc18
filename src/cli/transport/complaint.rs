//! What ssh complains about, in one sentence with what to do next.

use crate::config::SshAddress;
use crate::error::{Error, Kind};

/// What ssh has said so far that is part of a known failure.
#[derive(Debug, Default)]
pub struct Complaints {
    lines: Vec<String>,
    /// ssh is in the middle of its warning about a changed key, a dozen lines long.
    is_warning: bool,
}

/// More lines than this are no complaint of ssh's.
const MAX_LINES: usize = 100;

/// A failure that ssh names with these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    ChangedKey,
    UnknownKey,
    WrongKey,
    Refused,
    TimedOut,
    Unresolvable,
    Unreachable,
    OldServer,
}

/// From OpenSSH's ssh.c, sshconnect.c and clientloop.c; the first that is found counts.
const KNOWN: &[(&str, Failure)] = &[
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Failure::ChangedKey),
    ("Host key verification failed", Failure::UnknownKey),
    ("Permission denied", Failure::WrongKey),
    ("Too many authentication failures", Failure::WrongKey),
    ("there is no command `mini-rpc`", Failure::OldServer),
    ("this server speaks `mini-rpc", Failure::OldServer),
    ("Could not resolve hostname", Failure::Unresolvable),
    ("Connection refused", Failure::Refused),
    ("timed out", Failure::TimedOut),
    ("No route to host", Failure::Unreachable),
    ("Network is unreachable", Failure::Unreachable),
];

// === impl Complaints ===

impl Complaints {
    /// Keeps a line; tells whether it is to be shown as it is.
    pub fn hear(&mut self, line: &str) -> bool {
        self.is_warning |= line.starts_with("@@@@");
        let is_known = KNOWN.iter().any(|(words, _)| line.contains(words));
        if self.lines.len() < MAX_LINES {
            self.lines.push(line.to_owned());
        }
        // The server's own refusal of `mini-rpc` comes with a second line of hints.
        let is_hint = self.failure() == Some(Failure::OldServer);
        !self.is_warning && !is_known && !is_hint
    }

    fn failure(&self) -> Option<Failure> {
        let heard = |words: &str| self.lines.iter().any(|line| line.contains(words));
        KNOWN.iter().find(|(words, _)| heard(words)).map(|(_, failure)| *failure)
    }
}

/// Says why there was no answer from a server behind ssh, which ended with `status`.
pub fn explain(address: &SshAddress, status: Option<i32>, complaints: &Complaints) -> Error {
    let place = address.place();
    match complaints.failure() {
        Some(Failure::ChangedKey) => {
            Error::not_allowed(format!("the server at {place} is not the one that this machine knows: its host key has changed"))
                .hint(format!("if you know why, forget the old key: ssh-keygen -R '{}'", address.known_as()))
        }
        Some(Failure::UnknownKey) => Error::not_allowed(format!("the host key of {place} was not accepted")).hint(format!(
            "compare it with what the server printed at its start, and accept it: ssh -p {} {}",
            address.port,
            address.destination()
        )),
        Some(Failure::WrongKey) => Error::not_allowed(format!("the server at {place} does not know your key"))
            .hint("somebody who is an admin there lets it in: mini keys add NAME FILE.pub"),
        Some(Failure::OldServer) => {
            Error::failed(format!("the server at {place} speaks another version than this client")).hint("upgrade the older one of them")
        }
        Some(Failure::Unresolvable) => Error::unavailable(format!("there is no machine called `{}`", address.host)).hint("see: mini hosts"),
        Some(Failure::Refused) => {
            Error::unavailable(format!("no server answers at {place}")).hint("does it run, and on this port? see: mini hosts")
        }
        Some(Failure::TimedOut | Failure::Unreachable) => {
            Error::unavailable(format!("the machine at {place} does not answer")).hint("does it run, and does its firewall let you in?")
        }
        // 127 without a word is what a shell says: something else than mini listens there.
        None if status == Some(127) => Error::failed(format!("what listens at {place} is not mini, or older than this client"))
            .hint("look at the port (mini's own is 2222), or upgrade the server"),
        None => Error::new(Kind::Unavailable, format!("the connection to {place} was cut")).hint("try again; see what ssh says: ssh -v"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &str, status: i32) -> (Error, Vec<String>) {
        let address = "ssh://mini@box:2222".to_owned().try_into().unwrap();
        let mut complaints = Complaints::default();
        let shown = text.lines().filter(|line| complaints.hear(line)).map(str::to_owned).collect();
        (explain(&address, Some(status), &complaints), shown)
    }

    #[test]
    fn every_known_failure_is_one_sentence_with_a_way_out() {
        let changed = "@@@@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@\nIT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key verification failed.";
        let old = "mini: there is no command `mini-rpc`\n      see: help";
        let cases = [
            (changed, 255, 4, "its host key has changed"),
            ("Host key verification failed.", 255, 4, "was not accepted"),
            ("mini@box: Permission denied (publickey).", 255, 4, "does not know your key"),
            ("ssh: connect to host box port 2222: Connection refused", 255, 1, "no server answers at box:2222"),
            ("ssh: connect to host box port 2222: Connection timed out", 255, 1, "does not answer"),
            ("ssh: Could not resolve hostname box: Name or service not known", 255, 1, "no machine called `box`"),
            (old, 127, 1, "speaks another version"),
            ("", 127, 1, "is not mini"),
            ("", 255, 1, "was cut"),
        ];

        for (text, status, code, sentence) in cases {
            let (err, shown) = explained(text, status);

            assert!(err.sentence().contains(sentence), "{text:?}: {err}");
            assert_eq!((err.exit_code(), shown), (code, Vec::new()), "{text:?}");
            assert!(err.next_step().is_some(), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_handed_on() {
        let (_, shown) =
            explained("Warning: Permanently added 'box' (ED25519) to the list of known hosts.\nConfirm user presence for key", 0);

        assert_eq!(shown.len(), 2);
    }
}
