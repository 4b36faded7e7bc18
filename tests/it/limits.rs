//! How much one push may bring.

use crate::harness::{Mini, Repo};

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
