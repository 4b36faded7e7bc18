//! Who is let in, and by which door.

use std::process::Command;

use crate::harness::{Mini, Person, Said};

#[test]
fn whoami_is_the_key_over_ssh_and_local_over_the_socket() {
    let mini = Mini::start();

    let over_ssh = mini.anna.ssh(mini.ssh, "whoami").ok();
    let over_socket = mini.local(&["whoami"]).ok();

    assert!(over_ssh.stdout.starts_with("anna@test (admin, all apps) by SHA256:"), "{over_ssh:?}");
    assert_eq!(over_socket.stdout, "local (admin, all apps) by the server's own socket\n");
    mini.finish();
}

#[test]
fn a_stranger_is_refused_until_an_admin_adds_the_key() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");

    bob.ssh(mini.ssh, "whoami").fails(255, "Permission denied (publickey)");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    let who = bob.ssh(mini.ssh, "whoami").ok();
    assert!(who.stdout.starts_with("bob (deploy, all apps)"), "{who:?}");

    bob.ssh(mini.ssh, "keys").fails(4, "needs an admin");
    mini.anna.ssh(mini.ssh, "keys:remove bob").ok();
    bob.ssh(mini.ssh, "whoami").fails(255, "Permission denied (publickey)");
    mini.finish();
}

#[test]
fn a_removed_key_can_do_nothing_more_on_a_connection_that_is_still_open() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob --role admin", &bob.public_key()).ok();
    let shared = |words: &[&str]| {
        let line = bob.ssh_command(mini.ssh);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg("-S").arg(mini.home().join("mux")).args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]);
        command.args(words);
        Said::by(command, b"")
    };
    assert!(shared(&["mini@127.0.0.1", "whoami"]).ok().stdout.starts_with("bob (admin"));

    mini.anna.ssh(mini.ssh, "keys:remove bob").ok();
    let after = shared(&["mini@127.0.0.1", "keys"]);
    let _ = shared(&["-O", "exit", "mini@127.0.0.1"]);

    assert_ne!(after.code, 0, "{after:?}");
    assert_eq!(after.stdout, "");
    mini.finish();
}
