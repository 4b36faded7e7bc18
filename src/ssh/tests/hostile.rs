//! Peers that do not speak SSH, or not to its end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Door, PATIENCE};

/// Sends bytes and waits until the server hangs up.
async fn is_cut(door: &Door, bytes: &[u8]) -> Duration {
    let started = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    // The server may hang up in the middle of our words: both a reset and an end are its right.
    let _ = socket.write_all(bytes).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the server hangs up");
    started.elapsed()
}

#[tokio::test]
async fn what_is_not_ssh_is_cut_at_once() {
    let door = Door::open().await;
    let lines = "not a banner\r\n".repeat(10_000);
    let long = vec![b'A'; 1 << 20];

    for garbage in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), b"\0\0\0\0\xff\xff\n", lines.as_bytes(), &long] {
        assert!(is_cut(&door, garbage).await < Duration::from_secs(10));
    }
    door.assert_alive().await;
}

#[tokio::test]
async fn a_packet_of_four_gigabytes_is_not_waited_for() {
    let door = Door::open().await;

    let took = is_cut(&door, b"SSH-2.0-evil\r\n\xff\xff\xff\xff\x04AAAAAAAAAAAAAAAA").await;

    assert!(took < Duration::from_secs(10), "{took:?}");
    door.assert_alive().await;
}

#[tokio::test]
async fn silence_is_cut_at_the_login_deadline() {
    let door = Door::open_with(Duration::from_secs(2), Duration::from_secs(5)).await;

    let (silent, half) = tokio::join!(is_cut(&door, b""), is_cut(&door, b"SSH-2.0-slow\r\n"));

    for took in [silent, half] {
        assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    }
    door.assert_alive().await;
}

#[tokio::test]
async fn half_open_connections_of_one_address_give_their_seats_back() {
    let door = Door::open_with(Duration::from_secs(3), Duration::from_secs(5)).await;
    let mut half_open = Vec::new();
    for _ in 0..20 {
        half_open.push(TcpStream::connect(("127.0.0.1", door.port)).await.unwrap());
    }

    for mut socket in half_open {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("every one is cut");
    }

    door.assert_alive().await;
}

#[tokio::test]
async fn a_crowd_of_half_open_connections_from_elsewhere_delays_nobody() {
    let door = Door::open().await;
    let mut crowd = Vec::new();
    for _ in 0..500 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        crowd.push(socket.connect(([127, 0, 0, 1], door.port).into()).await.unwrap());
    }

    let started = Instant::now();
    door.assert_alive().await;

    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
