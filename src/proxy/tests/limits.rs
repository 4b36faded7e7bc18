//! What a client may have and how long it may take: each refusal says why.

use std::pin::Pin;
use std::task::Poll;

use hyper::Version;
use hyper::header::HeaderValue;
use tokio::io::AsyncWrite;

use super::super::client::Client;
use super::super::client_io::{ClientIo, ClientStream};
use super::super::ends::Ends;
use super::*;

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_so_and_let_in_again() {
    let (rig, app) = (Rig::start_with(|limits| limits.per_address = 2).await, App::saying("hello").await);
    rig.switch(1, app.address);
    let mut first = rig.connect().await;
    let _second = rig.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    assert_status(&read_answer(&mut first).await.unwrap(), 200);

    let refused = rest(&mut rig.connect().await).await;

    assert_status(&refused, 503);
    assert!(refused.ends_with("too many connections from this address\n"), "{refused}");
    drop(first);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if rig.get("/").await.ends_with("hello") {
            return;
        }
    }
    panic!("the address is not let in again");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_408() {
    let rig = Rig::start_with(|limits| limits.head = Duration::from_millis(200)).await;
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\nx: ").await.unwrap();

    let answer = rest(&mut client).await;

    assert_status(&answer, 408);
    assert!(answer.ends_with("the request's head did not come in time\n"), "{answer}");
}

#[tokio::test]
async fn who_never_begins_is_left_without_a_word() {
    let rig = Rig::start_with(|limits| limits.head = Duration::from_millis(100)).await;

    assert_eq!(rest(&mut rig.connect().await).await, "");
}

#[tokio::test]
async fn between_requests_a_connection_lives_longer_than_a_head_may_take() {
    let rig = Rig::start_with(|limits| (limits.head, limits.keep_alive) = (Duration::from_millis(100), Duration::from_millis(800))).await;
    let app = App::saying("hello").await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for pause in [0, 300] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
        assert_status(&read_answer(&mut client).await.unwrap(), 200);
    }

    assert_eq!(rest(&mut client).await, "", "it ends when nothing is asked for too long");
}

#[tokio::test]
async fn a_client_that_is_silent_after_its_answer_is_let_go_however_long_that_took() {
    let rig = Rig::start_with(|limits| (limits.head, limits.keep_alive) = (Duration::from_secs(1), Duration::from_millis(200))).await;
    let go = CancellationToken::new();
    let app = App::waiting_for(&go, "late").await;
    rig.switch(1, app.address);
    let mut clients = Vec::new();
    // Some requests are there when the connection is first read: then nothing has waited yet.
    for _ in 0..5 {
        let mut client = rig.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(1300)).await;

    go.cancel();

    for mut client in clients {
        assert_status(&read_answer(&mut client).await.unwrap(), 200);
        assert_eq!(rest(&mut client).await, "");
    }
}

#[tokio::test]
async fn the_wait_for_a_next_request_begins_with_the_end_of_an_answer_though_nobody_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stream = listener.accept().await.unwrap().0;
    let client = Arc::new(Client::new(Ends::new([127, 0, 0, 1].into(), HeaderValue::from_static("80"), false)));
    let limits = Limits { keep_alive: Duration::from_millis(50), ..Proxy::new(Routes::new(None).unwrap()).limits };
    let mut io = ClientIo::new(ClientStream::Plain(stream), &limits, Arc::clone(&client));
    drop(client.open(Version::HTTP_11));

    // A task of its own, which nothing else wakes.
    let woken = TaskTracker::new().spawn(async move {
        let mut is_flushed = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut is_flushed, true) {
                return Poll::Ready(());
            }
            assert!(Pin::new(&mut io).poll_flush(cx).is_ready());
            Poll::Pending
        })
        .await;
        io
    });

    let mut io = timeout(PATIENCE, woken).await.expect("something wakes it").unwrap();
    assert_eq!(io.read(&mut [0]).await.unwrap(), 0, "as if the client had left");
}

#[tokio::test]
async fn a_head_that_is_malformed_or_too_large_is_refused_with_a_reason() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch(1, app.address);
    let large = format!("GET / HTTP/1.1\r\nhost: blog.localhost\r\nx: {}\r\n\r\n", "y".repeat(100 << 10));
    let cases = [("GET / HTTP/1.1\r\nhost blog\r\n\r\n", 400, "malformed"), (&large, 431, "too large"), ("P\r\n\r\n", 400, "malformed")];

    for (request, status, why) in cases {
        let answer = rig.talk(request).await;
        assert_status(&answer, status);
        assert!(answer.trim_end().ends_with(why) && answer.contains("connection: close"), "{answer}");
    }
    // After a good one on the same connection, too.
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    assert_status(&read_answer(&mut client).await.unwrap(), 200);
    client.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await;
    assert_status(&answer, 400);
    assert!(answer.ends_with("the request's head is malformed\n"), "{answer}");
}

#[tokio::test]
async fn a_method_that_begins_like_the_preface_is_none() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for part in ["P", "R", "OPFIND / HTTP/1.1\r\nhost: blog.localhost\r\n", "\r\n"] {
        client.write_all(part.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert_status(&read_answer(&mut client).await.unwrap(), 200);
}
