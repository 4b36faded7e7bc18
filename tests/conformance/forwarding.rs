//! Who asks, and how: what a stranger says about it is replaced, what a trusted proxy says is added to.

use super::case::Clue::{Line, No};
use super::case::{Case, Clue, get, passes};

/// From anybody.
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

/// From 127.0.0.1 as a trusted proxy, as is 10.0.0.0/8.
pub fn trusted() -> Vec<Case> {
    let table: [(&str, &str, &[Clue]); 19] = [
        ("nothing said: the proxy is the client", "", &[Line("x-forwarded-for: 127.0.0.1"), Line("x-real-ip: 127.0.0.1")]),
        ("the list is added to", "X-Forwarded-For: 6.6.6.6", &[Line("x-forwarded-for: 6.6.6.6, 127.0.0.1"), Line("x-real-ip: 6.6.6.6")]),
        (
            "lists of several lines are one",
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7",
            &[Line("x-forwarded-for: 6.6.6.6, 7.7.7.7, 127.0.0.1")],
        ),
        ("the client is the last who is not trusted", "X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.1.1.1", &[Line("x-real-ip: 7.7.7.7")]),
        ("all are trusted: the first is the client", "X-Forwarded-For: 10.1.1.1, 10.2.2.2", &[Line("x-real-ip: 10.1.1.1")]),
        (
            "an address of IPv6",
            "X-Forwarded-For: 2001:db8::1",
            &[Line("x-real-ip: 2001:db8::1"), Line("x-forwarded-for: 2001:db8::1, 127.0.0.1")],
        ),
        (
            "nobody is believed beyond nonsense",
            "X-Forwarded-For: 6.6.6.6, unknown, 10.1.1.1",
            &[Line("x-forwarded-for: 10.1.1.1, 127.0.0.1"), Line("x-real-ip: 10.1.1.1")],
        ),
        ("nonsense alone is dropped", "X-Forwarded-For: <script>", &[Line("x-forwarded-for: 127.0.0.1"), Line("x-real-ip: 127.0.0.1")]),
        ("an empty member is nonsense too", "X-Forwarded-For: 6.6.6.6,,10.1.1.1", &[Line("x-forwarded-for: 10.1.1.1, 127.0.0.1")]),
        ("https is believed", "X-Forwarded-Proto: https", &[Line("x-forwarded-proto: https")]),
        ("https in capitals is https", "X-Forwarded-Proto: HTTPS", &[Line("x-forwarded-proto: https")]),
        ("another scheme is not", "X-Forwarded-Proto: gopher", &[Line("x-forwarded-proto: http")]),
        ("two schemes are none", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http", &[Line("x-forwarded-proto: http")]),
        ("a host is kept", "X-Forwarded-Host: Shop.test:8443", &[Line("x-forwarded-host: shop.test:8443"), Line("host: a.test")]),
        ("a malformed host is not", "X-Forwarded-Host: a b", &[Line("x-forwarded-host: a.test")]),
        ("a port is kept", "X-Forwarded-Port: 8443", &[Line("x-forwarded-port: 8443")]),
        ("what is no port is not kept", "X-Forwarded-Port: 0\r\nX-Forwarded-Proto: https", &[Line("x-forwarded-port: 443")]),
        ("other claims go no further", "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6", &[Line("x-real-ip: 127.0.0.1"), No("forwarded")]),
        ("a list cannot be named away", "Connection: X-Forwarded-For\r\nX-Forwarded-For: 6.6.6.6", &[Line("x-real-ip: 6.6.6.6")]),
    ];
    table.into_iter().map(|(name, lines, clues)| passes(name, get(lines), clues)).collect()
}
