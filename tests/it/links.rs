//! Links: an app reaches another one by its name, and nobody else does.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::{Docker, Mini, Person, Repo, Said, eventually};

/// The one container of an app; old ones may still be on their way out.
fn container(mini: &Mini, app: &str) -> String {
    eventually("one container", || {
        let mut list = Command::new("docker");
        list.args(["ps", "-aq", "--no-trunc", "--filter", &format!("label=mini.name={app}")]);
        let of_name = Said::by(list, b"").ok().stdout;
        let ids: Vec<String> = mini.docker().containers().into_iter().filter(|id| of_name.contains(id.as_str())).collect();
        <[String; 1]>::try_from(ids).ok().map(|[id]| id)
    })
}

/// Tells whether a connection from the app's container to the address or name is taken within two seconds.
fn reaches(mini: &Mini, app: &str, host: &str, port: u16) -> bool {
    let mut command = Command::new("docker");
    command.args(["exec", &container(mini, app), "timeout", "8", "nc", "-w", "2", host, &port.to_string(), "-e", "true"]);
    let said = Said::by(command, b"");
    let failures = ["can't connect", "timed out", "bad address"];
    assert!(said.code == 0 || failures.iter().any(|failure| said.stderr.contains(failure)), "{said:?}");
    said.code == 0
}

/// The gateway and address of each network that the app's container is in.
fn places(mini: &Mini, app: &str) -> Vec<(String, String)> {
    let seen = Docker::inspect(&container(mini, app), "{{range .NetworkSettings.Networks}}{{.NetworkID}} {{.IPAddress}} {{end}}");
    let words: Vec<&str> = seen.split_whitespace().collect();
    let gateway = |network: &str| Docker::inspect(network, "{{(index .IPAM.Config 0).Gateway}}");
    words.chunks(2).map(|place| (gateway(place[0]), place[1].to_owned())).collect()
}

#[test]
fn linked_apps_reach_a_database_by_its_name_and_nobody_else_does() {
    let mini = Mini::start_guarded();
    let repo = Repo::from_folder("tests/apps/cgi");
    for app in ["web", "two", "other", "db"] {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let own = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = own.local_addr().unwrap().port();
    assert!(!reaches(&mini, "web", "db", 5000));

    let said = mini.anna.ssh(mini.ssh, "apps:link web db").ok();
    mini.anna.ssh(mini.ssh, "apps:link two db").ok();

    assert_eq!(said.stdout, "`web` reaches `db` by that name, on any port.\n");
    assert!(reaches(&mini, "web", "db", 5000) && reaches(&mini, "two", "db", 5000));
    assert!(!reaches(&mini, "other", "db", 5000) && !reaches(&mini, "web", "two", 5000));
    for (gateway, address) in places(&mini, "db") {
        assert!(!reaches(&mini, "other", &address, 5000), "an app that is not linked reaches {address}");
        assert!(!reaches(&mini, "web", &gateway, port), "the machine is reached on {gateway}");
    }
    for (_, address) in places(&mini, "two") {
        assert!(!reaches(&mini, "web", &address, 5000), "two apps that reach a third one reach each other on {address}");
    }
    assert_eq!(mini.get("web", "/").status, 200);

    mini.anna.ssh(mini.ssh, "ps:restart web").ok();
    assert!(reaches(&mini, "web", "db", 5000), "a new container of the one side");
    mini.anna.ssh(mini.ssh, "ps:restart db").ok();
    // The name leads to the old container too, until that is gone.
    eventually("a new container of the other side", || reaches(&mini, "web", "db", 5000).then_some(()));
    mini.anna.ssh(mini.ssh, "run web -- nc -w 5 db 5000 -e true").ok();
    let info = mini.anna.ssh(mini.ssh, "apps:info db").ok().stdout;
    assert!(info.lines().any(|line| line.starts_with("reached by") && line.contains("web") && line.contains("two")), "{info}");

    mini.anna.ssh(mini.ssh, "apps:unlink two db").ok();
    assert!(!reaches(&mini, "two", "db", 5000) && reaches(&mini, "web", "db", 5000));
    mini.anna.ssh(mini.ssh, "apps:unlink two db").fails(3, "`two` has no link to `db`");
    mini.anna.ssh(mini.ssh, "apps:destroy db --confirm db").ok();
    assert_eq!(mini.get("web", "/").status, 200);
    assert_eq!(mini.docker().networks().len(), 3, "the network of a link is left");
    mini.finish();
}

#[test]
fn only_who_may_deploy_both_apps_links_them_and_a_container_that_fell_out_is_joined_again() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    for app in ["web", "db"] {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let (dora, vic) = (Person::new(mini.home(), "dora"), Person::new(mini.home(), "vic"));
    mini.anna.ssh_with(mini.ssh, "keys:add dora --app web", &dora.public_key()).ok();
    mini.anna.ssh_with(mini.ssh, "keys:add vic --role view", &vic.public_key()).ok();

    dora.ssh(mini.ssh, "apps:link web db").fails(3, "app `db` does not exist");
    vic.ssh(mini.ssh, "apps:link web db").fails(4, "this needs a key with the role `deploy`");
    assert!(!reaches(&mini, "web", "db", 5000));
    mini.anna.ssh(mini.ssh, "apps:link web db").ok();
    assert!(reaches(&mini, "web", "db", 5000));

    mini.stop();
    let db = container(&mini, "db");
    let networks = Docker::inspect(&db, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
    let network = networks.split(' ').find(|name| name.starts_with("mini-link-")).unwrap();
    let mut fall = Command::new("docker");
    fall.args(["network", "disconnect", network, &db]);
    Said::by(fall, b"").ok();
    assert!(!reaches(&mini, "web", "db", 5000));
    mini.boot();
    eventually("it to be joined again", || reaches(&mini, "web", "db", 5000).then_some(()));
    mini.finish();
}
