//! Certificates that owners bring: what would not serve is refused, what is kept serves at once and after a restart.

use std::process::Command;

use crate::harness::{Mini, Person, Repo, eventually};

/// A chain and its key in PEM, issued by itself.
fn pem(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn add(mini: &Mini, domain: &str, input: &str) -> crate::harness::Said {
    mini.anna.ssh_with(mini.ssh, &format!("certs:add blog {domain} -"), input)
}

fn certs(mini: &Mini) -> serde_json::Value {
    serde_json::from_str(&mini.anna.ssh(mini.ssh, "certs blog --json").ok().stdout).unwrap()
}

/// What a client gets at `https://domain/` that trusts this certificate alone; `None` when there is no handshake.
fn over_https(mini: &Mini, domain: &str, trusted: &str) -> Option<String> {
    let roots = mini.home().join("trusted.pem");
    std::fs::write(&roots, trusted).unwrap();
    let place = mini.https();
    let curl = Command::new("curl")
        .args(["--silent", "--fail", "--max-time", "10", "--noproxy", "*", "--cacert"])
        .arg(&roots)
        .args(["--resolve", &format!("{domain}:{}:{}", place.port(), place.ip()), &format!("https://{domain}:{}/", place.port())])
        .output()
        .unwrap();
    curl.status.success().then(|| String::from_utf8(curl.stdout).unwrap())
}

fn with_app() -> (Mini, Repo) {
    let mini = Mini::start_with(&["--https", "127.0.0.1:0"]);
    let repo = Repo::from_folder("examples/hello");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "certs:auto blog off").ok();
    mini.anna.ssh(mini.ssh, "domains:add blog example.org www.example.org").ok();
    (mini, repo)
}

#[test]
fn an_own_certificate_serves_at_once_and_after_a_restart_until_it_is_removed() {
    let (mut mini, _repo) = with_app();
    let (chain, key) = pem(&["example.org"]);
    assert_eq!(certs(&mini)[0]["state"], "automatic is off");
    assert_eq!(over_https(&mini, "example.org", &chain), None);

    let said = add(&mini, "example.org", &format!("{key}{chain}")).ok();

    assert!(said.stdout.starts_with("`example.org` is served with your certificate of "), "{said:?}");
    let served = over_https(&mini, "example.org", &chain).expect("https is served");
    assert_eq!(served, mini.get("blog", "/").body);
    let rows = certs(&mini);
    assert_eq!((&rows[0]["source"], &rows[0]["state"]), (&"own".into(), &"live".into()));
    assert!(rows[1]["source"].is_null(), "{rows}");
    let url = format!("https://example.org:{}", mini.https().port());
    assert!(mini.anna.ssh(mini.ssh, "apps:info blog").ok().stdout.contains(&url));
    let logged = mini.anna.ssh(mini.ssh, "logs blog").ok().stdout;
    assert!(logged.contains("a certificate of example.org was added (anna@test)") && !mini.log().contains("PRIVATE KEY"));

    mini.kill_9();
    mini.boot();
    assert!(over_https(&mini, "example.org", &chain).is_some());
    let (next, key) = pem(&["*.org", "example.org"]);
    add(&mini, "example.org", &format!("{next}{key}")).ok();
    assert!(over_https(&mini, "example.org", &next).is_some() && over_https(&mini, "example.org", &chain).is_none());

    mini.anna.ssh(mini.ssh, "certs:remove blog example.org").ok();
    assert_eq!(over_https(&mini, "example.org", &next), None);
    mini.anna.ssh(mini.ssh, "certs:remove blog example.org").fails(3, "there is no certificate of `example.org`");
    add(&mini, "example.org", &format!("{next}{key}")).ok();
    mini.anna.ssh(mini.ssh, "domains:remove blog example.org").ok();
    mini.anna.ssh(mini.ssh, "domains:add blog example.org").ok();
    assert_eq!(over_https(&mini, "example.org", &next), None, "it went with its domain");
    add(&mini, "example.org", &format!("{next}{key}")).ok();
    mini.anna.ssh(mini.ssh, "apps:destroy blog --confirm blog").ok();
    eventually("the certificate goes with its app", || over_https(&mini, "example.org", &next).is_none().then_some(()));
    mini.finish();
}

#[test]
fn what_would_not_serve_a_domain_is_refused_in_words_and_nothing_changes() {
    let (mini, _repo) = with_app();
    let ((chain, key), (_, other)) = (pem(&["example.org"]), pem(&["example.org"]));
    let viewer = Person::new(mini.home(), "viewer");
    mini.local_with(&["keys:add", "viewer", "--role", "view"], &viewer.public_key()).ok();

    add(&mini, "example.org", &format!("{chain}{other}")).fails(2, "the private key is not this certificate's");
    add(&mini, "www.example.org", &format!("{chain}{key}")).fails(2, "the certificate is for example.org, not for `www.example.org`");
    add(&mini, "example.org", &chain).fails(2, "there is no private key in this");
    add(&mini, "example.org", "nonsense").fails(2, "there is no certificate in this");
    add(&mini, "example.com", &format!("{chain}{key}")).fails(3, "the app has no domain `example.com`");
    viewer.ssh_with(mini.ssh, "certs:add blog example.org -", &format!("{chain}{key}")).fails(4, "needs a key with the role `deploy`");
    viewer.ssh(mini.ssh, "certs:auto blog on").fails(4, "needs a key with the role `deploy`");
    viewer.ssh(mini.ssh, "certs blog").ok();

    assert_eq!(over_https(&mini, "example.org", &chain), None);
    assert!(certs(&mini)[0]["source"].is_null());
    mini.finish();
}
