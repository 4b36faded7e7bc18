//! What a client sees: routing, honest pages, headers, framing.

use super::*;

#[tokio::test]
async fn an_app_answers_at_its_host() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch(1, app.address);

    let answer = rig.get("/").await;

    assert_status(&answer, 200);
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert_eq!(rig.traffic(), Traffic { served: 1, failed: 0 });
}

#[tokio::test]
async fn hosts_without_an_answer_get_honest_pages() {
    let rig = Rig::start().await;
    let get =
        |host: &'static str| rig.talk(Box::leak(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_boxed_str()));

    let unknown = get("shop.localhost:80").await;
    assert_status(&unknown, 404);
    assert!(unknown.contains("cache-control: no-store") && unknown.contains("shop.localhost:80"), "{unknown}");
    assert_status(&get("a.blog.localhost").await, 404);

    let empty = get("blog.localhost").await;
    assert_status(&empty, 503);
    assert!(empty.contains("retry-after: 5") && empty.contains("nothing was deployed yet"), "{empty}");

    rig.routes.set_down(&rig.id, "it was stopped");
    assert!(get("blog.localhost").await.contains("it was stopped"));
    assert_eq!(rig.traffic(), Traffic { served: 0, failed: 2 });
}

#[tokio::test]
async fn the_bare_address_says_what_this_is() {
    let rig = Rig::start().await;

    let home = rig.talk("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/html\r\nconnection: close\r\n\r\n").await;
    assert_status(&home, 200);
    assert!(home.contains("<!doctype html>") && home.contains("git push mini main"), "{home}");

    let other = rig.talk("GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_status(&other, 404);
    assert!(!other.contains("<html"), "{other}");
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_502() {
    let rig = Rig::start_with(|limits| limits.hold = Duration::from_millis(300)).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    rig.switch(1, nobody);

    let answer = rig.get("/").await;

    assert_status(&answer, 502);
    assert!(answer.contains("refused the connection"), "{answer}");
    assert_eq!(rig.traffic(), Traffic { served: 0, failed: 1 });
}

#[tokio::test]
async fn an_app_that_says_nothing_is_504() {
    let rig = Rig::start().await;
    rig.expect_first_byte_within(Duration::from_millis(100));
    let app = App::start(|mut stream| async move {
        let _ = rest(&mut stream).await;
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);

    assert_status(&rig.get("/").await, 504);

    rig.routes.remove_app(&rig.id);
    timeout(PATIENCE, drained.wait()).await.expect("a late answer holds no lease");
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_hop() {
    let (rig, app) = (Rig::start().await, App::echoing_heads().await);
    rig.switch(1, app.address);

    let answer = rig
        .talk("GET /p?q HTTP/1.1\r\nHost: BLOG.localhost.\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Forwarded-For: 6.6.6.6\r\nX-Keep: 2\r\n\r\n")
        .await;
    let (_, seen) = answer.split_once("\r\n\r\n").unwrap();

    assert!(seen.starts_with("GET /p?q HTTP/1.1\r\n"), "{seen}");
    for line in
        ["host: blog.localhost\r\n", "x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n", "x-keep: 2\r\n", "x-request-id: "]
    {
        assert!(seen.contains(line), "{line} is missing: {seen}");
    }
    for gone in ["x-hop", "upgrade", "te:", "connection", "6.6.6.6"] {
        assert!(!seen.contains(gone), "{gone} was forwarded: {seen}");
    }
}

#[tokio::test]
async fn an_apps_own_close_does_not_close_its_clients() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\nok").await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut client).await.unwrap();
        assert!(answer.ends_with("ok") && !answer.contains("x-hop"), "{answer}");
    }
}

#[tokio::test]
async fn requests_with_two_lengths_reach_no_app_that_way() {
    let (rig, app) = (Rig::start().await, App::echoing_heads().await);
    rig.switch(1, app.address);
    let host = "host: blog.localhost\r\n";

    let double = rig
        .talk(&format!(
            "POST / HTTP/1.1\r\n{host}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n{host}\r\n"
        ))
        .await;
    assert!(!double.contains("content-length: 3") && !double.contains("smuggled"), "{double}");
    assert!(double.contains("connection: close"), "{double}");

    for bad in [
        format!("POST / HTTP/1.1\r\n{host}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.0\r\n{host}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let answer = rig.talk(&bad).await;
        assert!(answer.contains(" 400 "), "{bad:?} came to {answer}");
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let rig = Rig::start().await;
    let many = "x: y\r\n".repeat(101);

    assert_status(&rig.talk(&format!("GET / HTTP/1.1\r\nhost: blog.localhost\r\n{many}\r\n")).await, 431);
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    rig.switch(1, app.address);

    let answer = rig.talk("GET / HTTP/1.0\r\nhost: blog.localhost\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello") && !answer.contains("chunked"), "{answer}");
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_its_connection() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n").await.unwrap();
        }
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for _ in 0..3 {
        client.write_all(b"HEAD / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
        let head = read_head(&mut client).await.unwrap();
        assert!(head.contains("content-length: 1234\r\n"), "{head}");
    }
    assert_eq!(app.connections(), 1);
    assert_eq!(rig.traffic(), Traffic { served: 3, failed: 0 });
}
