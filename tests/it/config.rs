//! Config variables: set, masked, read back, and what cannot be a value.

use crate::harness::{Mini, Repo};

#[test]
fn a_value_comes_back_byte_for_byte_and_reaches_the_app() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    let anna = |words: &str, input: &str| mini.anna.ssh_with(mini.ssh, words, input);

    anna("config:set blog 'QUOTED=a  b \"c\" $HOME * `id`' UNICODE=grüße-✓", "").ok();
    anna("config:set blog LINES=-", "one\ntwo\n").ok();
    mini.local_with(&["config:set", "blog", "PIPED=-"], "from the server\n").ok();

    assert_eq!(anna("config:get blog QUOTED", "").ok().stdout, "a  b \"c\" $HOME * `id`\n");
    assert_eq!(anna("config:get blog UNICODE", "").ok().stdout, "grüße-✓\n");
    assert_eq!(anna("config:get blog LINES", "").ok().stdout, "one\ntwo\n");
    assert_eq!(anna("config:get blog LINES --json", "").ok().stdout, "\"one\\ntwo\"\n");
    let seen = mini.get("blog", "/cgi-bin/env").body;
    for line in ["QUOTED=a  b \"c\" $HOME * `id`\n", "UNICODE=grüße-✓\n", "LINES=one\ntwo\n", "PIPED=from the server\n"] {
        assert!(seen.contains(line), "{line:?} is not in {seen}");
    }

    let masked = anna("config blog", "").ok().stdout;
    assert!(masked.contains("UNICODE=••••") && !masked.contains("grüße"), "{masked}");
    assert!(!anna("config blog --json", "").ok().stdout.contains("grüße"));
    assert!(anna("config blog --show", "").ok().stdout.contains("UNICODE=grüße-✓\n"));
    mini.finish();
}

#[test]
fn setting_what_is_set_makes_no_release_and_unsetting_makes_one() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("examples/greeting").path(), mini.ssh, "blog", &["main"]).ok();

    let set = mini.anna.ssh(mini.ssh, "config:set blog GREETING=hello").ok();
    assert!(set.stdout.starts_with("http://blog.localhost") && set.stderr.contains("=====> Released v2 in "), "{set:?}");
    assert!(mini.get("blog", "/").body.contains("GREETING is hello"));
    let again = mini.anna.ssh(mini.ssh, "config:set blog GREETING=hello").ok();
    assert!(again.stderr.contains("Nothing to change"), "{again:?}");
    mini.anna.ssh(mini.ssh, "config:unset blog GREETING").ok();
    assert!(mini.get("blog", "/").body.contains("nothing"));
    mini.anna.ssh(mini.ssh, "config:unset blog GREETING").fails(3, "there is no config variable `GREETING`");
    assert_eq!(mini.local(&["releases", "blog", "--json"]).ok().stdout.matches("\"version\"").count(), 3);
    mini.finish();
}

#[test]
fn what_cannot_be_a_value_is_refused_and_nothing_is_released() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    let set = |words: &str, input: &str| mini.anna.ssh_with(mini.ssh, words, input);

    set("config:set blog A=-", &"x".repeat((64 << 10) + 1)).fails(2, "the value of `A` is over 64 KiB");
    set("config:set blog A=-", &"x".repeat((256 << 10) + 1)).fails(2, "the input is over 256 KiB");
    set("config:set blog A=-", "a\0b").fails(2, "NUL");
    set("config:set blog A=- B=-", "x").fails(2, "only one value can come from the input");
    set("config:set blog =x", "").fails(2, "");
    set("config:set blog PORT=0", "").fails(2, "PORT is not a port number");
    set("config:set blog A=-", &"x".repeat(64 << 10)).ok();
    assert_eq!(set("config:get blog A", "").ok().stdout.len(), (64 << 10) + 1);
    assert_eq!(mini.local(&["config", "blog"]).ok().stdout, "A=••••••••\n");
    mini.finish();
}

#[test]
fn the_largest_value_reaches_the_app_whole() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();

    mini.anna.ssh_with(mini.ssh, "config:set blog BIG=-", &"y".repeat(64 << 10)).ok();

    let seen = mini.get("blog", "/cgi-bin/env");
    let big = seen.body.lines().find_map(|line| line.strip_prefix("BIG=")).unwrap_or_else(|| panic!("no BIG in {seen:?}"));
    assert_eq!(big.len(), 64 << 10);
    mini.finish();
}

/// Serves while its config lets it.
const FRAGILE: &str = "FROM busybox\nCMD [\"sh\", \"-c\", \"echo mode=$MODE; [ \\\"$MODE\\\" != bad ] || exit 7; \
                       mkdir -p /www; echo serves $MODE >/www/index.html; exec httpd -f -p $PORT -h /www\"]\n";

#[test]
fn a_config_change_that_makes_the_app_crash_is_not_made() {
    let mini = Mini::start_with(&["--ready-time", "3s"]);
    let repo = Repo::of(&[("Dockerfile", FRAGILE)]);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "config:set blog MODE=good").ok();

    let refused = mini.anna.ssh(mini.ssh, "config:set blog MODE=bad OTHER=1").fails(1, "web.1 exited with code 7");

    assert!(refused.stderr.contains("mode=bad"), "{}", refused.stderr);
    assert_eq!(mini.local(&["config", "blog", "--show"]).ok().stdout, "MODE=good\n");
    assert_eq!(mini.get("blog", "/").body, "serves good\n");
    assert_eq!(mini.docker().containers().len(), 1);
    let releases = mini.local(&["releases", "blog"]).ok().stdout;
    assert!(releases.lines().any(|line| line.starts_with("v3") && line.contains("failed")), "{releases}");

    mini.anna.ssh(mini.ssh, "rollback blog v3").fails(2, "v3 never went live");
    mini.anna.ssh(mini.ssh, "rollback blog v2").fails(2, "v2 is what is live");
    mini.anna.ssh(mini.ssh, "rollback blog v9").fails(3, "there is no release v9");
    mini.anna.ssh(mini.ssh, "rollback blog v1").ok();
    assert_eq!(mini.get("blog", "/").body, "serves\n");
    mini.finish();
}
