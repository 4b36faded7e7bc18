//! What a client may have and how long it may take: each refusal says why.

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
