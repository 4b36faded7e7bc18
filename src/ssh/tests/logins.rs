//! Who gets in, and as whom.

use super::{Door, output, text};

#[tokio::test]
async fn an_unknown_key_gets_the_ordinary_refusal() {
    let door = Door::open().await;
    let stranger = door.keygen("stranger", &["-t", "ed25519"]).await;

    let refused = output(door.ssh_with(&stranger).args(["anna@127.0.0.1", "whoami"])).await;

    assert_eq!(refused.status.code(), Some(255));
    assert!(text(&refused.stderr).contains("Permission denied (publickey)"), "{refused:?}");
    door.assert_alive().await;
}

#[tokio::test]
async fn an_offered_key_gives_nobody_its_rights() {
    let door = Door::open().await;
    let admin = door.invite("admin", &["-t", "ed25519"]).await;
    // The attacker has the admin's public key only: it is offered, taken, and cannot sign.
    std::fs::remove_file(&admin).unwrap();

    let mut ssh = door.ssh_with(&admin);
    let acted = output(ssh.arg("-v").arg("-i").arg(door.key("anna")).args(["admin@127.0.0.1", "whoami"])).await;
    let alone = output(door.ssh_with(&admin).args(["admin@127.0.0.1", "whoami"])).await;

    let trace = String::from_utf8_lossy(&acted.stderr);
    assert!(trace.contains("Server accepts key") && trace.contains("/admin"), "the admin's key was never offered: {trace}");
    assert_eq!(text(&acted.stdout), "anna\n");
    assert_eq!((text(&alone.stdout), alone.status.code()), ("", Some(255)));
}

#[tokio::test]
async fn every_good_kind_of_key_logs_in() {
    let door = Door::open().await;
    for (name, kind) in
        [("p256", &["-t", "ecdsa", "-b", "256"]), ("p521", &["-t", "ecdsa", "-b", "521"]), ("rsa", &["-t", "rsa", "-b", "2048"])]
    {
        let key = door.invite(name, kind).await;

        let whoami = output(door.ssh_with(&key).args(["127.0.0.1", "whoami"])).await;

        assert_eq!(text(&whoami.stdout), format!("{name}\n"), "{whoami:?}");
    }
}

#[tokio::test]
async fn weak_rsa_is_refused_even_when_the_desk_knows_it() {
    let door = Door::open().await;
    let short = door.invite("short", &["-t", "rsa", "-b", "1024"]).await;
    let rsa = door.invite("rsa", &["-t", "rsa", "-b", "2048"]).await;

    let mut with_short = door.ssh_with(&short);
    let short = output(with_short.args(["-o", "RequiredRSASize=1024", "127.0.0.1", "whoami"])).await;
    let mut with_sha1 = door.ssh_with(&rsa);
    let sha1 = output(with_sha1.args(["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "127.0.0.1", "whoami"])).await;

    assert_eq!((text(&short.stdout), short.status.code()), ("", Some(255)), "{short:?}");
    assert_eq!((text(&sha1.stdout), sha1.status.code()), ("", Some(255)), "{sha1:?}");
}

#[tokio::test]
async fn a_certificate_is_not_a_key() {
    let door = Door::open().await;
    let authority = door.keygen("authority", &["-t", "ed25519"]).await;
    let mut sign = tokio::process::Command::new("ssh-keygen");
    sign.arg("-q").arg("-s").arg(&authority).args(["-I", "anna", "-n", "anna"]).arg(door.key("anna.pub"));
    assert!(output(&mut sign).await.status.success());

    let mut ssh = door.ssh_with(&door.key("anna"));
    let only_certificates = "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com";
    let refused = output(ssh.args(["-o", only_certificates, "anna@127.0.0.1", "whoami"])).await;

    assert_eq!((text(&refused.stdout), refused.status.code()), ("", Some(255)), "{refused:?}");
}

#[tokio::test]
async fn many_honest_clients_of_one_address_all_get_in() {
    let door = Door::open().await;

    let crowd = (0..30).map(|_| door.run("whoami"));
    let all = futures_util::future::join_all(crowd).await;

    assert_eq!(all.iter().filter(|one| one.stdout == b"anna\n").count(), 30);
}

#[tokio::test]
async fn only_strong_algorithms_are_offered() {
    let door = Door::open().await;

    let mut ssh = door.ssh_with(&door.key("anna"));
    let traced = output(ssh.args(["-vv", "127.0.0.1", "whoami"])).await;

    let trace = String::from_utf8_lossy(&traced.stderr);
    let offer: Vec<&str> = trace.lines().skip_while(|line| !line.contains("peer server KEXINIT proposal")).skip(1).take(8).collect();
    let expected = [
        "KEX algorithms: mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,ext-info-s,kex-strict-s-v00@openssh.com",
        "host key algorithms: ssh-ed25519",
        "ciphers ctos: aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
        "ciphers stoc: aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
        "MACs ctos: hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com",
        "MACs stoc: hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com",
        "compression ctos: none",
        "compression stoc: none",
    ];
    assert_eq!(offer.iter().map(|line| line.trim_start_matches("debug2: ").trim_end()).collect::<Vec<_>>(), expected);
}
