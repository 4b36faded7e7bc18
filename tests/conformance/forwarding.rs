//! Who asks, and how: what a client says about it is replaced by what is true.

use super::case::Clue::{Line, No};
use super::case::{Case, get, passes};

pub fn cases() -> Vec<Case> {
    let truth = [
        Line("x-forwarded-for: 127.0.0.1"),
        Line("x-real-ip: 127.0.0.1"),
        Line("x-forwarded-proto: http"),
        Line("x-forwarded-host: a.test"),
    ];
    let mut cases = vec![passes("the app is told who asks", get(""), &truth)];
    for lie in [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7",
        "x-forwarded-for: 127.0.0.1, 6.6.6.6",
        "X-Forwarded-For: ",
        "X-Real-IP: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6",
    ] {
        cases.push(passes(&format!("{lie:?} is replaced"), get(lie), &truth));
    }
    cases.extend(
        [
            ("Forwarded: for=6.6.6.6;proto=https", "forwarded"),
            ("X-Forwarded-User: root", "x-forwarded-user"),
            ("X-Forwarded: 6.6.6.6", "x-forwarded"),
            ("X-Forwarded-Server: evil", "x-forwarded-server"),
            ("X-Forwarded-Prefix: /admin", "x-forwarded-prefix"),
            ("X-Forwarded-Ssl: on", "x-forwarded-ssl"),
            ("True-Client-IP: 6.6.6.6", "true-client-ip"),
            ("CF-Connecting-IP: 6.6.6.6", "cf-connecting-ip"),
            ("X-Client-IP: 6.6.6.6", "x-client-ip"),
            ("Client-IP: 6.6.6.6", "client-ip"),
            ("X-Cluster-Client-IP: 6.6.6.6", "x-cluster-client-ip"),
            ("Fastly-Client-IP: 6.6.6.6", "fastly-client-ip"),
            ("Proxy: http://evil.test", "proxy"),
            ("X_Real_IP: 6.6.6.6", "x_real_ip"),
            ("X_Forwarded_For: 6.6.6.6", "x_forwarded_for"),
            ("X-Forwarded_For: 6.6.6.6", "x-forwarded_for"),
            ("X-Original-Host: evil.test", "x-original-host"),
            ("X-Host: evil.test", "x-host"),
            ("X-Original-URL: /admin", "x-original-url"),
            ("X-Rewrite-URL: /admin", "x-rewrite-url"),
            ("X-HTTP-Host-Override: evil.test", "x-http-host-override"),
        ]
        .map(|(lie, name)| passes(&format!("{lie:?} goes no further"), get(lie), &[No(name)])),
    );
    cases.push(passes("a request gets an id", get("X-Request-Id: a b"), &[]));
    cases.push(passes("a sensible id is kept", get("X-Request-Id: abc-1"), &[Line("x-request-id: abc-1")]));
    cases
}
