//! What an app can reach: the internet and the apps of its server, not the machine's ports, other apps or 169.254/16.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::harness::{Docker, Mini, Person, Repo, Said, eventually};

/// The one container of an app that runs here, and what it reaches.
struct Inside {
    id: String,
    address: String,
    gateway: String,
    name: String,
}

impl Inside {
    fn of(mini: &Mini, app: &str) -> Self {
        let ids = mini.docker().containers();
        let is_of = |id: &&String| Docker::inspect(id, "{{index .Config.Labels \"mini.name\"}}") == app;
        let id = ids.iter().find(is_of).unwrap_or_else(|| panic!("no container of {app}")).clone();
        let seen = Docker::inspect(&id, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}} {{.Name}}");
        let mut words = seen.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap();
        Inside { id, address: next(), gateway: next(), name: next().trim_start_matches('/').to_owned() }
    }

    /// Runs a shell's line in the container; bounded, for a dropped packet is never answered.
    fn run(&self, line: &str) -> Said {
        let mut command = Command::new("docker");
        command.args(["exec", &self.id, "timeout", "5", "sh", "-c", line]);
        Said::by(command, b"")
    }

    /// Tells whether a connection to the address is taken within two seconds.
    fn reaches(&self, address: &str, port: u16) -> bool {
        let said = self.run(&format!("nc -w 2 {address} {port} -e true"));
        assert!(said.code == 0 || said.stderr.contains("can't connect") || said.stderr.contains("timed out"), "{said:?}");
        said.code == 0
    }
}

fn firewall(words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
    command.arg("firewall").args(words).env_remove("MINI_DATA");
    Said::by(command, b"")
}

/// The machine's rules in which `word` stands.
fn rules_with(word: &str) -> Vec<String> {
    let listed = Said::by(Command::new("iptables-save"), b"").ok().stdout;
    listed.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
}

/// The packets that a chain's last rule has dropped.
fn dropped(chain: &str) -> u64 {
    let mut command = Command::new("iptables");
    command.args(["-w", "5", "-nvxL", chain]);
    let listed = Said::by(command, b"").ok().stdout;
    let last = listed.lines().rfind(|line| line.contains(" DROP ")).unwrap();
    last.split_whitespace().next().unwrap().parse().unwrap()
}

/// The machine's address on the engine's own bridge. An engine that found the bridge there at its start does not tell.
fn docker_gateway() -> String {
    let mut command = Command::new("ip");
    command.args(["-4", "-o", "address", "show", "dev", "docker0"]);
    let line = Said::by(command, b"").ok().stdout;
    let (_, address) = line.split_once("inet ").unwrap();
    address.split('/').next().unwrap().to_owned()
}

#[test]
fn an_app_reaches_the_proxy_and_nothing_else_of_the_machine() {
    let mini = Mini::start_guarded();
    let repo = Repo::from_folder("tests/apps/cgi");
    for app in ["one", "two"] {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let (one, two) = (Inside::of(&mini, "one"), Inside::of(&mini, "two"));
    let own = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = own.local_addr().unwrap().port();
    let docker_gateway = docker_gateway();
    let data = mini.data();
    let data = data.to_str().unwrap();
    let hook = rules_with(&format!("-i {}+", mini.bridges()));
    let chain = hook.iter().find_map(|rule| rule.split_whitespace().find(|word| word.ends_with("-LL"))).unwrap();

    for gateway in [&one.gateway, &docker_gateway] {
        assert!(!one.reaches(gateway, port), "a service of the machine is reached on {gateway}");
        assert!(!one.reaches(gateway, mini.ssh.port()), "the server's ssh is reached on {gateway}");
    }
    assert!(!one.reaches(&two.address, 5000), "another app is reached");
    let before = dropped(chain);
    assert!(!one.reaches("169.254.169.254", 80));
    assert!(dropped(chain) > before, "169.254/16 is not what dropped it");

    let http = mini.http.port();
    let page = format!("wget -q -O - --header 'Host: two.localhost' http://{}:{http}/cgi-bin/env", one.gateway);
    let page = one.run(&page).ok().stdout;
    assert!(page.contains("MINI_APP=two"), "{page}");
    assert!(one.reaches(&one.address, 5000), "itself");
    let named = one.run(&format!("nslookup {} 127.0.0.11", one.name));
    assert!(named.stdout.contains(&one.address), "{named:?}");
    assert_eq!(mini.get("one", "/").status, 200);

    // Without the rules the machine is reached: it was they.
    firewall(&["remove", "--data", data]).ok();
    assert!(one.reaches(&one.gateway, port));
    assert_eq!(rules_with(&format!("{}+", mini.bridges())), Vec::<String>::new());
    mini.finish();
}

#[test]
fn two_servers_let_each_their_own_ports_be_reached() {
    let mini = Mini::start_guarded();
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "one", &["main"]).ok();
    let one = Inside::of(&mini, "one");
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = mini.home().join("other");
    let other = other.to_str().unwrap();
    assert!(!one.reaches(&one.gateway, port));

    let flags = ["--data", other, "--http", &port.to_string(), "--bridges", &mini.bridges()];
    firewall(&[&["apply"], &flags[..]].concat()).ok();
    let both = (one.reaches(&one.gateway, port), one.reaches(&one.gateway, mini.http.port()));
    firewall(&["remove", "--data", other]).ok();
    let after = (one.reaches(&one.gateway, port), one.reaches(&one.gateway, mini.http.port()));

    assert_eq!((both, after), ((true, true), (false, true)));
    let status = mini.local(&["status"]).ok().stdout;
    assert!(status.lines().any(|line| line.contains("firewall") && line.ends_with("on")), "{status}");
    mini.finish();
}

#[test]
fn a_port_of_the_machine_is_opened_to_one_app_by_an_admin() {
    let mini = Mini::start_guarded();
    let repo = Repo::from_folder("tests/apps/cgi");
    for app in ["one", "two"] {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let (one, two) = (Inside::of(&mini, "one"), Inside::of(&mini, "two"));
    let (database, other) = (TcpListener::bind("0.0.0.0:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap());
    let (port, other) = (database.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    let dora = Person::new(mini.home(), "dora");
    mini.anna.ssh_with(mini.ssh, "keys:add dora", &dora.public_key()).ok();
    dora.ssh(mini.ssh, &format!("apps:set one host-ports={port}")).fails(4, "this needs an admin");
    mini.anna.ssh(mini.ssh, "apps:set one host-ports=http").fails(2, "`http` is not a port");
    assert!(!one.reaches(&one.gateway, port));

    let said = mini.anna.ssh(mini.ssh, &format!("apps:set one host-ports={port}")).ok();

    assert_eq!(said.stdout, format!("`one` may reach tcp {port} of the machine, at {}.\n", one.gateway));
    assert!(one.reaches(&one.gateway, port));
    assert!(!one.reaches(&one.gateway, other) && !two.reaches(&two.gateway, port));
    assert!(mini.local(&["apps:info", "one"]).ok().stdout.contains(&format!("{port} of the machine")));

    mini.local(&["apps:set", "one", "host-ports="]).ok();
    assert!(!one.reaches(&one.gateway, port));
    mini.local(&["apps:set", "one", &format!("host-ports={port}")]).ok();
    mini.local(&["apps:destroy", "one", "--confirm", "one"]).ok();
    let rule = format!("--dport {port} ");
    assert_eq!(rules_with(&rule), Vec::<String>::new());
    mini.finish();
}

#[test]
fn a_server_that_may_not_set_rules_says_how_and_runs_on() {
    let mut mini = Mini::start();
    mini.stop();
    let program = mini.home().join("weak");
    let script = format!("#!/bin/sh\nexec setpriv --bounding-set -net_admin '{}' \"$@\"\n", mini.program.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    mini.program = program;
    mini.env.push(("MINI_FIREWALL".into(), "on".into()));

    mini.boot();

    let at = mini.said.iter().position(|line| line.starts_with("warning: ")).unwrap_or_else(|| panic!("{:?}", mini.said));
    assert!(mini.said[at].ends_with(": apps may reach this machine's own ports"), "{:?}", mini.said);
    let command = format!("as root: mini firewall apply --data {} --http :{}", mini.data().display(), mini.http.port());
    assert_eq!(mini.said[at + 1].trim(), command);
    let status = mini.local(&["status"]).ok();
    assert!(status.stdout.contains("not on") && format!("{status:?}").contains("iptables"), "{status:?}");
    mini.finish();
}

/// A network of its own, with no rules and no engine: what is done to rules here, no other test sees.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        eventually("a network of its own", || (network(&child.id().to_string())? != network("self")?).then_some(()));
        Elsewhere(child)
    }

    fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.0.id().to_string()]).args(words).env_remove("MINI_DATA");
        Said::by(command, b"")
    }

    fn firewall(&self, words: &[&str]) -> Said {
        self.run(&[&[env!("CARGO_BIN_EXE_mini"), "firewall"], words].concat())
    }

    fn rules(&self) -> String {
        self.run(&["iptables", "-w", "5", "-S"]).ok().stdout + &self.run(&["ip6tables", "-w", "5", "-S"]).ok().stdout
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn rules_are_set_once_mended_and_taken_away_without_a_trace() {
    let (elsewhere, home) = (Elsewhere::new(), tempfile::tempdir().unwrap());
    let data = home.path().to_str().unwrap();
    for rule in [&["-N", "DOCKER-USER"][..], &["-A", "DOCKER-USER", "-j", "RETURN"], &["-A", "INPUT", "-i", "eth9", "-j", "ACCEPT"]] {
        elsewhere.run(&[&["iptables", "-w", "5"], rule].concat()).ok();
    }
    let before = elsewhere.rules();

    assert!(elsewhere.firewall(&["apply", "--data", data]).ok().stdout.starts_with("applied: "));
    let applied = elsewhere.rules();
    assert!(elsewhere.firewall(&["apply", "--data", data]).ok().stdout.starts_with("applied before: "));
    assert_eq!(elsewhere.rules(), applied);
    elsewhere.firewall(&["check", "--data", data]).ok();

    elsewhere.run(&["iptables", "-w", "5", "-D", "MINI-IN", "-j", "DROP"]).ok();
    elsewhere.run(&["ip6tables", "-w", "5", "-F", "INPUT"]).ok();
    let said = elsewhere.firewall(&["check", "--data", data]).fails(1, "are missing").stderr;
    assert!(said.contains("       iptables MINI-IN -j DROP\n       ip6tables INPUT -i mini-+ "), "{said}");
    assert!(said.ends_with(&format!("as root: mini firewall apply --data {data}\n")), "{said}");
    elsewhere.firewall(&["apply", "--data", data]).ok();
    assert_eq!(elsewhere.rules(), applied);

    elsewhere.firewall(&["remove", "--data", data]).ok();
    assert_eq!(elsewhere.rules(), before);
    assert_eq!(elsewhere.firewall(&["remove", "--data", data]).ok().stdout, "there were no rules\n");
    elsewhere.firewall(&["check", "--data", data]).fails(1, "are missing");
}

#[test]
fn the_settings_say_which_port_and_whether_at_all() {
    let (elsewhere, home) = (Elsewhere::new(), tempfile::tempdir().unwrap());
    let data = home.path().to_str().unwrap();
    let settings = |text: &str| std::fs::write(home.path().join("mini.toml"), text).unwrap();

    settings("http = \"0.0.0.0:8080\"\n");
    elsewhere.firewall(&["apply", "--data", data]).ok();
    assert!(elsewhere.rules().contains("--dport 8080 -j ACCEPT"));
    settings("http = \"0.0.0.0:81\"\n");
    elsewhere.firewall(&["check", "--data", data]).fails(1, "--dport 81 -j ACCEPT");
    elsewhere.firewall(&["apply", "--data", data]).ok();
    assert!(!elsewhere.rules().contains("8080"));

    settings("http = \"0.0.0.0:81\"\nfirewall = \"off\"\n");
    assert_eq!(elsewhere.firewall(&["apply", "--data", data]).ok().stdout, "off in the settings: removed\n");
    assert!(!elsewhere.rules().contains("MINI"), "{}", elsewhere.rules());
    settings("http = \"0.0.0.0:0\"\n");
    elsewhere.firewall(&["apply", "--data", data]).fails(2, "name it: --http :8080");
    elsewhere.firewall(&["apply", "--data", data, "--bridges", "eth"]).fails(2, "eth");
}

#[test]
fn without_root_the_note_tells_what_root_has_applied() {
    let (elsewhere, home) = (Elsewhere::new(), tempfile::tempdir().unwrap());
    let program = home.path().join("mini");
    std::fs::copy(env!("CARGO_BIN_EXE_mini"), &program).unwrap();
    for path in [home.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let data = home.path().join("data");
    let data = data.to_str().unwrap();
    let as_nobody = |verb: &str| {
        let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        elsewhere.run(&[&setpriv[..], &[program.to_str().unwrap(), "firewall", verb, "--data", data]].concat())
    };

    as_nobody("apply").fails(4, &format!("sudo mini firewall apply --data {data}"));
    as_nobody("check").fails(1, "are not known to stand");
    // As under the unit, which has it for the server's own files.
    elsewhere.run(&["sh", "-c", "umask 077; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mini"), "firewall", "apply", "--data", data]).ok();
    assert!(as_nobody("check").ok().stdout.contains("were applied since this machine started"));
    elsewhere.firewall(&["apply", "--data", data, "--http", ":8080"]).ok();
    as_nobody("check").fails(1, "are not known to stand");
    as_nobody("remove").fails(4, "sudo mini firewall remove");
    elsewhere.firewall(&["remove", "--data", data]).ok();
}
