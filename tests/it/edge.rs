//! What an owner wants of the proxy: it holds at once, without a release, and over restarts of the server.

use crate::harness::{Mini, Repo};

const HOST: (&str, &str) = ("Host", "blog.localhost");

/// `anna:s3cret`, as browsers send it.
const ANNA: (&str, &str) = ("Authorization", "Basic YW5uYTpzM2NyZXQ=");

fn with_app() -> Mini {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    mini
}

fn set(mini: &Mini, options: &str) -> String {
    mini.anna.ssh(mini.ssh, &format!("apps:set blog {options}")).ok().stdout
}

fn status(mini: &Mini, headers: &[(&str, &str)]) -> u16 {
    mini.send("GET", "/cgi-bin/env", &[&[HOST], headers].concat(), b"").status
}

/// The line of `apps:info` about the proxy.
fn shown(mini: &Mini) -> String {
    let info = mini.anna.ssh(mini.ssh, "apps:info blog").ok().stdout;
    let line = info.lines().find_map(|line| line.strip_prefix("proxy")).unwrap();
    line.trim().to_owned()
}

#[test]
fn settings_hold_at_once_without_a_release_and_over_a_kill_of_the_server() {
    let mut mini = with_app();
    assert_eq!(shown(&mini), "forwards and nothing else");

    assert_eq!(set(&mini, "deny=127.0.0.0/8"), "127.0.0.0/8 may not come in at `blog`.\n");
    assert_eq!(status(&mini, &[]), 403);
    assert_eq!(
        set(&mini, "deny=none allow=203.0.113.9,10.0.0.0/8"),
        "No address is kept off `blog`.\nOnly 203.0.113.9,10.0.0.0/8 may come in at `blog`.\n"
    );
    assert_eq!(status(&mini, &[]), 403);
    mini.kill_9();
    mini.boot();
    assert_eq!(status(&mini, &[]), 403);
    assert_eq!(shown(&mini), "allow=203.0.113.9,10.0.0.0/8");
    mini.anna.ssh(mini.ssh, "apps:set blog allow=any deny=nonsense").fails(2, "is not an address");
    assert_eq!(status(&mini, &[]), 403, "all or nothing");
    set(&mini, "allow=127.0.0.1");

    assert_eq!(status(&mini, &[]), 200);
    assert_eq!(mini.releases("blog").len(), 1);
    mini.finish();
}

#[test]
fn a_list_of_addresses_does_not_wait_for_a_release_that_starts() {
    let mini = with_app();
    let slow = "sleep 5\nexec httpd -f -p $PORT\n";
    let repo = Repo::of(&[("Dockerfile", "FROM busybox\nCOPY start /\nCMD [\"sh\", \"/start\"]\n"), ("start", slow)]);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["+main"]);
    push.wait_for("Starting web.1 beside v1");

    set(&mini, "deny=127.0.0.1");

    assert_eq!(status(&mini, &[]), 403);
    assert_eq!(mini.releases("blog").iter().filter(|release| release["state"] == "live").count(), 1);
    push.finish().ok();
    assert_eq!(status(&mini, &[]), 403);
    mini.finish();
}

#[test]
fn only_who_has_a_password_comes_in_and_the_app_does_not_get_it() {
    let mini = with_app();

    let said = mini.anna.ssh_with(mini.ssh, "apps:set blog basic-auth=anna:-", "s3cret\n").ok();
    mini.anna.ssh_with(mini.ssh, "apps:set blog basic-auth=ben:-", "geheimnis").ok();

    assert!(!said.stdout.contains("s3cret") && shown(&mini) == "basic-auth=anna,ben", "{said:?}");
    let asked = mini.send("GET", "/cgi-bin/env", &[HOST], b"");
    assert_eq!((asked.status, asked.header("WWW-Authenticate")), (401, Some("Basic realm=\"app\", charset=\"UTF-8\"")));
    let wrong = ("Authorization", "Basic YW5uYTpnZWhlaW1uaXM=");
    assert_eq!(status(&mini, &[wrong]), 401, "one user's name with another one's password");
    let let_in = mini.send("GET", "/cgi-bin/env", &[HOST, ANNA], b"");
    assert!(let_in.status == 200 && !let_in.body.contains("AUTHORIZATION"), "{let_in:?}");
    mini.anna.ssh_with(mini.ssh, "apps:set blog basic-auth=anna:-", "other").ok();
    assert_eq!(status(&mini, &[ANNA]), 401);
    mini.anna.ssh(mini.ssh, "apps:set blog basic-auth=anna:off").ok();
    assert_eq!(shown(&mini), "basic-auth=ben");
    mini.anna.ssh(mini.ssh, "apps:set blog basic-auth=ben:off").fails(2, "`ben` is the last user: without one everybody comes in");
    mini.anna.ssh(mini.ssh, "apps:set blog basic-auth=anna:s3cret").fails(2, "basic-auth is USER:-");
    mini.anna.ssh_with(mini.ssh, "apps:set blog basic-auth=a:- basic-auth=b:-", "x").fails(2, "only one password");

    let token = mini.token("ci --app blog");
    let by_json = serde_json::json!({"app": "blog", "options": ["basic-auth=off", "basic-auth=anna:-"], "input": "s3cret"});
    assert_eq!(mini.call(&token, "apps:set", &by_json).status, 200);
    assert_eq!((status(&mini, &[ANNA]), shown(&mini).as_str()), (200, "basic-auth=anna"));
    set(&mini, "basic-auth=off");
    assert_eq!(status(&mini, &[]), 200);
    assert!(!mini.log().contains("s3cret"), "the password is in the server's log");
    assert!(!std::fs::read(mini.data().join("mini.db")).unwrap().windows(6).any(|bytes| bytes == b"s3cret"));
    mini.finish();
}

#[test]
fn a_request_that_brings_more_than_it_may_ends_with_413_whether_it_says_so_or_not() {
    let mini = with_app();
    set(&mini, "body-limit=1KiB");
    let send = |headers: &[(&str, &str)], body: &[u8]| mini.send("POST", "/cgi-bin/upload", &[&[HOST], headers].concat(), body);
    let chunked = [("Transfer-Encoding", "chunked")];
    let chunks = |count: usize| [b"100\r\n".as_slice(), &[b'x'; 256], b"\r\n"].concat().repeat(count);

    assert_eq!(send(&[], &[b'x'; 1024]).status, 200);
    let refused = send(&[], &[b'x'; 1025]);
    assert!(refused.status == 413 && refused.body.contains("1 KiB"), "{refused:?}");
    assert_ne!(send(&chunked, &[chunks(4), b"0\r\n\r\n".to_vec()].concat()).status, 413);
    let refused = send(&chunked, &[chunks(5), b"0\r\n\r\n".to_vec()].concat());
    assert!(refused.status == 413 && refused.body.contains("more than it may"), "{refused:?}");
    // It does not end by itself.
    assert_eq!(send(&chunked, &chunks(100)).status, 413);
    assert_eq!(status(&mini, &[]), 200);

    set(&mini, "body-limit=off");
    assert_eq!(send(&[], &[b'x'; 4096]).status, 200);
    mini.finish();
}

#[test]
fn one_name_of_a_domain_is_sent_to_the_other() {
    let mini = with_app();
    mini.anna.ssh(mini.ssh, "domains:add blog example.org www.example.org www.example.net").ok();
    set(&mini, "www=remove https=redirect");
    let location = |host: &str| {
        let answer = mini.send("POST", "/a?b=c", &[("Host", host)], b"x");
        (answer.status, answer.header("Location").map(str::to_owned))
    };

    assert_eq!(location("www.example.org:8080"), (308, Some("http://example.org:8080/a?b=c".into())));
    assert_eq!(mini.get_host("example.org", "/").status, 200, "it has no certificate");
    assert_eq!(mini.get_host("www.example.net", "/").status, 200, "its other name is not the app's");
    set(&mini, "www=add");
    assert_eq!(location("example.org"), (308, Some("http://www.example.org/a?b=c".into())));
    mini.anna.ssh(mini.ssh, "domains:remove blog www.example.org").ok();
    assert_eq!(mini.get_host("example.org", "/").status, 200);
    mini.finish();
}

/// Speaks as much of HTTP/2 as it takes to say `well`, and not a word of HTTP/1.
const H2C: &str = "import os, socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        if self.rfile.read(24) != b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n':
            return
        self.send(4, 0, 0)
        while len(head := self.rfile.read(9)) == 9:
            length, kind, flags, stream = int.from_bytes(head[:3], 'big'), head[3], head[4], head[5:]
            self.rfile.read(length)
            if kind == 4 and not flags & 1:
                self.send(4, 1, 0)
            if kind == 1:
                self.send(1, 4, stream, b'\\x88')
                self.send(0, 1, stream, b'well')

    def send(self, kind, flags, stream, payload=b''):
        self.wfile.write(len(payload).to_bytes(3, 'big') + bytes([kind, flags]) + (stream or bytes(4)) + payload)

socketserver.ThreadingTCPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";

#[test]
fn an_app_that_speaks_nothing_but_http2_goes_live_when_it_is_asked_in_that() {
    let mini = Mini::start();
    let repo = Repo::of(&[("Dockerfile", "FROM python:3-slim\nCOPY app.py /\nCMD [\"python3\", \"/app.py\"]\n"), ("app.py", H2C)]);
    mini.anna.ssh(mini.ssh, "apps:create blog").ok();
    set(&mini, "protocol=h2c");

    let said = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    assert!(said.stderr.contains("GET / answered 200"), "{said:?}");
    assert_eq!(mini.get("blog", "/").body, "well");
    mini.finish();
}
