//! Certificates for domains of apps: they come by themselves, are renewed in time, and outlive an authority that is away.

use crate::harness::{Looks, Mini, Pebble, Repo, eventually, get_https};

const DOMAIN: &str = "www.example.org";

/// A server that orders from an authority of the test's own, with an app `blog`.
fn with_authority(flags: &[&str]) -> (Mini, Pebble) {
    let pebble = Pebble::new();
    let mut mini = Mini::unstarted(flags);
    mini.flags.extend(["--https", "127.0.0.1:0"].map(str::to_owned));
    mini.flags.extend(pebble.flags());
    mini.boot();
    let start = "mkdir -p /www\necho served > /www/index.html\nexec httpd -f -p $PORT -h /www\n";
    let repo = Repo::of(&[("Dockerfile", "FROM busybox\nCOPY start /\nCMD [\"sh\", \"/start\"]\n"), ("start", start)]);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, pebble)
}

/// As [`with_authority`], once the domain has a certificate, which is renewed every two seconds.
fn with_short_certificate() -> (Mini, Pebble) {
    let (mini, mut pebble) = with_authority(&["--acme-renew-after", "2s"]);
    pebble.start(&looks(&mini));
    let root = pebble.root();
    says(&mini, &format!("domains:add blog {DOMAIN}"));
    eventually("a certificate", || shown(&mini, &root));
    (mini, pebble)
}

/// Where the authority finds the server.
fn looks(mini: &Mini) -> Looks {
    Looks { http_port: mini.http.port(), tls_port: mini.https().port() }
}

/// The certificate that the domain shows to a client that trusts the authority alone, with the app's answer behind it.
fn shown(mini: &Mini, root: &str) -> Option<Vec<u8>> {
    let (answer, certificate) = get_https(mini.https(), DOMAIN, "/", root).ok()?;
    assert_eq!((answer.status, answer.body.trim()), (200, "served"));
    Some(certificate)
}

fn says(mini: &Mini, words: &str) -> String {
    mini.anna.ssh(mini.ssh, words).ok().stdout
}

#[test]
fn a_domain_gets_a_certificate_by_itself_and_keeps_it_over_a_kill() {
    let (mut mini, mut pebble) = with_authority(&[]);
    pebble.start(&looks(&mini));
    let root = pebble.root();
    assert_eq!(shown(&mini, &root), None);

    says(&mini, &format!("domains:add blog {DOMAIN}"));

    let first = eventually("a certificate", || shown(&mini, &root));
    let looked = pebble.log();
    assert!(looked.contains("validate w/ HTTP") && looked.matches("Pulled a task").count() == 1, "{looked}");
    assert!(says(&mini, "logs blog").contains(&format!("{DOMAIN} has a certificate by Pebble")));
    let certs = says(&mini, "certs blog");
    assert!(certs.contains(DOMAIN) && certs.contains("live") && !certs.contains("next try"), "{certs}");
    pebble.stop();
    mini.kill_9();
    mini.boot();
    assert_eq!(shown(&mini, &root), Some(first));
    mini.finish();
}

#[test]
fn where_port_80_leads_nowhere_the_domain_is_proven_by_a_handshake() {
    let (mini, mut pebble) = with_authority(&[]);
    // Port 9 is nobody's here.
    pebble.start(&Looks { http_port: 9, ..looks(&mini) });
    let root = pebble.root();

    says(&mini, &format!("domains:add blog {DOMAIN}"));

    eventually("a certificate", || shown(&mini, &root));
    assert!(get_https(mini.https(), "other.example.org", "/", &root).is_err(), "no other name is covered");
    mini.finish();
}

#[test]
fn a_certificate_is_renewed_while_the_old_one_is_served() {
    let (mini, pebble) = with_short_certificate();
    let root = pebble.root();
    let first = shown(&mini, &root).expect("it is there");

    let renewed =
        eventually("another certificate", || Some(shown(&mini, &root).expect("one is always served")).filter(|now| *now != first));

    assert_ne!(renewed, first);
    mini.finish();
}

#[test]
fn while_the_authority_is_away_the_old_certificate_is_served_and_people_read_when_the_next_try_is() {
    let (mini, mut pebble) = with_short_certificate();
    let root = pebble.root();

    pebble.stop();

    let told = eventually("a refusal", || Some(says(&mini, "logs blog")).filter(|said| said.contains("the next try is at")));
    assert!(told.contains(&format!("no certificate for {DOMAIN}: the certificate authority cannot be reached: ")), "{told}");
    assert!(shown(&mini, &root).is_some());
    assert_eq!(told.matches("the next try is at").count(), 1, "it is not asked again at once: {told}");
    let certs = says(&mini, "certs blog");
    assert!(certs.contains("live; next try in ") && certs.contains("cannot be reached"), "{certs}");
    mini.finish();
}

#[test]
fn a_domain_that_the_authority_does_not_find_here_is_told_so_in_its_words() {
    let (mini, mut pebble) = with_authority(&[]);
    pebble.start(&Looks { http_port: 9, tls_port: 9 });

    says(&mini, &format!("domains:add blog {DOMAIN}"));

    let told = eventually("a refusal", || Some(says(&mini, "logs blog")).filter(|said| said.contains("the next try is at")));
    let sentence = format!("no certificate for {DOMAIN}: the certificate authority did not find this server there: ");
    assert!(told.contains(&sentence) && told.contains("by TLS-ALPN-01: "), "{told}");
    assert_eq!(mini.get_host(DOMAIN, "/").status, 200, "it is served all the same");
    mini.finish();
}
