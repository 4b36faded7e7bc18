//! The HTTP API as curl and programs meet it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Mini, Person, Repo, eventually};

/// Every word with arguments, the status it has, and the exit code that the same words have on the server itself.
fn table(key: &str) -> Vec<(&'static str, Value, u16)> {
    let app = json!({"app": "blog"});
    vec![
        ("apps:create", app.clone(), 200),
        ("apps:create", app.clone(), 409),
        ("apps", json!({}), 200),
        ("apps:info", app.clone(), 200),
        ("ps", app.clone(), 200),
        ("ps:scale", app.clone(), 200),
        ("ps:restart", app.clone(), 404),
        ("ps:stop", app.clone(), 404),
        ("ps:start", app.clone(), 404),
        ("limits", app.clone(), 200),
        ("limits:set", json!({"app": "blog", "limits": ["memory=64m"]}), 200),
        ("domains:add", json!({"app": "blog", "domains": ["example.org"]}), 200),
        ("domains", app.clone(), 200),
        ("certs", app.clone(), 200),
        ("certs:add", json!({"app": "blog", "domain": "example.org", "input": "no certificate"}), 400),
        ("certs:remove", json!({"app": "blog", "domain": "example.org"}), 404),
        ("certs:auto", json!({"app": "blog", "switch": "on"}), 200),
        ("domains:remove", json!({"app": "blog", "domains": ["example.org"]}), 200),
        ("domains:remove", json!({"app": "blog", "domains": ["example.org"]}), 404),
        ("storage", app.clone(), 200),
        ("storage:add", json!({"app": "blog", "storage": "data:/data"}), 200),
        ("storage:remove", json!({"app": "blog", "name": "other"}), 404),
        ("logs", json!({"app": "blog", "lines": 5}), 200),
        ("top", app.clone(), 200),
        ("config:set", json!({"app": "blog", "assignments": ["A=1"]}), 200),
        ("config:get", json!({"app": "blog", "name": "A"}), 200),
        ("config:get", json!({"app": "blog", "name": "B"}), 404),
        ("config", json!({"app": "blog", "show": true}), 200),
        ("config:unset", json!({"app": "blog", "names": ["A"]}), 200),
        ("releases", app.clone(), 200),
        ("releases:info", json!({"app": "blog", "version": "v7"}), 404),
        ("releases:output", json!({"app": "blog", "version": "v7"}), 404),
        ("explain", app.clone(), 404),
        ("builds", app.clone(), 200),
        ("builds:output", json!({"build": 7}), 404),
        ("builds:cancel", json!({"build": "7"}), 404),
        ("rollback", json!({"app": "blog", "version": "v7"}), 404),
        ("rebuild", app.clone(), 404),
        ("deploy", json!({"app": "blog", "image": "127.0.0.1:1/nothing"}), 503),
        ("deploy", json!({"app": "blog", "input": "no archive"}), 422),
        ("run", json!({"app": "blog", "program": ["ls"]}), 400),
        ("run", json!({"app": "blog", "program": ["ls"], "detach": true}), 404),
        ("enter", app.clone(), 400),
        ("registry", json!({}), 200),
        ("registry:login", json!({"host": "127.0.0.1:1", "username": "bot", "input": "secret"}), 200),
        ("registry:logout", json!({"host": "127.0.0.1:1"}), 200),
        ("apps:set", json!({"app": "blog", "options": ["deploy-branch=main", "https=redirect"]}), 200),
        ("apps:set", json!({"app": "blog", "options": ["basic-auth=anna:-"], "input": "s3cret"}), 200),
        ("apps:link", json!({"app": "blog", "target": "blog"}), 400),
        ("apps:unlink", json!({"app": "blog", "target": "db"}), 404),
        ("keys", json!({}), 200),
        ("keys:add", json!({"name": "bob", "role": "view", "apps": ["blog"], "input": key}), 200),
        ("keys:remove", json!({"key": "bob"}), 200),
        ("tokens:create", json!({"name": "web", "expires": "90d"}), 200),
        ("tokens", json!({}), 200),
        ("tokens:revoke", json!({"token": "web"}), 200),
        ("backup", json!({}), 400),
        ("whoami", json!({}), 200),
        ("status", json!({}), 200),
        ("doctor", json!({}), 200),
        ("prune", json!({}), 200),
        ("version", json!({}), 200),
        ("apps:destroy", app.clone(), 400),
        ("apps:destroy", json!({"app": "blog", "confirm": "blog"}), 200),
        ("apps:info", app, 404),
    ]
}

#[test]
fn every_word_has_a_route_and_answers_what_the_command_line_prints() {
    let mini = Mini::start();
    let token = mini.token("ci --role admin");
    let key = Person::new(mini.home(), "bob").public_key();
    let bearer = format!("Bearer {token}");
    let listed = mini.send("GET", "/v1", &[("Authorization", &bearer)], b"").has_status(200).json();
    let words: BTreeSet<&str> = listed["words"].as_array().unwrap().iter().map(|word| word["name"].as_str().unwrap()).collect();
    let table = table(&key);
    assert_eq!(words, table.iter().map(|(word, ..)| *word).collect(), "a word without a line in the table");

    for (word, arguments, status) in &table {
        let answer = mini.call(&token, word, arguments);

        assert_eq!(answer.status, *status, "{word} {arguments}: {answer:?}");
        assert!(answer.header("X-Request-Id").is_some() && answer.header("Cache-Control") == Some("no-store"), "{answer:?}");
        if *status == 200 {
            answer.json();
        } else {
            assert!(answer.problem(*status)["hint"].is_string(), "{word}: {answer:?}");
        }
        let same = match *word {
            "apps" | "keys" | "tokens" | "version" => vec![*word],
            "apps:info" | "ps" | "releases" | "builds" | "config" if *status == 200 => vec![*word, "blog"],
            _ => continue,
        };
        let show = if *word == "config" { &["--show", "--json"][..] } else { &["--json"] };
        let typed = mini.local(&[&same[..], show].concat()).ok();
        let ages = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(without_use(ages(&answer.body)), without_use(ages(&typed.stdout)), "{word}");
    }
    mini.finish();
}

/// When a key was used last may be noted between two looks.
fn without_use(mut value: Value) -> Value {
    for row in value.as_array_mut().into_iter().flatten() {
        row.as_object_mut().unwrap().remove("last_used_at");
    }
    value
}

#[test]
fn without_a_good_token_every_path_looks_the_same() {
    let mini = Mini::start();
    let expected = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "an API key is needed", "kind": "not-allowed", "code": 4,
        "hint": "send `Authorization: Bearer mini_…`; make a key with: ssh mini tokens:create NAME",
    });
    let paths =
        ["/v1", "/v1/apps", "/v1/apps:create", "/v1/apps%3Acreate", "/v1/apps/create", "/v1/nonsense", "/v1/a/b/c", "/v1/apps?token=x"];
    let admin = mini.token("ci --role admin");
    let query = format!("/v1/whoami?token={admin}&access_token={admin}");
    let (cookie, basic) = (format!("token={admin}; Bearer={admin}"), format!("Basic {admin}"));

    for path in paths.into_iter().chain([query.as_str()]) {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = mini.send(method, path, &[("Cookie", &cookie), ("X-Api-Key", &admin)], b"");
            assert_eq!(answer.problem(401), expected, "{method} {path}");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        }
    }
    for host in ["127.0.0.1", "localhost", "mini.localhost", "mini.127.0.0.1.nip.io", "127-0-0-1.sslip.io"] {
        let answer = mini.send("POST", "/v1/whoami", &[("Host", host), ("Authorization", &basic)], b"");
        assert_eq!(answer.problem(401), expected, "{host}");
    }
    assert!(!mini.log().contains(&admin), "the key stands in the log");
    mini.finish();
}

#[test]
fn the_server_tells_strangers_who_it_is_and_the_rest_of_the_edge_is_as_it_was() {
    let mini = Mini::start();
    let key = std::fs::read_to_string(mini.data().join("host_key.pub")).unwrap();
    let port = mini.ssh.port();

    let hello = mini.send("GET", "/v1/server", &[("Host", "mini.localhost:81")], b"").has_status(200);

    let version = env!("CARGO_PKG_VERSION");
    let expected =
        json!({"name": "mini", "version": version, "protocol": 1, "ssh": format!("mini.localhost:{port}"), "host_key": key.trim()});
    assert_eq!(hello.json(), expected);
    let wrong = mini.send("POST", "/v1/server", &[], b"");
    assert_eq!((wrong.problem(405)["detail"].as_str(), wrong.header("Allow")), (Some("this wants GET"), Some("GET")));
    assert!(mini.send("GET", "/", &[], b"").has_status(200).body.contains("This is mini."));
    mini.send("GET", "/favicon.ico", &[], b"").has_status(404);
    mini.local(&["apps:create", "blog"]).ok();
    let of_app = mini.send("POST", "/v1/whoami", &[("Host", "blog.localhost")], b"").has_status(503);
    assert!(of_app.body.contains("The app blog is down"), "{of_app:?}");
    mini.finish();
}

#[test]
fn problems_say_what_is_wrong_and_what_to_do() {
    let mini = Mini::start();
    let token = mini.token("ci --role admin");
    let bearer = format!("Bearer {token}");
    let auth = ("Authorization", bearer.as_str());
    let json_type = ("Content-Type", "application/json");

    let missing = mini.call(&token, "apps:info", &json!({"app": "blog"}));
    let expected = json!({
        "type": "about:blank", "title": "Not Found", "status": 404, "detail": "app `blog` does not exist", "kind": "not-found", "code": 3,
        "hint": "see yours: ssh mini apps",
    });
    assert_eq!(missing.problem(404), expected);

    let unknown = mini.call(&token, "confg:set", &json!({})).problem(404);
    assert_eq!((&unknown["kind"], &unknown["code"]), (&json!("unknown-command"), &json!(127)));
    assert!(unknown["hint"].as_str().unwrap().contains("`config:set`"), "{unknown}");
    let wrong_method = mini.send("GET", "/v1/apps", &[auth], b"");
    assert_eq!((wrong_method.problem(405)["kind"].as_str(), wrong_method.header("Allow")), (Some("usage"), Some("POST")));
    mini.send("POST", "/v1/a/b/c", &[auth], b"").problem(404);
    let usages: &[(&str, &[u8], &str)] = &[
        ("/v1/logs", b"{\"app\":5}", "`5` is not an app name"),
        ("/v1/logs", b"{\"app\":[]}", "`app` is a string, not an array"),
        ("/v1/logs", b"{\"nonsense\":1}", "`logs` has no argument `nonsense`"),
        ("/v1/logs", b"[]", "the body is not a JSON object"),
        ("/v1/logs", b"{\"app\": s3cret", "the body is not JSON: see line 1, column 9"),
        ("/v1/logs?app=blog", b"{}", "arguments stand in the JSON body or in the query, not in both"),
    ];
    for (path, body, sentence) in usages {
        let problem = mini.send("POST", path, &[auth, json_type], body).problem(400);
        assert_eq!((problem["detail"].as_str(), &problem["code"]), (Some(*sentence), &json!(2)));
    }
    let huge = format!("{{\"app\":\"{}\"}}", "x".repeat(2 << 20));
    let refused = mini.send("POST", "/v1/logs", &[auth, json_type], huge.as_bytes()).problem(413);
    assert_eq!(refused["detail"], "the JSON body is over 1024 KiB");
    let form = mini.send("POST", "/v1/apps", &[auth, ("Content-Type", "application/x-www-form-urlencoded")], b"a=b").problem(415);
    assert_eq!(form["hint"], "add: Content-Type: application/json");
    mini.send("POST", "/v1/ps", &[auth], b"{\"app\":\"blog\"}").problem(415);
    let lacking = mini.send("POST", "/v1/ps", &[auth], b"").problem(400);
    assert_eq!(lacking["detail"], "the following required arguments were not provided: <APP>");
    let given = mini.send("POST", "/v1/apps", &[auth, ("X-Request-Id", "mine-1")], b"");
    assert_eq!(given.has_status(200).header("X-Request-Id"), Some("mine-1"));
    mini.finish();
}

#[test]
fn the_input_is_the_body_or_a_field() {
    let mini = Mini::start();
    let token = mini.token("ci --role admin");
    let bearer = format!("Bearer {token}");
    let auth = ("Authorization", bearer.as_str());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let people = ["bob", "eve"].map(|name| Person::new(mini.home(), name).public_key());
    mini.local(&["apps:create", "blog"]).ok();
    let value = || mini.local(&["config:get", "blog", "KEY"]).ok().stdout;

    let raw = mini.send("POST", "/v1/config:set?app=blog&assignments=KEY%3D-&assignments=B%3D2", &[auth, form], b"a&b=c\n");
    assert_eq!(raw.has_status(200).json()["said"], json!(["Done."]));
    assert_eq!(value(), "a&b=c\n");
    mini.call(&token, "config:set", &json!({"app": "blog", "assignments": ["KEY=-"], "input": "two\nlines"})).has_status(200);
    assert_eq!(value(), "two\nlines\n");
    mini.send("POST", "/v1/keys/add?name=bob&role=view", &[auth], people[0].as_bytes()).has_status(200);
    mini.call(&token, "keys:add", &json!({"name": "eve", "input": people[1]})).has_status(200);

    let missing = mini.call(&token, "config:set", &json!({"app": "blog", "assignments": ["KEY=-"]}));
    assert_eq!(missing.problem(400)["detail"], "the field `input` is missing");
    let unread = mini.call(&token, "config:set", &json!({"app": "blog", "assignments": ["KEY=1"], "input": "x"}));
    assert_eq!(unread.problem(400)["detail"], "`config:set` reads no input with these arguments");
    assert_eq!(mini.call(&token, "apps", &json!({"input": "x"})).problem(400)["detail"], "`apps` has no argument `input`");
    let long = mini.send("POST", "/v1/config:set?app=blog&assignments=KEY%3D-", &[auth], &vec![b'x'; 3 << 20]);
    assert_eq!(long.problem(400)["detail"], "the input is over 256 KiB");
    let file = mini.call(&token, "keys:add", &json!({"name": "x", "input": "/etc/passwd"}));
    assert_eq!(file.problem(400)["detail"], "this is not an SSH public key");
    assert_eq!(value(), "two\nlines\n");
    mini.finish();
}

#[test]
fn lines_come_for_those_who_ask_and_always_end() {
    let mini = Mini::start();
    let token = mini.token("ci --role admin");
    let follow = |word: &str, arguments: Value| mini.follow(&token, word, &arguments).finish();
    mini.local(&["apps:create", "blog"]).ok();

    let value = follow("version", json!({})).has_status(200);
    let version = json!({"value": {"version": {"version": env!("CARGO_PKG_VERSION")}}});
    assert_eq!((value.lines(), value.header("Content-Type")), (vec![version, json!({"end": {"code": 0}})], Some("application/x-ndjson")));
    let lines = follow("config:set", json!({"app": "blog", "assignments": ["A=1"]})).has_status(200).lines();
    assert_eq!(lines.last(), Some(&json!({"end": {"code": 0}})));
    assert!(lines.contains(&json!({"say": "Done."})), "{lines:?}");
    let failed = follow("rollback", json!({"app": "blog", "version": "v7"})).has_status(200).lines();
    let end = &failed.last().unwrap()["end"];
    assert_eq!((&end["code"], &end["error"]["kind"]), (&json!(3), &json!("not-found")), "{failed:?}");
    // What is refused before anything was begun has its status, in this form, too.
    assert_eq!(follow("apps:info", json!({"app": "nothing"})).problem(404)["kind"], "not-found");
    let logs = |lines: u32| mini.call(&token, "logs", &json!({"app": "blog", "lines": lines})).has_status(200).json();
    assert_eq!(logs(0), json!([]));
    assert_eq!((logs(9).as_array().unwrap().len(), &logs(9)[0]["source"]), (1, &json!("mini[build]")));
    mini.finish();
}

#[test]
fn roles_and_scopes_hold_and_a_foreign_app_looks_like_a_missing_one() {
    let mini = Mini::start();
    for app in ["blog", "shop"] {
        mini.local(&["apps:create", app]).ok();
    }
    let (view, scoped) = (mini.token("vera --role view"), mini.token("carl --app blog"));
    let cases = [
        ("apps:info", json!({})),
        ("ps", json!({})),
        ("logs", json!({})),
        ("releases", json!({})),
        ("config", json!({})),
        ("config:get", json!({"name": "A"})),
        ("config:set", json!({"assignments": ["A=1"]})),
        ("config:unset", json!({"names": ["A"]})),
        ("rollback", json!({})),
        ("rebuild", json!({})),
        ("apps:set", json!({"options": ["deploy-branch=main"]})),
        ("apps:destroy", json!({"confirm": "APP"})),
    ];

    for (word, arguments) in cases {
        let ask = |app: &str| -> (u16, String) {
            let mut arguments = arguments.clone();
            arguments["app"] = json!(app);
            let arguments = arguments.to_string().replace("APP", app);
            let answer: Answer = mini.call(&scoped, word, &serde_json::from_str(&arguments).unwrap());
            let id = answer.header("X-Request-Id").unwrap().to_owned();
            (answer.status, answer.body.replace(&id, "ID").replace(app, "APP"))
        };
        let (foreign, missing) = (ask("shop"), ask("pets"));
        assert_eq!(foreign, missing, "{word}");
        assert_eq!(foreign.0, 404, "{word}: {foreign:?}");
    }
    let names = |token: &str| mini.call(token, "apps", &json!({})).json();
    assert_eq!(names(&scoped).as_array().unwrap().len(), 1);
    assert_eq!(names(&view).as_array().unwrap().len(), 2);
    mini.call(&view, "apps:info", &json!({"app": "blog"})).has_status(200);
    mini.call(&scoped, "config:set", &json!({"app": "blog", "assignments": ["A=1"]})).has_status(200);
    for (token, word, arguments) in [
        (&view, "config", json!({"app": "blog"})),
        (&view, "rebuild", json!({"app": "blog"})),
        (&scoped, "apps:create", json!({"app": "more"})),
        (&scoped, "tokens", json!({})),
        (&scoped, "tokens:create", json!({"name": "more", "role": "admin"})),
        (&scoped, "keys", json!({})),
        (&view, "status", json!({})),
    ] {
        let problem = mini.call(token, word, &arguments).problem(403);
        assert_eq!((&problem["kind"], &problem["code"]), (&json!("not-allowed"), &json!(4)), "{word}");
    }
    mini.finish();
}

#[test]
fn wrong_keys_are_limited_by_address_and_a_good_one_never_is() {
    let mini = Mini::start();
    let token = mini.token("ci");
    let (typo, unknown) = (format!("{}x", &token[..61]), "mini_nonsense");

    for number in 0..20 {
        let wrong = if number % 2 == 0 { typo.as_str() } else { unknown };
        let answer = mini.call(wrong, "whoami", &json!({}));
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        let sentence = if number % 2 == 0 { "this API key has a typo" } else { "this is not an API key" };
        assert_eq!(answer.problem(401)["detail"], sentence);
    }
    let limited = mini.call(unknown, "whoami", &json!({}));

    assert_eq!(limited.problem(429)["kind"], "busy");
    assert!((1..=60).contains(&limited.header("Retry-After").unwrap().parse::<u64>().unwrap()), "{limited:?}");
    mini.call(&token, "whoami", &json!({})).has_status(200);
    mini.finish();
}

#[test]
fn a_server_that_stops_ends_its_streams() {
    let mut mini = Mini::start();
    let token = mini.token("ci");
    mini.local(&["apps:create", "blog"]).ok();
    let mut logs = mini.follow(&token, "logs", &json!({"app": "blog", "follow": true}));
    logs.wait_for("200 OK");

    assert!(mini.stop().success());

    logs.finish();
    mini.boot();
    mini.finish();
}

#[test]
fn a_follower_that_leaves_is_noticed_though_nothing_is_said() {
    let mini = Mini::start();
    let token = mini.token("ci");
    mini.local(&["apps:create", "blog"]).ok();
    let mut logs = mini.follow(&token, "logs", &json!({"app": "blog", "follow": true}));
    logs.wait_for("200 OK");
    assert!(!mini.log().contains("an api client left"));

    drop(logs);

    eventually("the call to end", || mini.log().contains("an api client left before its answer").then_some(()));
    mini.finish();
}

#[test]
fn an_upload_with_a_wrong_key_is_refused_before_it_is_read() {
    let mini = Mini::start();
    let headers = [("Authorization", "Bearer mini_x"), ("Transfer-Encoding", "chunked")];
    let half = b"5\r\nhello\r\n";

    let refused = mini.begin("POST", "/v1/keys:add?name=x", &headers, half).finish();

    assert_eq!(refused.problem(401)["detail"], "this is not an API key");
    mini.finish();
}

#[test]
fn releases_made_over_http_are_told_whole_and_line_by_line() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let token = mini.token("ci --app hello");

    let story = mini.call(&token, "config:set", &json!({"app": "hello", "assignments": ["A=1"]})).has_status(200).json();
    let lines = mini.follow(&token, "rebuild", &json!({"app": "hello"})).finish().has_status(200).lines();
    let failed = mini.call(&token, "config:set", &json!({"app": "hello", "assignments": ["PORT=1x"]}));
    let records = mini.call(&token, "logs", &json!({"app": "hello", "lines": 3})).has_status(200).json();

    assert_eq!((&story["released"]["version"], &story["said"]), (&json!("v2"), &json!([])));
    assert!(story["talk"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("Switched to v2")), "{story}");
    assert!(lines.iter().any(|line| line["talk"].as_str().is_some_and(|talk| talk.contains("Building image"))), "{lines:?}");
    assert_eq!(lines[lines.len() - 2]["released"]["version"], "v3");
    assert_eq!(lines[lines.len() - 1], json!({"end": {"code": 0}}));
    assert!((400..500).contains(&failed.status), "{failed:?}");
    assert!(failed.problem(failed.status)["detail"].is_string());
    assert_eq!(records.as_array().unwrap().len(), 3);
    assert_eq!(mini.releases("hello")[0]["by"], "ci");
    mini.finish();
}
