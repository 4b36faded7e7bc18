//! What a container is given and what it is not, and that nothing of an app outlives it.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Docker, Mini, Repo, eventually, leftover_files};

/// `docker inspect` of the one container of an app.
fn inspect(app: &str, mini: &Mini) -> Value {
    let ids = mini.docker().containers();
    let rows = ids.iter().map(|id| Docker::inspect(id, "{{json .}}")).map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let mut of_app = rows.filter(|row| row["Config"]["Labels"]["mini.name"] == app || row["Config"]["Hostname"] == app);
    of_app.next().unwrap_or_else(|| panic!("no container of {app}"))
}

fn environment(container: &Value) -> Vec<String> {
    container["Config"]["Env"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut words: Vec<&str> = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.sort_unstable();
    words
}

/// The address within its own network.
fn address(container: &Value) -> String {
    let networks = container["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.len(), 1, "{networks:?}");
    networks.values().next().unwrap()["IPAddress"].as_str().unwrap().to_owned()
}

#[test]
fn a_live_container_is_hardened_and_shares_nothing_with_the_host() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("examples/hello").path(), mini.ssh, "blog", &["main"]).ok();

    let container = inspect("blog", &mini);
    let host = &container["HostConfig"];

    assert_eq!(sorted(&host["CapDrop"]), ["ALL"]);
    let seven = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];
    assert_eq!(sorted(&host["CapAdd"]).iter().map(|name| name.trim_start_matches("CAP_")).collect::<Vec<_>>(), seven);
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!((&host["Privileged"], &host["Init"], &host["PidsLimit"]), (&json!(false), &json!(true), &json!(512)));
    assert_eq!(host["LogConfig"], json!({ "Type": "local", "Config": { "max-size": "10m", "max-file": "3" } }));
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
    assert!(host["Binds"].is_null() && container["Mounts"] == json!([]), "{container}");
    let ports = host["PortBindings"].as_object();
    assert!(ports.is_none_or(serde_json::Map::is_empty), "{ports:?}");
    assert_eq!((&host["PidMode"], &host["IpcMode"], &host["UTSMode"]), (&json!(""), &json!("private"), &json!("")));

    let network = Docker::inspect(host["NetworkMode"].as_str().unwrap(), "{{json .}}");
    let network: Value = serde_json::from_str(&network).unwrap();
    assert_eq!(mini.docker().networks(), [network["Id"].as_str().unwrap()]);
    let subnet = network["IPAM"]["Config"][0]["Subnet"].as_str().unwrap();
    assert!(subnet.ends_with("/26"), "{subnet}");
    let endpoint = &container["NetworkSettings"]["Networks"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(endpoint["IPAMConfig"]["IPv4Address"], endpoint["IPAddress"], "the address is fixed");
    let prefix = subnet.rsplit_once('.').unwrap().0;
    assert!(address(&container).starts_with(prefix), "{} in {subnet}", address(&container));
    let labels = container["Config"]["Labels"].as_object().unwrap();
    for name in ["mini.instance", "mini.app"] {
        assert!(labels.contains_key(name), "{labels:?}");
    }
    assert!(labels.values().any(|value| value == "v1"), "{labels:?}");
    mini.finish();
}

#[test]
fn a_process_sees_its_config_its_port_and_which_release_it_is() {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    let docker_file = std::fs::read_to_string(repo.path().join("Dockerfile")).unwrap();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", "GREETING=hello"]).ok();
    let commit = repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    let seen = environment(&inspect("blog", &mini));
    for line in ["PORT=5000", "MINI_APP=blog", "MINI_RELEASE=v1", "DYNO=web.1", &format!("GIT_REV={commit}"), "GREETING=hello"] {
        assert!(seen.iter().any(|seen| seen == line), "{line} is not in {seen:?}");
    }

    repo.write("Dockerfile", &format!("{docker_file}EXPOSE 8080\n"));
    repo.commit("exposes a port");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert!(mini.get("blog", "/cgi-bin/env").body.contains("\nPORT=8080\n"));
    mini.local(&["config:set", "blog", "PORT=9000"]).ok();
    let seen = mini.get("blog", "/cgi-bin/env").body;
    assert!(seen.contains("\nPORT=9000\n") && seen.contains("\nMINI_RELEASE=v3\n"), "{seen}");
    assert!(mini.local(&["ps", "blog"]).ok().stdout.contains(":9000"));
    mini.finish();
}

#[test]
fn apps_do_not_reach_each_other() {
    let mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");
    mini.anna.push(repo.path(), mini.ssh, "one", &["main"]).ok();
    mini.anna.push(repo.path(), mini.ssh, "two", &["main"]).ok();
    let (one, two) = (inspect("one", &mini), inspect("two", &mini));
    let fetch = |container: &Value, address: &str| {
        let request = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc {address} 5000");
        let id = container["Id"].as_str().unwrap();
        let answer = Command::new("docker").args(["exec", id, "sh", "-c", &request]).output().unwrap();
        String::from_utf8_lossy(&answer.stdout).starts_with("HTTP/1.")
    };

    assert!(fetch(&one, &address(&one)), "an app reaches itself");
    assert!(!fetch(&one, &address(&two)), "one reaches two");
    assert!(!fetch(&two, &address(&one)), "two reaches one");
    mini.finish();
}

#[test]
fn a_destroyed_app_leaves_nothing_and_its_name_is_free() {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.local(&["config:set", "blog", "OLD=value"]).ok();

    mini.anna.ssh(mini.ssh, "apps:destroy blog --confirm blog").ok();

    eventually("nothing to be left", || mini.docker().leftovers().is_empty().then_some(()));
    assert_eq!(leftover_files(&mini.data()), Vec::<std::path::PathBuf>::new());
    assert_eq!(mini.get("blog", "/").status, 404);
    mini.anna.ssh(mini.ssh, "logs blog").fails(3, "app `blog` does not exist");

    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let seen = mini.get("blog", "/cgi-bin/env").body;
    assert!(seen.contains("MINI_RELEASE=v1\n") && !seen.contains("OLD="), "{seen}");
    assert_eq!(mini.local(&["config", "blog", "--json"]).ok().stdout, "[]\n");
    assert!(!mini.anna.ssh(mini.ssh, "logs blog -n 1000").ok().stdout.contains("OLD"));
    mini.finish();
}

#[test]
fn two_servers_share_an_engine_in_peace() {
    let (one, mut two) = (Mini::start(), Mini::start());
    let repo = Repo::from_folder("tests/apps/cgi");
    one.anna.push(repo.path(), one.ssh, "blog", &["main"]).ok();
    two.anna.push(repo.path(), two.ssh, "blog", &["main"]).ok();
    one.local(&["config:set", "blog", "WHOSE=first"]).ok();

    // A start looks through everything that the engine holds.
    assert!(two.stop().success());
    two.boot();
    assert!(one.get("blog", "/cgi-bin/env").body.contains("WHOSE=first"));
    assert!(!two.get("blog", "/cgi-bin/env").body.contains("WHOSE"));
    one.finish();

    assert_eq!(two.get("blog", "/").status, 200);
    two.local(&["config:set", "blog", "WHOSE=second"]).ok();
    assert!(two.get("blog", "/cgi-bin/env").body.contains("WHOSE=second"));
    two.finish();
}
