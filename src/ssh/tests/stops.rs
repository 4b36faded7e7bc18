//! How the server ends.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::{Door, PATIENCE, end_of, text};

const DRAIN: Duration = Duration::from_secs(3);

async fn stopped(door: &mut Door) -> Duration {
    let started = Instant::now();
    door.shutdown.cancel();
    tokio::time::timeout(PATIENCE, &mut door.served).await.expect("serve ends").unwrap();
    started.elapsed()
}

#[tokio::test]
async fn a_session_may_finish_within_the_drain() {
    let mut door = Door::open_with(PATIENCE, DRAIN).await;
    let sleep = door.start(&[], "sleep 1000");
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    let took = stopped(&mut door).await;
    let sleep = end_of(sleep).await;

    assert_eq!((text(&sleep.stdout), sleep.status.code()), ("slept\n", Some(0)), "{sleep:?}");
    assert!(took < DRAIN, "{took:?}");
}

#[tokio::test]
async fn a_session_that_goes_on_is_cut_after_the_drain() {
    let mut door = Door::open_with(PATIENCE, DRAIN).await;
    let wait = door.start(&[], "wait");
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    let took = stopped(&mut door).await;
    let wait = end_of(wait).await;

    assert_eq!(wait.status.code(), Some(255), "{wait:?}");
    assert_eq!(*door.desk.left.borrow(), 1, "the desk did not hear it");
    assert!((DRAIN..DRAIN + Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_server_with_half_open_clients_stops_at_once() {
    let mut door = Door::open_with(PATIENCE, DRAIN).await;
    let _silent = tokio::net::TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    door.assert_alive().await;

    let took = stopped(&mut door).await;

    assert!(took < DRAIN, "{took:?}");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", door.port)).await.is_err(), "it still accepts");
}

#[tokio::test]
async fn a_session_stuck_in_unread_input_is_cut_too() {
    let mut door = Door::open_with(PATIENCE, DRAIN).await;
    let mut wait = door.start(&[], "wait");
    let mut stdin = wait.stdin.take().unwrap();
    let flood = vec![b'y'; 64 << 20];
    let stuck = tokio::time::timeout(DRAIN, stdin.write_all(&flood)).await;
    assert!(stuck.is_err(), "the server took in 64 MiB that nobody reads");

    let took = stopped(&mut door).await;

    assert_eq!(*door.desk.left.borrow(), 1, "the desk did not hear it");
    assert!(took < DRAIN + Duration::from_secs(2), "{took:?}");
}
