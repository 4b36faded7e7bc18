//! What goes wrong on the way to a live app: what the pusher reads, and that nothing else changed.

use std::time::{Duration, Instant};

use crate::harness::{Docker, Mini, Repo, Said, eventually, is_running, unique};
use crate::traffic::Load;

/// A live `blog` with its work tree, and what the engine held then.
pub struct Live {
    pub mini: Mini,
    pub repo: Repo,
    first: String,
    held: Vec<String>,
}

impl Live {
    pub fn start(flags: &[&str]) -> Self {
        let mini = Mini::start_with(flags);
        let repo = Repo::from_folder("examples/hello");
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
        let first = repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let held = held(&mini.docker());
        Live { mini, repo, first, held }
    }

    /// Puts an app of `tests/apps` in place of the live one.
    pub fn take(&self, app: &str) {
        self.repo.git(&["rm", "-rq", "."]);
        let source = format!("{}/tests/apps/{app}/.", env!("CARGO_MANIFEST_DIR"));
        assert!(std::process::Command::new("cp").args(["-a", &source]).arg(self.repo.path()).status().unwrap().success());
        self.repo.commit(app);
    }

    pub fn dockerfile(&self, text: &str) {
        self.repo.write("Dockerfile", text);
        self.repo.commit("change");
    }

    pub fn push(&self) -> Said {
        self.mini.anna.push(self.repo.path(), self.mini.ssh, "blog", &["main"])
    }

    /// Pushes what must not go live, and asserts that it changed nothing.
    #[track_caller]
    pub fn push_fails(&self, sentence: &str) -> Said {
        let pushed = self.push().fails(1, "[remote rejected] main -> main (pre-receive hook declined)");
        assert!(pushed.stderr.contains(sentence), "not said: {sentence:?}, but:\n{}", pushed.stderr);
        self.is_as_before();
        pushed
    }

    #[track_caller]
    fn is_as_before(&self) {
        let main = ("refs/heads/main".to_owned(), self.first.clone());
        assert!(self.mini.anna.refs(self.mini.ssh, "blog").contains(&main), "`main` has moved");
        let answer = self.mini.get("blog", "/");
        assert!(answer.status == 200 && answer.body.contains("Hello from mini"), "{answer:?}");
        assert_eq!(held(&self.mini.docker()), self.held, "the engine holds something else than before");
    }

    fn releases(&self) -> String {
        self.mini.local(&["releases", "blog"]).ok().stdout
    }
}

fn held(docker: &Docker) -> Vec<String> {
    let mut held = docker.leftovers();
    held.sort();
    held.dedup();
    held
}

/// What the server said, with everything that differs from run to run replaced.
fn transcript(said: &Said) -> String {
    said.remote().iter().map(|line| normal(line) + "\n").collect()
}

/// Asserts the whole transcript; the expected one begins below its quote.
#[track_caller]
pub fn says(said: &Said, expected: &str) {
    let transcript = format!("\n{}", transcript(said));
    assert!(transcript == expected, "said:{transcript}\nexpected:{expected}");
}

/// Replaces times, sizes and commits, and what the builder shares with other builds: which steps are cached, and whose number a
/// step has that another build takes at the same time.
fn normal(line: &str) -> String {
    let line = line.replace("  cached", "  N.Ns");
    let line = (1..=9).fold(line, |line, steps| line.replace(&format!("[1/{steps}] FROM"), "[1/N] FROM"));
    let line = &line;
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let (core, tail) = word.split_at(word.trim_end_matches([',', ')', ':']).len());
        let is_seconds = core.strip_suffix('s').is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok());
        let is_commit = core.len() == 7 && core.bytes().all(|b| b.is_ascii_hexdigit());
        let is_size = words.last().is_some_and(|last| last == "Image") && core.parse::<f64>().is_ok();
        let is_cached = word.starts_with('(') && line.contains(" steps cached)");
        words.push(if is_seconds {
            format!("N.Ns{tail}")
        } else if is_size {
            "N".to_owned()
        } else if is_cached {
            "(N".to_owned()
        } else if is_commit {
            format!("COMMIT{tail}")
        } else {
            word.to_owned()
        });
    }
    words.join(" ")
}

/// The one command that a failure ends with.
#[track_caller]
pub fn command_to_try(said: &Said) -> String {
    let lines = said.remote();
    let tries: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(" !     try: ")).collect();
    assert_eq!(tries.len(), 1, "{}", said.stderr);
    tries[0].to_owned()
}

#[test]
fn a_failed_build_leaves_the_old_release_serving() {
    let live = Live::start(&[]);
    live.take("broken-build");

    let pushed = live.push_fails(" !     try: ");

    says(
        &pushed,
        r#"
-----> Receiving blog (main, COMMIT)
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
       compiling 37 files
       main.c:12: error: expected ';'
 !     `RUN echo compiling 37 files; echo "main.c:12: error: expected ';'"; exit 3` failed with exit code 3
 !     try: docker build .   (the same build on your own machine)
 !     nothing was changed: v1 keeps serving
"#,
    );
    let logs = live.mini.local(&["logs", "blog", "-s", "build"]).ok().stdout;
    assert!(logs.lines().last().unwrap().ends_with("failed with exit code 3"), "{logs}");
    live.mini.finish();
}

#[test]
fn a_crash_at_start_shows_its_last_words() {
    let live = Live::start(&["--ready-time", "3s"]);
    live.take("crash-at-start");

    let pushed = live.push_fails(" !     try: ");

    says(
        &pushed,
        r"
-----> Receiving blog (main, COMMIT)
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
-----> Image N MB in N.Ns (N of 1 steps cached)
-----> Starting web.1 beside v1
 !     web.1 exited with code 1 after N.Ns: the config variable DATABASE_URL is not set
       it printed last:
         starting
         DATABASE_URL is not set
 !     try: ssh mini config:set blog DATABASE_URL=…
 !     nothing was changed: v1 keeps serving
",
    );
    let releases = live.releases();
    assert!(releases.contains("v2") && releases.contains("failed") && releases.contains("exited with code 1"), "{releases}");
    let logs = live.mini.anna.ssh(live.mini.ssh, "logs blog").ok().stdout;
    assert!(logs.contains("DATABASE_URL is not set"), "its words are kept: {logs}");
    live.mini.finish();
}

#[test]
fn an_app_that_only_it_can_reach_is_told_to_bind_elsewhere() {
    let live = Live::start(&["--ready-time", "3s"]);
    live.take("loopback-only");

    let pushed = live.push_fails(" !     try: ");

    says(
        &pushed,
        r"
-----> Receiving blog (main, COMMIT)
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
-----> Image N MB in N.Ns (N of 1 steps cached)
-----> Starting web.1 beside v1
 !     web.1 listens on 127.0.0.1:5000, which nothing outside its container reaches
       it printed nothing
 !     try: listen on 0.0.0.0:$PORT (PORT is 5000 now), then deploy again
 !     nothing was changed: v1 keeps serving
",
    );
    live.mini.finish();
}

#[test]
fn an_app_that_only_fails_never_goes_live() {
    let live = Live::start(&["--ready-time", "3s"]);
    live.take("never-healthy");

    let pushed = live.push_fails(" !     try: ");

    says(
        &pushed,
        r"
-----> Receiving blog (main, COMMIT)
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
       [2/2] COPY answer /  N.Ns
-----> Image N MB in N.Ns (N of 2 steps cached)
-----> Starting web.1 beside v1
 !     web.1 answered 500 to GET / for N.Ns
       it printed nothing
 !     try: ssh mini logs blog
 !     nothing was changed: v1 keeps serving
",
    );
    live.mini.finish();
}

#[test]
fn a_failing_first_push_leaves_an_app_that_the_next_push_brings_to_life() {
    let mini = Mini::start_with(&["--ready-time", "3s"]);
    let repo = Repo::from_folder("tests/apps/crash-at-start");

    let pushed = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, "pre-receive hook declined");

    says(
        &pushed,
        r"
-----> Receiving blog (main, COMMIT)
-----> Created app `blog`
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
-----> Image N MB in N.Ns (N of 1 steps cached)
-----> Starting web.1
 !     web.1 exited with code 1 after N.Ns: the config variable DATABASE_URL is not set
       it printed last:
         starting
         DATABASE_URL is not set
 !     try: ssh mini config:set blog DATABASE_URL=…
 !     `blog` has no release yet: the next push may be its first
",
    );
    assert_eq!(mini.get("blog", "/").status, 503);
    assert_eq!(mini.docker().containers(), Vec::<String>::new());
    assert_eq!(mini.docker().images(), Vec::<String>::new());
    repo.write("Dockerfile", "FROM busybox\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT\"]\n");
    repo.commit("mended");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.finish();
}

#[test]
fn a_silent_build_is_ended_with_all_its_processes() {
    let live = Live::start(&["--build-silence", "2s"]);
    let mark = format!("91{}", unique());
    live.dockerfile(&format!("FROM busybox\nRUN sleep {mark}\n"));

    let begun = Instant::now();
    live.push_fails("printed nothing for 2 s");

    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    eventually("the build's processes to be gone", || (!is_running(&mark)).then_some(()));
    live.mini.finish();
}

#[test]
fn an_endless_build_is_ended_with_all_its_processes() {
    let live = Live::start(&["--build-time", "3s"]);
    let mark = format!("endless-{}", unique());
    live.dockerfile(&format!("FROM busybox\nRUN while :; do echo {mark}; sleep 0.2; done\n"));

    let begun = Instant::now();
    live.push_fails("3 s");

    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    eventually("the build's processes to be gone", || (!is_running(&mark)).then_some(()));
    live.mini.finish();
}

#[test]
fn a_build_that_prints_without_measure_is_cut_and_cleaned_and_goes_on() {
    let live = Live::start(&[]);
    // The time makes each run's steps new to the builder's cache.
    live.repo.write("now", &format!("{:?}", std::time::SystemTime::now()));
    live.dockerfile(concat!(
        "FROM busybox\nCOPY now /\n",
        "RUN seq 100000\n",
        "RUN head -c 10000000 /dev/zero | tr '\\0' x; echo\n",
        "RUN printf 'a\\033[31mred\\033[0m\\033]0;title\\007b\\r\\n\\033[2J\\000\\377end\\n'\n",
        "CMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT\"]\n"
    ));

    let pushed = live.push().ok();

    assert!(pushed.stderr.len() < 12_000_000, "{}", pushed.stderr.len());
    let lines = pushed.remote();
    assert!(lines.iter().any(|line| line == "       1000"), "the first of the many lines");
    assert!(lines.iter().all(|line| line.len() < 17 << 10), "a line is cut");
    assert!(lines.iter().any(|line| line == "       aredb"), "{:?}", &lines[lines.len() - 20..]);
    assert!(!lines.iter().any(|line| line.chars().any(char::is_control)), "escapes are stripped");
    live.mini.finish();
}

#[test]
fn each_wrong_dockerfile_is_explained_and_changes_nothing() {
    let live = Live::start(&[]);

    for (dockerfile, sentence) in [
        ("FROM busybox\nRUN exit 3\n", "exit 3"),
        ("FROM busybox\nRUN (sleep 5; echo late) & exit 3\n", "exit"),
        ("FROM mini-test-no-such-image:7\n", "mini-test-no-such-image:7"),
        ("FROM busybox\nRNU echo\n", "RNU"),
        ("FROM busybox\nCOPY nothing /\n", "nothing"),
        ("", "Dockerfile"),
    ] {
        live.dockerfile(dockerfile);
        let pushed = live.push_fails(sentence);
        println!("{}", transcript(&pushed));
        assert!(pushed.remote().iter().any(|line| line.starts_with(" !     ")), "{}", pushed.stderr);
    }
    live.mini.finish();
}

#[test]
fn a_port_that_is_none_is_refused_before_anything_starts() {
    let live = Live::start(&[]);

    for port in ["http", "0", "65536", "-1", "80 80", ""] {
        let refused = live.mini.anna.ssh(live.mini.ssh, &format!("config:set blog 'PORT={port}'"));
        let refused = refused.fails(2, "PORT");
        assert!(!refused.stderr.contains("----->"), "{}", refused.stderr);
    }

    assert_eq!(live.mini.local(&["config", "blog", "--json"]).ok().stdout, "[]\n");
    assert_eq!(live.releases().lines().count(), 2, "a head and v1");
    live.is_as_before();
    live.mini.finish();
}

#[test]
fn an_app_that_does_not_go_when_asked_is_killed_and_delays_nobody() {
    let mini = Mini::start_with(&["--stop-grace", "4s"]);
    let repo = Repo::from_folder("tests/apps/ignores-term");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let old = mini.docker().containers();
    repo.write("index.html", "newer");
    repo.commit("second");
    let load = Load::start(mini.http, "blog.localhost");

    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    assert!(mini.docker().containers().contains(&old[0]), "the push did not wait for the old one's end");
    assert_eq!(mini.get("blog", "/").body, "newer");
    eventually("the old container to be gone", || (!mini.docker().containers().contains(&old[0])).then_some(()));
    let (served, failed) = load.stop();
    assert!(served > 0 && failed.is_empty(), "{} of {served} requests failed: {:?}", failed.len(), failed.first());
    assert_eq!(mini.docker().containers().len(), 1);
    let logs = mini.local(&["logs", "blog", "-s", "app"]).ok().stdout;
    assert!(logs.contains("not yet"), "it was asked before it was killed: {logs}");
    mini.finish();
}
