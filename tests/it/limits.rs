//! How much one push may bring, and how much a container may use.

use crate::harness::{Docker, Mini, Repo, eventually};

#[test]
fn a_push_of_more_refs_or_options_than_anybody_needs_is_refused_in_words() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.next("second");
    let before = mini.state("hello");
    let refs: Vec<String> = (0..101).map(|number| format!("main:b{number}")).collect();
    let options = vec!["-ox"; 65];
    let long = format!("-omessage={}", "x".repeat(5000));

    let many_refs = mini.anna.push(repo.path(), mini.ssh, "hello", &refs.iter().map(String::as_str).collect::<Vec<_>>());
    let many_options = mini.anna.push(repo.path(), mini.ssh, "hello", &[&options[..], &["main"]].concat());
    let long_option = mini.anna.push(repo.path(), mini.ssh, "hello", &[&long, "main"]);

    assert_eq!(many_refs.fails(1, "(pre-receive hook declined)").remote()[0], "mini: a push may bring 100 refs, this one has more");
    for refused in [many_options, long_option] {
        assert_eq!(refused.fails(1, "(pre-receive hook declined)").remote(), ["mini: a push may have 64 options of 4096 bytes"]);
    }
    assert_eq!(mini.state("hello"), before);
    mini.anna.push(repo.path(), mini.ssh, "hello", &[&vec!["-ox"; 64][..], &["main"]].concat()).ok();
    mini.finish();
}

/// What a shell has in its memory after this is some 50 MB.
const EAT: &str = "eaten=$(head -c 50000000 /dev/zero | tr '\\0' a)";

/// Serves `/www`, and fills its memory at its start or when it is asked to.
fn eater(at_start: &str) -> Repo {
    let start = format!("{at_start}\nhttpd -f -p $PORT -h /www &\nwhile sleep 0.2; do\n  [ -e /tmp/eat ] && {EAT}\ndone\n");
    let repo = Repo::empty();
    repo.write("Dockerfile", "FROM busybox\nCOPY . /\nRUN chmod +x /www/cgi-bin/eat\nCMD [\"sh\", \"/start\"]\n");
    repo.write("start", &start);
    repo.write("www/index.html", "well\n");
    repo.write("www/cgi-bin/eat", "#!/bin/sh\ntouch /tmp/eat\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n");
    repo.commit("eats");
    repo
}

#[test]
fn an_app_that_eats_memory_is_killed_alone_and_told_so() {
    let mini = Mini::start();
    mini.anna.push(eater("").path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.push(Repo::hello().path(), mini.ssh, "hello", &["main"]).ok();
    let hello = mini.state("hello");
    mini.anna.ssh(mini.ssh, "limits:set blog memory=32m cpus=0.5").ok();
    eventually("the one without a limit to be gone", || (mini.docker().containers().len() == 2).then_some(()));
    let limited = "33554432 33554432 500000000";
    let is_limited =
        |id: &String| Docker::inspect(id, "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}") == limited;
    assert_eq!(mini.docker().containers().iter().filter(|id| is_limited(id)).count(), 1);

    mini.get("blog", "/cgi-bin/eat");

    let why = "out of memory, limit 32 MiB";
    eventually("`ps` to tell", || mini.anna.ssh(mini.ssh, "ps blog").ok().stdout.contains(why).then_some(()));
    let logs = mini.anna.ssh(mini.ssh, "logs blog").ok().stdout;
    assert!(logs.contains(&format!("web.1 of v1 crashed ({why})")), "{logs}");
    assert_eq!((mini.state("hello"), mini.get("hello", "/").status), (hello, 200));
    mini.finish();
}

#[test]
fn a_limit_that_kills_an_app_at_its_start_is_not_set() {
    let mini = Mini::start();
    mini.anna.push(eater(EAT).path(), mini.ssh, "blog", &["main"]).ok();
    let (before, containers) = (mini.state("blog"), mini.docker().containers());

    // Whose memory it was the engine does not always hear from the kernel in time.
    let said = mini.anna.ssh(mini.ssh, "limits:set blog memory=16m").fails(1, "memory=32m");
    let whys = ["it ran out of memory, its limit is 16 MiB", "it was killed, most likely for memory: its limit is 16 MiB"];
    assert!(whys.iter().any(|why| said.stderr.contains(why)), "{said:?}");

    assert!(said.stderr.contains("nothing was changed: v1 keeps serving"), "{said:?}");
    assert_eq!((mini.state("blog"), mini.docker().containers()), (before, containers));
    assert!(mini.anna.ssh(mini.ssh, "limits blog").ok().stdout.contains("memory=none"));
    assert_eq!(mini.get("blog", "/").body, "well\n");
    mini.finish();
}
