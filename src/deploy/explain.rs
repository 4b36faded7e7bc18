//! Why a release did not become ready, in words of its author's world.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::model::AppName;

/// What was seen of a process that did not become ready.
#[derive(Debug)]
pub struct Sighting {
    /// `web.1`
    pub process: String,
    pub port: u16,
    /// How long it was waited for.
    pub waited: Duration,
    /// The exit code, and whether memory ran out, if it ended.
    pub exit: Option<(i64, bool)>,
    /// What it listens on, as far as that could be seen.
    pub listening: Vec<SocketAddr>,
    /// The last HTTP status, if it ever answered.
    pub status: Option<u16>,
    /// Its last output.
    pub log: Vec<String>,
}

// === impl Sighting ===

impl Sighting {
    /// Names the likely cause, shows the last output and gives one command to try.
    #[must_use]
    pub fn explain(self, app: &AppName) -> Error {
        let logs = format!("ssh mini logs {app}");
        let (sentence, hint) = match (self.exit, self.status) {
            (Some((code, oom)), _) => self.exited(code, oom, &logs),
            (None, Some(status)) => (format!("{} answered {status} to GET / for {}", self.process, self.waited()), logs),
            (None, None) => self.silent(app, &logs),
        };
        let head = if self.log.is_empty() { "it printed nothing" } else { "it printed last:" };
        let log = self.log.into_iter().map(|line| format!("  {line}"));
        Error::failed(sentence).details(std::iter::once(head.to_owned()).chain(log)).hint(hint)
    }

    fn exited(&self, code: i64, oom: bool, logs: &str) -> (String, String) {
        let what = format!("{} exited with code {code} after {}", self.process, self.waited());
        match code {
            _ if oom => (format!("{what}: it ran out of memory"), logs.to_owned()),
            126 => (format!("{what}: its command is not executable"), "chmod +x the file that CMD names, then deploy again".into()),
            127 => (format!("{what}: its command was not found"), "check CMD in the Dockerfile, then deploy again".into()),
            0 => (
                format!("{what}: a web process must stay and listen"),
                "let CMD start the server in the foreground, then deploy again".into(),
            ),
            _ => (what, logs.to_owned()),
        }
    }

    fn silent(&self, app: &AppName, logs: &str) -> (String, String) {
        let port = self.port;
        let bind = format!("listen on 0.0.0.0:$PORT (PORT is {port} now), then deploy again");
        if let Some(place) = self.listening.iter().find(|place| place.port() == port && place.ip().is_loopback()) {
            return (format!("{} listens on {place}, which nothing outside its container reaches", self.process), bind);
        }
        if self.listening.iter().any(|place| place.port() == port) {
            return (format!("{} listens on port {port} and did not answer GET / within {}", self.process, self.waited()), logs.to_owned());
        }
        match self.listening.iter().find(|place| !is_resolver(place)) {
            Some(place) if place.ip().is_loopback() => (format!("{} listens on {place}, not on 0.0.0.0:{port}", self.process), bind),
            Some(place) => {
                let other = place.port();
                (
                    format!("{} listens on port {other}, not on $PORT ({port})", self.process),
                    format!("ssh mini config:set {app} PORT={other}"),
                )
            }
            None => (format!("{} listened on no port within {}", self.process, self.waited()), bind),
        }
    }

    fn waited(&self) -> String {
        seconds(self.waited)
    }
}

/// The engine's own name server listens inside every container of a user network.
fn is_resolver(place: &SocketAddr) -> bool {
    place.ip().to_string() == "127.0.0.11"
}

/// Shows a duration as people time things: `0.8s`, `17.8s`.
#[must_use]
pub fn seconds(length: Duration) -> String {
    format!("{:.1}s", length.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting() -> Sighting {
        let waited = Duration::from_mins(1);
        Sighting { process: "web.1".into(), port: 5000, waited, exit: None, listening: vec![], status: None, log: vec![] }
    }

    #[track_caller]
    fn says(sighting: Sighting, sentence: &str, hint: &str) {
        let err = sighting.explain(&"blog".parse().unwrap());
        assert_eq!(err.sentence(), sentence);
        assert_eq!(err.detail_lines(), ["it printed nothing"]);
        assert!(err.next_step().unwrap().contains(hint), "{:?}", err.next_step());
    }

    #[test]
    fn the_last_output_stands_below_the_cause() {
        let err = Sighting { exit: Some((1, false)), log: vec!["no DATABASE_URL".into()], ..sighting() }.explain(&"blog".parse().unwrap());

        assert_eq!(err.sentence(), "web.1 exited with code 1 after 60.0s");
        assert_eq!(err.detail_lines(), ["it printed last:", "  no DATABASE_URL"]);
    }

    #[test]
    fn each_cause_has_its_own_sentence_and_command() {
        let at = |places: &[&str]| places.iter().map(|place| place.parse().unwrap()).collect::<Vec<_>>();

        says(
            Sighting { exit: Some((1, false)), waited: Duration::from_millis(300), ..sighting() },
            "web.1 exited with code 1 after 0.3s",
            "logs blog",
        );
        says(Sighting { exit: Some((137, true)), ..sighting() }, "web.1 exited with code 137 after 60.0s: it ran out of memory", "logs");
        says(
            Sighting { exit: Some((127, false)), ..sighting() },
            "web.1 exited with code 127 after 60.0s: its command was not found",
            "CMD",
        );
        says(Sighting { status: Some(500), ..sighting() }, "web.1 answered 500 to GET / for 60.0s", "logs blog");
        says(
            Sighting { listening: at(&["127.0.0.1:5000"]), ..sighting() },
            "web.1 listens on 127.0.0.1:5000, which nothing outside its container reaches",
            "0.0.0.0:$PORT",
        );
        says(
            Sighting { listening: at(&["127.0.0.1:3000"]), ..sighting() },
            "web.1 listens on 127.0.0.1:3000, not on 0.0.0.0:5000",
            "0.0.0.0:$PORT",
        );
        says(
            Sighting { listening: at(&["127.0.0.11:40001", "0.0.0.0:8080"]), ..sighting() },
            "web.1 listens on port 8080, not on $PORT (5000)",
            "config:set blog PORT=8080",
        );
        says(Sighting { listening: at(&["127.0.0.11:40001"]), ..sighting() }, "web.1 listened on no port within 60.0s", "$PORT");
        says(
            Sighting { listening: at(&["[::]:5000"]), ..sighting() },
            "web.1 listens on port 5000 and did not answer GET / within 60.0s",
            "logs",
        );
    }
}
