//! Domains of an app's owner's own: each leads to one app, and to no other than the one that it was given to.

use crate::harness::{Mini, Person, Repo};

/// An app that answers with its own name.
fn named(name: &str) -> Repo {
    let start = "mkdir -p /www\necho $MINI_APP > /www/index.html\nexec httpd -f -p $PORT -h /www\n";
    Repo::of(&[("Dockerfile", "FROM busybox\nCOPY start /\nCMD [\"sh\", \"/start\"]\n"), ("start", start), ("name", name)])
}

/// Who answers at a host: the app's name, or the status of a page of mini's.
fn at(mini: &Mini, host: &str) -> String {
    let answer = mini.get_host(host, "/");
    if answer.status == 200 { answer.body.trim().to_owned() } else { answer.status.to_string() }
}

#[test]
fn an_app_answers_at_its_domains_until_they_are_taken_away() {
    let mut mini = Mini::start_with(&["--public-ip", "203.0.113.7"]);
    for app in ["blog", "shop"] {
        mini.anna.push(named(app).path(), mini.ssh, app, &["main"]).ok();
    }
    assert_eq!(at(&mini, "example.org"), "404");

    let said = mini.anna.ssh(mini.ssh, "domains:add blog Example.ORG. www.example.org").ok();

    let told = "`blog` answers at example.org, www.example.org.\n  Where the domain is kept, it has to point here:\n  \
                example.org. A 203.0.113.7\n  www.example.org. A 203.0.113.7\n";
    assert_eq!(said.stdout, told);
    for host in ["example.org", "WWW.example.org.:8080", "blog.localhost"] {
        assert_eq!(at(&mini, host), "blog", "{host}");
    }
    assert_eq!(at(&mini, "a.example.org"), "404");
    assert!(mini.anna.ssh(mini.ssh, "domains:add blog example.org").ok().stdout.starts_with("`blog` answers at example.org already.\n"));
    let info = mini.anna.ssh(mini.ssh, "apps:info blog").ok().stdout;
    assert!(info.lines().any(|line| line.starts_with("domains") && line.ends_with("example.org, www.example.org")), "{info}");

    mini.anna.ssh(mini.ssh, "domains:add shop shop.example.org example.org").fails(5, "the domain `example.org` is taken");
    assert_eq!((at(&mini, "example.org").as_str(), at(&mini, "shop.example.org").as_str()), ("blog", "404"));
    mini.kill_9();
    mini.boot();
    assert_eq!(at(&mini, "example.org"), "blog");

    mini.anna.ssh(mini.ssh, "domains:remove blog example.org").ok();
    assert_eq!((at(&mini, "example.org").as_str(), at(&mini, "www.example.org").as_str()), ("404", "blog"));
    mini.anna.ssh(mini.ssh, "domains:add shop example.org").ok();
    assert_eq!(at(&mini, "example.org"), "shop");
    mini.anna.ssh(mini.ssh, "apps:destroy blog --confirm blog").ok();
    assert_eq!(at(&mini, "www.example.org"), "404");
    mini.anna.ssh(mini.ssh, "domains:add shop www.example.org").ok();
    assert_eq!(at(&mini, "www.example.org"), "shop");
    assert_eq!(mini.anna.ssh(mini.ssh, "domains:report shop").ok().stdout.lines().count(), 3);
    mini.finish();
}

#[test]
fn a_domain_is_given_by_who_deploys_the_app_and_never_the_servers_own() {
    let mini = Mini::start_with(&["--domain", "apps.example.com"]);
    for app in ["mine", "other"] {
        mini.local(&["apps:create", app]).ok();
    }
    let (viewer, scoped) = (Person::new(mini.home(), "viewer"), Person::new(mini.home(), "scoped"));
    mini.local_with(&["keys:add", "viewer", "--role", "view"], &viewer.public_key()).ok();
    mini.local_with(&["keys:add", "scoped", "--app", "mine"], &scoped.public_key()).ok();
    mini.local(&["domains:add", "other", "taken.example.org"]).ok();

    viewer.ssh(mini.ssh, "domains mine").ok();
    viewer.ssh(mini.ssh, "domains:add mine example.org").fails(4, "this needs a key with the role `deploy`");
    viewer.ssh(mini.ssh, "domains:remove other taken.example.org").fails(4, "this needs a key with the role `deploy`");
    for words in ["domains other", "domains:add other example.org", "domains:remove other taken.example.org"] {
        let foreign = scoped.ssh(mini.ssh, words).fails(3, "app `other` does not exist");
        let missing = scoped.ssh(mini.ssh, &words.replace("other", "nowhere")).fails(3, "app `nowhere` does not exist");
        assert_eq!(foreign.stderr.replace("other", "nowhere"), missing.stderr);
    }
    let taken = scoped.ssh(mini.ssh, "domains:add mine taken.example.org").fails(5, "the domain `taken.example.org` is taken");
    assert!(!taken.stderr.contains("`other`"), "{taken:?}");
    scoped.ssh(mini.ssh, "domains:remove mine taken.example.org").fails(3, "the app has no domain `taken.example.org`");
    for own in ["apps.example.com", "mine.apps.example.com", "api.apps.example.com"] {
        mini.anna.ssh(mini.ssh, &format!("domains:add mine {own}")).fails(2, "is the server's own");
    }
    for wrong in ["mine.localhost", "mine.203.0.113.7.nip.io", "'*.example.org'", "203.0.113.7", "example.org:80", "bücher.example"] {
        mini.anna.ssh(mini.ssh, &format!("domains:add mine good.example.org {wrong}")).fails(2, "`");
    }
    assert!(mini.anna.ssh(mini.ssh, "domains mine").ok().stdout.starts_with("no domains:"));
    scoped.ssh(mini.ssh, "domains:add mine www.mine.apps.example.com").ok();
    mini.finish();
}
