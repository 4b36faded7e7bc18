//! The vocabulary: one table of words that means and prints the same at every door.

use crate::harness::{Laptop, Mini, Person, Repo, Said};

/// Words with the exit code they have, in an order in which each makes sense. `APP` stands for the door's own app.
const TABLE: &[(&str, i32)] = &[
    ("version", 0),
    ("status", 0),
    ("apps", 0),
    ("apps:list", 0),
    ("apps list", 0),
    ("apps:info APP", 0),
    ("apps info APP", 0),
    ("info --app APP", 0),
    ("ps APP", 0),
    ("ps -a APP", 0),
    ("ps:scale APP", 0),
    ("ps:scale APP web=2", 0),
    ("scale APP web-1", 0),
    ("ps:restart APP web.1", 0),
    ("ps:stop APP", 0),
    ("ps:stop APP", 0),
    ("ps:start APP", 0),
    ("limits APP", 0),
    ("limits:set APP memory=64m cpus=0.5", 0),
    ("storage APP", 0),
    ("domains APP", 0),
    ("domains:add APP www.APP.example.com", 0),
    ("domains:report APP", 0),
    ("domains -a APP", 0),
    ("certs APP", 0),
    ("certs:report APP", 0),
    ("certs:auto APP off", 0),
    ("certs -a APP", 0),
    ("certs:auto APP on", 0),
    ("releases APP", 0),
    ("releases APP -n 1", 0),
    ("top missing", 3),
    ("stats -a missing", 3),
    ("logs APP -n 1", 0),
    ("logs -n1 --app=APP", 0),
    ("logs APP -s release", 0),
    ("logs APP -s router -p web.1", 0),
    ("logs APP -p web --since 2000-01-31T12:00:00Z", 0),
    ("run APP echo hello", 0),
    ("run -a APP -e A=1 -- sh -c exit", 0),
    ("run APP -- nope", 127),
    ("run APP cat /nowhere", 1),
    ("run APP -d true", 0),
    ("enter APP -- sh -c exit", 0),
    ("enter APP web.1 -- nope", 127),
    ("ps:exec APP web -- cat /nowhere", 1),
    ("config APP", 0),
    ("config:set APP GREETING=hello", 0),
    ("config set APP GREETING=hello", 0),
    ("config -a APP", 0),
    ("config:show APP --show", 0),
    ("config:get APP GREETING", 0),
    ("config:set APP --no-restart LATER=1", 0),
    ("config:set APP GREETING=bye OTHER=1", 0),
    ("releases APP", 0),
    ("releases:output APP v2", 0),
    ("rollback APP v2", 0),
    ("config APP --show", 0),
    ("config:unset APP GREETING", 0),
    ("rollback APP", 0),
    ("rebuild APP", 0),
    ("ps:rebuild -a APP --no-cache", 0),
    ("apps:set APP deploy-branch=main", 0),
    ("apps:set APP host-ports=", 0),
    ("apps:set APP overlap=off health-path=/ health-timeout=90", 0),
    ("apps:set APP first-byte=30 body-limit=10MiB https=redirect hsts=60 www=remove allow=any deny=none protocol=http1", 0),
    ("apps:info APP", 0),
    ("apps:set APP basic-auth=off first-byte=60 body-limit=off https=off hsts=off www=off", 0),
    ("apps:create APP-new", 0),
    ("create APP-other", 0),
    ("apps:info APP-new", 0),
    ("storage:add APP-new data:/srv/data", 0),
    ("apps:link APP APP-new", 0),
    ("apps:info APP-new", 0),
    ("logs APP-new", 0),
    ("releases APP-new", 0),
    ("builds APP-new", 0),
    ("builds:list APP-new -n 3", 0),
    ("ps APP-new", 0),
    ("config APP-new", 0),
    ("config:set APP-new A=1", 0),
    ("keys", 0),
    ("keys list", 0),
    ("tokens", 0),
    ("tokens list", 0),
    // Not so.
    ("nonsense", 127),
    ("confg:set APP A=1", 127),
    ("help nonsense", 127),
    ("logs", 2),
    ("logs APP extra", 2),
    ("logs APP -n many", 2),
    ("logs APP -n 100001", 2),
    ("logs APP -p Web", 2),
    ("logs APP -s nonsense", 2),
    ("logs APP --since yesterday", 2),
    ("run APP", 2),
    ("run APP -e 1A=2 ls", 2),
    ("enter APP WEB", 2),
    ("config:set APP", 2),
    ("config:set APP A", 2),
    ("config:set APP 1A=2", 2),
    ("config:set APP PORT=many", 2),
    ("config:get APP", 2),
    ("rollback APP 12", 2),
    ("releases:info APP", 2),
    ("releases:output APP 3", 2),
    ("builds", 2),
    ("builds:output", 2),
    ("builds:output APP", 2),
    ("builds:cancel 0", 2),
    ("rollback APP v8", 2),
    ("apps:set APP deploy-branch=trunk", 2),
    ("apps:set APP host-ports=0", 2),
    ("apps:set APP colour=red", 2),
    ("apps:set APP overlap=maybe", 2),
    ("apps:set APP health=maybe", 2),
    ("apps:set APP health-path=up", 2),
    ("apps:set APP health-timeout=0", 2),
    ("apps:set APP protocol=h3", 2),
    ("apps:set APP allow=nobody", 2),
    ("apps:set APP basic-auth=anna", 2),
    ("apps:set APP basic-auth=anna:-", 2),
    ("apps:set missing https=redirect", 3),
    ("apps:link APP APP", 2),
    ("apps:link APP missing", 3),
    ("apps:unlink APP APP-other", 3),
    ("domains:add APP www.APP.example.com", 0),
    ("domains:add APP", 2),
    ("domains:add APP example", 2),
    ("domains:add APP APP.localhost", 2),
    ("domains:add APP-other www.APP.example.com", 5),
    ("certs:add APP www.APP.example.com", 2),
    ("certs:add APP www.APP.example.com chain.pem", 2),
    ("certs:add APP other.example.com -", 3),
    ("certs:remove APP www.APP.example.com", 3),
    ("certs:auto APP maybe", 2),
    ("certs missing", 3),
    ("domains:remove APP-other www.APP.example.com", 3),
    ("domains:remove APP www.APP.example.com", 0),
    ("domains APP", 0),
    ("domains missing", 3),
    ("storage:add APP data", 2),
    ("storage:add APP data:/proc/x", 2),
    ("storage:remove APP data --delete", 2),
    ("storage:remove APP data --confirm data", 2),
    ("storage:remove APP nothing", 3),
    ("storage:add missing data:/data", 3),
    ("apps:create api", 2),
    ("apps:create Upper", 2),
    ("apps:create v12", 2),
    ("apps:destroy APP", 2),
    ("apps:destroy APP --confirm other", 2),
    ("keys:remove", 2),
    ("tokens:create", 2),
    ("tokens:create x --expires soon", 2),
    ("prune everything", 2),
    ("doctor APP", 2),
    ("apps:info missing", 3),
    ("logs missing", 3),
    ("ps missing", 3),
    ("config missing", 3),
    ("config:set missing A=1", 3),
    ("rollback missing", 3),
    ("ps:restart missing", 3),
    ("ps:scale APP worker=1", 3),
    ("ps:scale APP web", 2),
    ("ps:scale APP web=21", 2),
    ("ps:restart APP worker.1", 3),
    ("ps:restart APP-new", 3),
    ("ps:stop APP-new", 3),
    ("limits:set APP memory=1k", 2),
    ("limits:set APP disk=1g", 2),
    ("rebuild missing", 3),
    ("explain", 2),
    ("explain missing", 3),
    ("builds missing", 3),
    ("builds:output 999", 3),
    ("builds output 999 -f", 3),
    ("builds:cancel 999", 3),
    ("releases:info APP v99", 3),
    ("releases:info missing v1", 3),
    ("releases:output APP v99", 3),
    ("run missing ls", 3),
    ("run APP-new -d ls", 3),
    ("enter APP-new", 3),
    ("enter APP web.2", 3),
    ("rebuild APP-new", 3),
    ("rollback APP-new", 3),
    ("apps:destroy missing --confirm missing", 3),
    ("config:get APP NOPE", 3),
    ("config:unset APP NOPE", 3),
    ("rollback APP v99", 3),
    ("keys:remove nobody", 3),
    ("tokens:revoke nobody", 3),
    ("apps:create APP", 5),
    ("apps:destroy APP-other --confirm APP-other", 0),
    ("apps destroy -a APP-new --confirm APP-new", 0),
    ("apps:info APP-new", 3),
];

/// The ways to say a word, each with an app of its own; the names are of one length, or columns would differ.
const DOORS: [&str; 4] = ["door-a", "door-b", "door-c", "door-d"];

/// Says a line by one of the doors: ssh alone, the private socket, the client over ssh, the client over HTTP.
fn say(door: &str, line: &str, mini: &Mini, laptop: &Laptop) -> Said {
    let words: Vec<&str> = line.split(' ').collect();
    match door {
        "door-a" => mini.anna.ssh(mini.ssh, line),
        "door-b" => mini.local(&words),
        "door-c" => laptop.mini(&[&["--host", "mini"], &words[..]].concat()),
        _ => laptop.mini(&[&["--host", "web"], &words[..]].concat()),
    }
}

#[test]
fn every_word_means_the_same_at_every_door() {
    let mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");
    for app in DOORS {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let laptop = Laptop::of(&mini.anna);
    let web =
        [&["config", "set-host", &format!("http://{}", mini.http)], &["--host", "web", "--key"][..], &[&mini.token("web --role admin")]];
    laptop.mini(&web.concat()).ok();
    laptop.mini(&["config", "set-host", &format!("ssh://{}", mini.ssh)]).ok();

    let mut different = Vec::new();
    for (words, code) in TABLE {
        // Words that change something are said once in each form: the second one meets what the first one did.
        let forms: &[&str] = if changes(words) { &[""] } else { &["", " --json"] };
        for form in forms {
            let said = DOORS.map(|door| say(door, &format!("{}{form}", words.replace("APP", door)), &mini, &laptop));
            let seen: Vec<String> = said.iter().map(plain).collect();
            let last = if is_attached(words) && said[3].code == 2 { 3 } else { 4 };
            if seen[1..last].iter().any(|other| *other != seen[0]) || said[0].code != *code {
                let doors: Vec<String> = DOORS.iter().zip(&seen).map(|(door, seen)| format!("  {door} {seen}")).collect();
                different.push(format!("`{words}{form}`, wanted {code}:\n{}", doors.join("\n")));
            }
            if last == 3 && *code != 2 {
                assert!(said[3].stderr.contains("use ssh"), "`{words}` over HTTP: {:?}", said[3]);
            }
            if *form == " --json" && *code == 0 {
                let lines: Vec<&str> = said[0].stdout.lines().collect();
                assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "`{words}`: {lines:?}");
            }
        }
    }

    assert!(different.is_empty(), "{}", different.join("\n"));
    mini.finish();
}

/// Words that join their caller with a program: there are none of them over HTTP.
fn is_attached(words: &str) -> bool {
    ["run", "enter", "ps:exec"].contains(&words.split(' ').next().unwrap_or_default()) && !words.contains(" -d")
}

fn changes(words: &str) -> bool {
    let verbs = [
        ":set", " set", ":unset", "rollback", "rebuild", "create", "destroy", ":add", ":remove", "run", "enter", "exec", "scale",
        "restart", ":start", ":stop",
    ];
    verbs.iter().any(|verb| words.contains(verb))
}

/// What was said, without what differs from call to call: who asked, when, how long, which container.
fn plain(said: &Said) -> String {
    format!("{} out={:?} err={:?}", said.code, without_chance(&said.stdout), without_chance(&said.stderr))
}

fn without_chance(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".:-@".contains(c);
    let mut kept = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if is_part(c) {
            word.push(c);
            continue;
        }
        kept.push_str(&tame(&std::mem::take(&mut word)));
        // Columns are as wide as what stands in them.
        if !(c == ' ' && kept.ends_with(' ')) {
            kept.push(c);
        }
    }
    kept
}

fn tame(word: &str) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok();
    let is_span = word.strip_suffix(['s', 'm', 'h']).is_some_and(number) || word.strip_suffix("ms").is_some_and(number);
    let is_moment = word.len() == 24 && word.starts_with("20") && word.ends_with('Z');
    let is_container = [12, 64].contains(&word.len()) && word.chars().all(|c| c.is_ascii_hexdigit());
    let is_address = word.parse::<std::net::SocketAddr>().is_ok_and(|address| !address.ip().is_loopback());
    match word {
        "local" | "anna@test" | "web" => "CALLER".into(),
        // An old release goes in its own time.
        "draining" | "retired" => "OLD".into(),
        // Over HTTP fewer programs were run before.
        _ if word.strip_prefix("run.").is_some_and(number) => "RUN".into(),
        _ if is_span => "SPAN".into(),
        _ if is_moment => "MOMENT".into(),
        _ if is_container => "CONTAINER".into(),
        _ if is_address => "ADDRESS".into(),
        _ => DOORS[1..].iter().fold(word.to_owned(), |word, door| word.replace(door, DOORS[0])),
    }
}

#[test]
fn help_is_the_same_in_every_form_and_no_words_ask_for_it() {
    let mini = Mini::start();

    let help = mini.anna.ssh(mini.ssh, "").ok();
    assert!(help.stdout.contains("git push mini main") && help.stderr.is_empty(), "{help:?}");
    for form in ["help", "--help", "-h"] {
        // OpenSSH takes a leading dash for an option of its own unless `--` stands before it.
        let over_ssh = mini.anna.ssh(mini.ssh, &format!(" {form}")).ok();
        assert_eq!(over_ssh.stdout, help.stdout, "{form}");
        let local = mini.local(&[form]).ok().stdout;
        assert!(local.contains("On this machine:") && local.contains("Show an app's logs"), "{form}: {local}");
    }
    let logs = mini.anna.ssh(mini.ssh, "help logs").ok();
    for form in ["logs --help", "logs -h"] {
        let said = mini.anna.ssh(mini.ssh, form).ok();
        assert!(said.stdout.contains("Show an app's logs") && said.stdout.contains("--follow"), "{said:?}");
    }
    assert!(logs.stdout.contains("--follow"), "{logs:?}");
    assert_eq!(mini.anna.ssh(mini.ssh, "help config set").ok().stdout, mini.anna.ssh(mini.ssh, "help config:set").ok().stdout);
    mini.finish();
}

#[test]
fn an_unknown_word_is_met_with_the_nearest_one() {
    let mini = Mini::start();

    mini.anna.ssh(mini.ssh, "realeses blog").fails(127, "did you mean `releases`");
    mini.local(&["lgos", "blog"]).fails(127, "did you mean `logs`");
    mini.anna.ssh(mini.ssh, "'\x1b[31mred'").fails(127, "there is no command `\\u{1b}[31mred`");
    mini.anna.ssh(mini.ssh, "logs 'blog").fails(128, "the quotes of the command line do not match");
    mini.finish();
}

#[test]
fn a_role_and_a_scope_hold_for_every_word() {
    let mini = Mini::start();
    mini.local(&["apps:create", "mine"]).ok();
    mini.local(&["apps:create", "other"]).ok();
    let viewer = Person::new(mini.home(), "viewer");
    let scoped = Person::new(mini.home(), "scoped");
    mini.local_with(&["keys:add", "viewer", "--role", "view"], &viewer.public_key()).ok();
    mini.local_with(&["keys:add", "scoped", "--app", "mine"], &scoped.public_key()).ok();

    for words in ["apps", "apps:info mine", "ps mine", "logs mine", "releases mine", "builds mine", "whoami", "version"] {
        viewer.ssh(mini.ssh, words).ok();
        scoped.ssh(mini.ssh, words).ok();
    }
    let changes = [
        "config mine",
        "config:get mine A",
        "config:set mine A=1",
        "config:unset mine A",
        "rollback mine",
        "rebuild mine",
        "run mine ls",
        "enter mine",
        "apps:set mine deploy-branch=main",
        "apps:destroy mine --confirm mine",
        "apps:create new",
    ];
    for words in changes {
        viewer.ssh(mini.ssh, words).fails(4, "needs a key with the role `deploy`");
    }
    for words in [
        "keys",
        "keys:remove anna@test",
        "status",
        "doctor",
        "prune",
        "prune --all",
        "keys:add x",
        "tokens",
        "tokens:create x",
        "tokens:revoke x",
    ] {
        viewer.ssh(mini.ssh, words).fails(4, "needs an admin");
        scoped.ssh(mini.ssh, words).fails(4, "needs an admin");
    }
    for words in ["apps:info other", "logs other", "config other", "apps:destroy other --confirm other"] {
        let foreign = scoped.ssh(mini.ssh, words).fails(3, "app `other` does not exist");
        let missing = scoped.ssh(mini.ssh, &words.replace("other", "nowhere")).fails(3, "app `nowhere` does not exist");
        assert_eq!(foreign.stderr.replace("other", "nowhere"), missing.stderr);
    }
    scoped.ssh(mini.ssh, "apps:create new").fails(4, "cannot create one");
    assert!(!scoped.ssh(mini.ssh, "apps").ok().stdout.contains("other"));
    mini.finish();
}
