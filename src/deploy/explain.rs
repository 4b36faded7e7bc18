//! Why a release did not become ready, in words of its author's world.

use std::net::SocketAddr;
use std::time::Duration;

use super::last_words::{Cause, Scene};
use crate::error::Error;
use crate::model::AppName;
use crate::model::limits::MIB;
use crate::model::size::in_words;

/// No app may ask for more, in seconds.
const LONGEST_WAIT: u64 = 3600;
const STATUS: &str = "ssh mini status";

/// What was seen of a process that did not become ready.
#[derive(Debug)]
pub struct Sighting {
    /// `web.1`
    pub process: String,
    pub is_web: bool,
    pub port: u16,
    /// What it was asked for.
    pub path: String,
    /// How long it was waited for.
    pub waited: Duration,
    /// The exit code, and whether memory ran out, if it ended.
    pub exit: Option<(i64, bool)>,
    /// What it may use; `None`: no limit.
    pub memory_bytes: Option<u64>,
    /// What it listens on, as far as that could be seen.
    pub listening: Vec<SocketAddr>,
    /// Other ports than its own that speak HTTP, each with the status.
    pub speaking: Vec<(u16, u16)>,
    /// The last HTTP status, if it ever answered.
    pub status: Option<u16>,
    /// It printed something a moment ago.
    pub is_printing: bool,
    /// Its last output.
    pub log: Vec<String>,
}

// === impl Sighting ===

impl Sighting {
    /// Names the likely cause, shows the last output and gives one command to try.
    #[must_use]
    pub fn explain(self, app: &AppName, is_set: &dyn Fn(&str) -> bool) -> Error {
        let logs = format!("ssh mini logs {app}");
        let (sentence, hint) = match (self.exit, self.status) {
            (Some((code, oom)), _) => self.exited(code, oom, app, is_set),
            (None, Some(status)) if status < 500 => {
                (format!("{} answered {status} to GET {}, but not twice in a row within {}", self.process, self.path, self.waited()), logs)
            }
            (None, Some(status)) => (format!("{} answered {status} to GET {} for {}", self.process, self.path, self.waited()), logs),
            (None, None) => self.silent(app, &logs),
        };
        let head = if self.log.is_empty() { "it printed nothing" } else { "it printed last:" };
        let log = self.log.into_iter().map(|line| format!("  {line}"));
        Error::failed(sentence).details(std::iter::once(head.to_owned()).chain(log)).hint(hint)
    }

    fn exited(&self, code: i64, oom: bool, app: &AppName, is_set: &dyn Fn(&str) -> bool) -> (String, String) {
        let what = format!("{} exited with code {code} after {}", self.process, self.waited());
        let is_signal = code > 128;
        if let Some(cause) = self.cause(app, is_set).filter(|_| code != 0 && !oom && !is_signal) {
            return (format!("{what}: {}", cause.clause), cause.hint);
        }
        let at_home =
            format!("docker build -t {app} . && docker run -it -e PORT={0} -p {0}:{0} {app}   (the same on your own machine)", self.port);
        let (clause, hint) = match code {
            _ if oom || code == 137 => self.killed(oom, app),
            126 => ("its command is not executable".into(), "chmod +x the file that CMD names, then deploy again".into()),
            127 => ("its command was not found".into(), "check CMD in the Dockerfile, then deploy again".into()),
            132 => ("it crashed: its program needs another processor than this machine's".into(), at_home),
            134 => ("it aborted".into(), at_home),
            139 => ("it crashed: segmentation fault".into(), at_home),
            143 => ("it was asked to end (SIGTERM), from within its container".into(), at_home),
            0 if self.is_web => {
                ("a web process must stay and listen".into(), "let CMD start the server in the foreground, then deploy again".into())
            }
            0 => ("a process must stay".into(), "let its command run in the foreground, then deploy again".into()),
            _ => return (what, format!("ssh mini logs {app}")),
        };
        (format!("{what}: {clause}"), hint)
    }

    fn killed(&self, oom: bool, app: &AppName) -> (String, String) {
        let raise = |limit: u64| format!("ssh mini limits:set {app} memory={}m", (limit * 2).div_ceil(MIB));
        match (oom, self.memory_bytes) {
            (true, Some(limit)) => (format!("it ran out of memory, its limit is {}", in_words(limit)), raise(limit)),
            (false, Some(limit)) => (format!("it was killed, most likely for memory: its limit is {}", in_words(limit)), raise(limit)),
            (true, None) => ("it ran out of memory: no limit is set, the machine has no more".into(), STATUS.into()),
            (false, None) => ("it was killed: no memory limit is set, most likely the machine ran out".into(), STATUS.into()),
        }
    }

    fn cause(&self, app: &AppName, is_set: &dyn Fn(&str) -> bool) -> Option<Cause> {
        Cause::read(&self.log, &Scene { app, is_set })
    }

    fn silent(&self, app: &AppName, logs: &str) -> (String, String) {
        let (process, port) = (&self.process, self.port);
        let bind = format!("listen on 0.0.0.0:$PORT (PORT is {port} now), then deploy again");
        if let Some(place) = self.listening.iter().find(|place| place.port() == port && place.ip().is_loopback()) {
            return (format!("{process} listens on {place}, which nothing outside its container reaches"), bind);
        }
        if self.listening.iter().any(|place| place.port() == port) {
            let sentence = format!("{process} listens on port {port} and did not answer GET {} within {}", self.path, self.waited());
            return (sentence, logs.to_owned());
        }
        match (self.speaking.as_slice(), self.listening.iter().find(|place| !is_resolver(place))) {
            ([(other, status)], _) if *status >= 500 => {
                (format!("{process} listens on port {other}, not on $PORT ({port}), and answered {status} there"), logs.to_owned())
            }
            ([(other, _)], _) => {
                (format!("{process} listens on port {other}, not on $PORT ({port})"), format!("ssh mini config:set {app} PORT={other}"))
            }
            ([(one, _), (other, _), ..], _) => (
                format!("{process} listens on port {one} and on port {other}, not on $PORT ({port}): which one is meant is not known"),
                format!("ssh mini config:set {app} PORT={one}"),
            ),
            (_, Some(place)) if place.ip().is_loopback() => (format!("{process} listens on {place}, not on 0.0.0.0:{port}"), bind),
            (_, Some(place)) => {
                (format!("{process} listens on port {}, not on $PORT ({port}), and speaks no HTTP there", place.port()), bind)
            }
            (_, None) if self.is_printing => {
                let more = (self.waited.as_secs().max(1) * 2).min(LONGEST_WAIT);
                (
                    format!("{process} listened on no port within {} and still printed: it may only be slow", self.waited()),
                    format!("ssh mini apps:set {app} health-timeout={more}"),
                )
            }
            (_, None) => (format!("{process} listened on no port within {}", self.waited()), bind),
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
        Sighting {
            process: "web.1".into(),
            is_web: true,
            port: 5000,
            path: "/".into(),
            waited: Duration::from_mins(1),
            exit: None,
            memory_bytes: None,
            listening: vec![],
            speaking: vec![],
            status: None,
            is_printing: false,
            log: vec![],
        }
    }

    fn explained(sighting: Sighting) -> Error {
        sighting.explain(&"blog".parse().unwrap(), &|_| false)
    }

    #[track_caller]
    fn says(sighting: Sighting, sentence: &str, hint: &str) {
        let err = explained(sighting);
        assert_eq!(err.sentence(), sentence);
        assert_eq!(err.detail_lines(), ["it printed nothing"]);
        assert!(err.next_step().unwrap().contains(hint), "{:?}", err.next_step());
    }

    #[track_caller]
    fn ends(code: i64, oom: bool, memory_bytes: Option<u64>, clause: &str, hint: &str) {
        let sentence = format!("web.1 exited with code {code} after 60.0s{clause}");
        says(Sighting { exit: Some((code, oom)), memory_bytes, ..sighting() }, &sentence, hint);
    }

    fn at(places: &[&str]) -> Vec<SocketAddr> {
        places.iter().map(|place| place.parse().unwrap()).collect()
    }

    #[test]
    fn the_last_output_stands_below_the_cause() {
        let err = explained(Sighting { exit: Some((1, false)), log: vec!["hm".into()], ..sighting() });

        assert_eq!(err.sentence(), "web.1 exited with code 1 after 60.0s");
        assert_eq!(err.detail_lines(), ["it printed last:", "  hm"]);
    }

    #[test]
    fn what_the_last_output_says_is_the_cause_unless_a_signal_is() {
        let log = vec!["KeyError: 'DATABASE_URL'".to_owned()];

        let missing = explained(Sighting { exit: Some((1, false)), log: log.clone(), ..sighting() });
        let crashed = explained(Sighting { exit: Some((139, false)), log, ..sighting() });

        assert_eq!(missing.sentence(), "web.1 exited with code 1 after 60.0s: the config variable DATABASE_URL is not set");
        assert_eq!(missing.next_step(), Some("ssh mini config:set blog DATABASE_URL=…"));
        assert_eq!(crashed.sentence(), "web.1 exited with code 139 after 60.0s: it crashed: segmentation fault");
    }

    #[test]
    fn each_end_has_its_own_sentence_and_command() {
        ends(1, false, None, "", "logs blog");
        ends(0, false, None, ": a web process must stay and listen", "foreground");
        ends(126, false, None, ": its command is not executable", "chmod +x");
        ends(127, false, None, ": its command was not found", "CMD");
        ends(134, false, None, ": it aborted", "docker build -t blog .");
        ends(139, false, None, ": it crashed: segmentation fault", "docker build -t blog .");
        ends(143, false, None, ": it was asked to end (SIGTERM), from within its container", "docker");
        let worker = Sighting { process: "worker.1".into(), is_web: false, exit: Some((0, false)), ..sighting() };
        says(worker, "worker.1 exited with code 0 after 60.0s: a process must stay", "foreground");
    }

    #[test]
    fn a_lack_of_memory_names_the_limit_or_that_there_is_none() {
        let limit = Some(64 * MIB);

        ends(137, true, limit, ": it ran out of memory, its limit is 64 MiB", "limits:set blog memory=128m");
        ends(1, true, limit, ": it ran out of memory, its limit is 64 MiB", "limits:set blog memory=128m");
        ends(137, false, limit, ": it was killed, most likely for memory: its limit is 64 MiB", "memory=128m");
        ends(137, true, None, ": it ran out of memory: no limit is set, the machine has no more", "ssh mini status");
        ends(137, false, None, ": it was killed: no memory limit is set, most likely the machine ran out", "ssh mini status");
    }

    #[test]
    fn a_wrong_place_to_listen_is_named() {
        let loopback = Sighting { listening: at(&["127.0.0.1:5000"]), ..sighting() };
        says(loopback, "web.1 listens on 127.0.0.1:5000, which nothing outside its container reaches", "0.0.0.0:$PORT");
        let elsewhere = Sighting { listening: at(&["127.0.0.1:3000"]), ..sighting() };
        says(elsewhere, "web.1 listens on 127.0.0.1:3000, not on 0.0.0.0:5000", "0.0.0.0:$PORT");
        let listening = at(&["127.0.0.11:40001", "0.0.0.0:8080"]);
        let other = Sighting { listening: listening.clone(), speaking: vec![(8080, 200)], ..sighting() };
        says(other, "web.1 listens on port 8080, not on $PORT (5000)", "config:set blog PORT=8080");
        let ill = Sighting { listening: listening.clone(), speaking: vec![(8080, 503)], ..sighting() };
        says(ill, "web.1 listens on port 8080, not on $PORT (5000), and answered 503 there", "logs blog");
        let mute = Sighting { listening, ..sighting() };
        says(mute, "web.1 listens on port 8080, not on $PORT (5000), and speaks no HTTP there", "$PORT");
        let two = Sighting { listening: at(&["0.0.0.0:80", "0.0.0.0:81"]), speaking: vec![(80, 200), (81, 404)], ..sighting() };
        let sentence = "web.1 listens on port 80 and on port 81, not on $PORT (5000): which one is meant is not known";
        says(two, sentence, "ssh mini config:set blog PORT=80");
    }

    #[test]
    fn silence_is_told_from_slowness_and_from_a_wrong_answer() {
        says(Sighting { listening: at(&["127.0.0.11:40001"]), ..sighting() }, "web.1 listened on no port within 60.0s", "$PORT");
        let slow = "web.1 listened on no port within 60.0s and still printed: it may only be slow";
        says(Sighting { is_printing: true, ..sighting() }, slow, "apps:set blog health-timeout=120");
        let stuck = Sighting { listening: at(&["[::]:5000"]), path: "/up".into(), ..sighting() };
        says(stuck, "web.1 listens on port 5000 and did not answer GET /up within 60.0s", "logs");
        let ill = Sighting { status: Some(500), path: "/up".into(), ..sighting() };
        says(ill, "web.1 answered 500 to GET /up for 60.0s", "logs blog");
        let flapping = Sighting { status: Some(204), ..sighting() };
        says(flapping, "web.1 answered 204 to GET /, but not twice in a row within 60.0s", "logs blog");
    }
}
