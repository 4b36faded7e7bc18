//! Keys as people paste, pipe and name them.

use std::path::Path;
use std::process::Command;

use crate::harness::{Mini, Person, Said};

#[test]
fn the_client_opens_the_file_and_the_server_opens_none() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    let file = mini.home().join("bob.pub");
    std::fs::write(&file, bob.public_key()).unwrap();

    let added = mini.local(&["keys", "add", "bob", file.to_str().unwrap()]).ok();
    assert!(added.stdout.starts_with("Added key `bob` (deploy, all apps): SHA256:"), "{added:?}");
    bob.ssh(mini.ssh, "whoami").ok();

    mini.anna.ssh(mini.ssh, "keys:add x /etc/passwd").fails(2, "the server does not read files: pipe it");
    mini.local(&["keys:add", "x", "/nowhere/x.pub"]).fails(2, "the file `/nowhere/x.pub` cannot be read");
    mini.finish();
}

#[test]
fn a_known_key_a_taken_name_and_the_last_admin_are_said_so() {
    let mini = Mini::start();
    let (bob, eve) = (Person::new(mini.home(), "bob"), Person::new(mini.home(), "eve"));
    let add = |words: &str, input: &str| mini.anna.ssh_with(mini.ssh, words, input);

    add("keys:add bob", &bob.public_key()).ok();
    add("keys:add bob", &bob.public_key()).fails(5, "bob");
    add("keys:add robert", &bob.public_key()).fails(5, "bob");
    add("keys:add bob", &eve.public_key()).fails(5, "another key is already called `bob`");
    add("keys:add eve - --role admin --app nothing", &eve.public_key()).fails(3, "app `nothing` does not exist");
    add("keys:add eve --role king", &eve.public_key()).fails(2, "king");
    mini.anna.ssh(mini.ssh, "keys:remove anna@test").fails(4, "");
    add("keys:add", &eve.public_key()).ok();
    assert!(mini.local(&["keys"]).ok().stdout.contains("eve@test"));
    mini.finish();
}

#[test]
fn what_is_not_one_public_key_is_refused_in_words() {
    let mini = Mini::start();
    let (bob, eve) = (Person::new(mini.home(), "bob"), Person::new(mini.home(), "eve"));
    let small = Person::with_key(mini.home(), "small", &["-t", "rsa", "-b", "1024"]);
    let private = std::fs::read_to_string(bob.key_file()).unwrap();
    let (one, other) = (bob.public_key(), eve.public_key());
    let cases = [
        (private.as_str(), "this is a private key"),
        (&format!("command=\"/bin/sh\" {one}"), "this is not an SSH public key"),
        (&format!("{one}{other}"), "this is more than one key"),
        ("", "no key was sent"),
        ("\n# a comment\n\n", "no key was sent"),
        ("hello world", "this is not an SSH public key"),
        (&small.public_key(), "this RSA key has 1024 bits"),
        (&"x".repeat(300 << 10), "the input is over 256 KiB"),
    ];

    for (input, sentence) in cases {
        let over_ssh = mini.anna.ssh_with(mini.ssh, "keys:add bob", input).fails(2, sentence);
        let on_server = mini.local_with(&["keys:add", "bob"], input).fails(2, sentence);
        assert_eq!(over_ssh.stderr, on_server.stderr);
    }
    assert!(!mini.log().contains(private.lines().nth(1).unwrap()), "a private key stands in the server's log");
    mini.finish();
}

#[test]
fn a_removed_key_stays_out_over_a_restart() {
    let mut mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob --role admin", &bob.public_key()).ok();
    bob.ssh(mini.ssh, "keys:remove anna@test").ok();

    assert!(mini.stop().success());
    mini.boot();

    mini.anna.ssh(mini.ssh, "whoami").fails(255, "Permission denied");
    bob.ssh(mini.ssh, "whoami").ok();
    assert!(Path::new(&mini.data()).is_dir());
    mini.finish();
}

#[test]
fn a_removed_admin_key_stays_removed_and_the_last_one_cannot_go() {
    let mut mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");

    mini.anna.ssh(mini.ssh, "keys:remove anna@test").fails(4, "is the last admin key");
    mini.local(&["keys:remove", "anna@test"]).fails(4, "is the last admin key");
    mini.anna.ssh_with(mini.ssh, "keys:add bob --role admin", &bob.public_key()).ok();
    bob.ssh(mini.ssh, "keys:remove anna@test").ok();
    mini.stop();
    mini.boot();

    mini.anna.ssh(mini.ssh, "whoami").fails(255, "Permission denied");
    assert!(mini.said.iter().any(|line| line.contains("was removed with keys:remove and stays out")), "{:?}", mini.said);
    bob.ssh(mini.ssh, "keys:remove bob").fails(4, "is the last admin key");
    bob.ssh(mini.ssh, "whoami").ok();
    mini.finish();
}

#[test]
fn an_rsa_key_under_2048_bits_is_refused() {
    let mini = Mini::start();
    let small = Person::with_key(mini.home(), "small", &["-t", "rsa", "-b", "1024"]);
    let large = Person::with_key(mini.home(), "large", &["-t", "rsa", "-b", "2048"]);

    mini.anna.ssh_with(mini.ssh, "keys:add small", &small.public_key()).fails(2, "1024");
    mini.anna.ssh_with(mini.ssh, "keys:add large", &large.public_key()).ok();

    small.ssh(mini.ssh, "whoami").fails(255, "Permission denied");
    large.ssh(mini.ssh, "whoami").ok();
    mini.finish();
}

#[test]
fn a_key_that_was_offered_and_did_not_sign_is_nobody() {
    let mini = Mini::start();
    let mallory = Person::new(mini.home(), "mallory");
    mini.anna.ssh_with(mini.ssh, "keys:add mallory --role view", &mallory.public_key()).ok();
    let stolen = mini.home().join("stolen");
    std::fs::write(stolen.with_extension("pub"), mini.anna.public_key()).unwrap();
    let attack = |words: &str| {
        let mut ssh = mallory.ssh_command(mini.ssh);
        let offer = ["-o".to_owned(), "LogLevel=DEBUG1".to_owned(), "-o".to_owned(), format!("IdentityFile={}", stolen.display())];
        ssh.splice(1..1, offer);
        let mut command = Command::new(&ssh[0]);
        command.args(&ssh[1..]).args(["anna@127.0.0.1", words]);
        Said::by(command, b"")
    };

    let who = attack("whoami").ok();

    assert!(who.stderr.contains(&format!("Server accepts key: {}", stolen.display())), "anna's key was not offered: {}", who.stderr);
    assert!(who.stdout.starts_with("mallory (view, "), "{}", who.stdout);
    attack("keys").fails(4, "this needs an admin");
    attack("keys:remove anna@test").fails(4, "this needs an admin");
    mini.finish();
}
