//! Bytes that keep coming: uploads, answers, events, websockets.

use super::*;

#[tokio::test]
async fn an_upload_streams_while_it_is_sent_and_so_does_its_answer() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for _ in 0..3 {
            let word = read_bytes(&mut stream, 4).await;
            stream.write_all(format!("4\r\n{word}\r\n").as_bytes()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 12\r\n\r\n").await.unwrap();

    for (index, word) in ["ping", "pang", "pong"].into_iter().enumerate() {
        client.write_all(word.as_bytes()).await.unwrap();
        if index == 0 {
            assert_status(&read_head(&mut client).await.unwrap(), 200);
        }
        assert_eq!(read_bytes(&mut client, 9).await, format!("4\r\n{word}\r\n"));
    }
    assert_eq!(read_bytes(&mut client, 5).await, "0\r\n\r\n");
    assert_eq!(rig.traffic(), Traffic { served: 1, failed: 0 });
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_both_directions() {
    const SIZE: usize = 5_000_000;
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        let body = read_bytes(&mut stream, SIZE).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    rig.switch(1, app.address);
    let body: String = ('a'..='z').cycle().take(SIZE).collect();

    let answer =
        rig.talk(&format!("POST / HTTP/1.1\r\nhost: blog.localhost\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n{body}")).await;

    assert!(answer.ends_with(&body) && answer.len() < SIZE + 500);
}

#[tokio::test]
async fn silence_after_the_head_has_no_limit() {
    let rig = Rig::start_with(|limits| limits.progress = Duration::from_millis(50)).await;
    rig.expect_first_byte_within(Duration::from_millis(50));
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(b"data: 2\n\n").await.unwrap();
    })
    .await;
    rig.switch(1, app.address);

    let answer = rig.get("/").await;

    assert!(answer.contains("data: 1\n\n") && answer.contains("data: 2\n\n"), "{answer}");
}

#[tokio::test]
async fn an_early_answer_to_a_large_upload_arrives_and_nothing_of_the_upload_is_taken_for_a_request() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig").await;
    rig.switch(1, app.address);

    for _ in 0..5 {
        let mut client = rig.connect().await;
        client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 8000000\r\n\r\n").await.unwrap();
        let chunk = "GET /smuggled HTTP/1.1\r\nhost: blog.localhost\r\n\r\n".repeat(2_000);
        let (mut reading, mut writing) = client.split();
        let mut answer = String::new();
        let upload = async {
            for _ in 0..80 {
                if writing.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        let (_, read) = tokio::join!(timeout(PATIENCE, upload), timeout(PATIENCE, reading.read_to_string(&mut answer)));
        assert!(read.is_ok(), "the connection was not closed");
        assert_status(&answer, 413);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_websocket_echoes_and_holds_its_lease_until_it_ends() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi").await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(WEBSOCKET.as_bytes()).await.unwrap();

    let head = read_head(&mut client).await.unwrap();
    assert_status(&head, 101);
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
    assert_eq!(read_bytes(&mut client, 2).await, "hi");
    client.write_all(b"echo").await.unwrap();
    assert_eq!(read_bytes(&mut client, 4).await, "echo");

    rig.routes.remove_app(&rig.id);
    assert!(!drained.is_drained());
    drop(client);
    timeout(PATIENCE, drained.wait()).await.expect("the tunnel is over");
}

#[tokio::test]
async fn without_a_101_there_is_no_tunnel() {
    let (rig, app) = (Rig::start().await, App::saying("no").await);
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    client.write_all(format!("{WEBSOCKET}GET /next HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").as_bytes()).await.unwrap();

    for _ in 0..2 {
        let answer = read_answer(&mut client).await.unwrap();
        assert_status(&answer, 200);
    }
    assert_eq!(rig.traffic().served, 2);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
    rig.switch(1, app.address);

    assert_status(&rig.get("/").await, 502);
}

#[tokio::test]
async fn a_client_that_expects_a_continue_gets_it_and_the_app_does_not() {
    let (rig, app) = (Rig::start().await, App::echoing_heads().await);
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();

    assert_status(&read_head(&mut client).await.unwrap(), 100);
    client.write_all(b"ok").await.unwrap();

    let answer = read_answer(&mut client).await.unwrap();
    assert_status(&answer, 200);
    assert!(!answer.contains("expect"), "{answer}");
}
