//! Who is let in, and by which door.

use crate::harness::{Mini, Person};

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
