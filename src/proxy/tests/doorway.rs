//! Requests to the server itself, which go through the doorway.

use tokio::io::DuplexStream;

use super::*;
use crate::route::{Arrivals, Doorway};

async fn rig() -> (Rig, Arrivals) {
    let (doorway, arrivals) = Doorway::new();
    let rig = Rig::start_before(Some(doorway), |_| {}).await;
    (rig, arrivals)
}

/// Takes one request in, up to the end of its head.
async fn arrival(arrivals: &mut Arrivals) -> (String, DuplexStream) {
    let mut stream = timeout(PATIENCE, arrivals.recv()).await.unwrap().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

#[tokio::test]
async fn the_api_sees_who_asks_and_may_take_its_time() {
    let (rig, mut arrivals) = rig().await;
    let request = "POST /v1/apps?x=1 HTTP/1.1\r\nhost: mini.localhost\r\nx-forwarded-for: 6.6.6.6\r\n\
                   content-length: 2\r\nconnection: close\r\n\r\nhi";
    let api = async {
        let (head, mut stream) = arrival(&mut arrivals).await;
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
        (head, body)
    };

    let (answer, (head, body)) = tokio::join!(rig.talk(request), api);

    assert_status(&answer, 200);
    assert!(answer.ends_with("done"), "{answer}");
    assert!(head.starts_with("POST /v1/apps?x=1 HTTP/1.1\r\n") && head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(!head.contains("6.6.6.6") && head.contains("x-request-id: "), "{head}");
    assert_eq!(&body, b"hi");
}

#[tokio::test]
async fn both_directions_stream_and_a_client_that_leaves_is_noticed() {
    let (rig, mut arrivals) = rig().await;
    let mut client = rig.connect().await;
    client.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let (_, mut api) = arrival(&mut arrivals).await;
    let mut chunk = [0; 8];
    timeout(PATIENCE, api.read_exact(&mut chunk)).await.unwrap().unwrap();
    assert_eq!(&chunk, b"3\r\none\r\n");

    api.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nback\r\n").await.unwrap();
    read_head(&mut client).await.unwrap();
    assert_eq!(read_bytes(&mut client, 9).await, "4\r\nback\r\n");
    drop(client);

    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, api.read_to_end(&mut rest)).await.expect("the stream ends when the client leaves");
}

#[tokio::test]
async fn the_welcome_page_and_other_paths_stay_with_the_proxy() {
    let (rig, mut arrivals) = rig().await;

    assert_status(&rig.talk("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await, 200);
    assert_status(&rig.talk("GET /v2 HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await, 404);
    assert_status(&rig.talk("GET /v1/apps HTTP/1.1\r\nhost: blog.localhost\r\nconnection: close\r\n\r\n").await, 503);

    assert!(timeout(Duration::from_millis(50), arrivals.recv()).await.is_err(), "one of them went through the doorway");
}

#[tokio::test]
async fn a_closed_door_is_an_honest_503() {
    let (rig, arrivals) = rig().await;
    drop(arrivals);

    let answer = rig.talk("GET /v1/server HTTP/1.1\r\nhost: 127.0.0.1\r\nx-request-id: abc\r\nconnection: close\r\n\r\n").await;

    assert_status(&answer, 503);
    for part in ["retry-after: 5\r\n", "x-request-id: abc\r\n", "application/problem+json", "mini is restarting"] {
        assert!(answer.contains(part), "{answer}");
    }
}
