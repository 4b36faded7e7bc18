//! A release at several addresses: who is asked, who is passed over, who is asked again.

use super::*;
use crate::route::{Seat, Tried};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n";

#[tokio::test]
async fn requests_spread_over_all_upstreams_by_what_is_in_flight() {
    let (rig, go) = (Rig::start().await, CancellationToken::new());
    let apps = [App::waiting_for(&go, "a").await, App::waiting_for(&go, "b").await, App::waiting_for(&go, "c").await];
    rig.switch_to(1, &apps.each_ref().map(|app| app.address));

    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = rig.connect().await;
        client.write_all(GET).await.unwrap();
        clients.push(client);
    }
    let counts = || apps.each_ref().map(App::connections);
    eventually("all requests arrive", || counts().iter().sum::<usize>() == 60).await;
    go.cancel();
    for client in &mut clients {
        assert_status(&read_answer(client).await.unwrap(), 200);
    }

    assert!(counts().iter().all(|count| (12..=28).contains(count)), "{:?}", counts());
    assert_eq!(rig.traffic(), Traffic { served: 60, failed: 0 });
}

#[tokio::test]
async fn a_busy_upstream_is_left_alone_while_another_is_idle() {
    let (rig, go) = (Rig::start().await, CancellationToken::new());
    let (busy, idle) = (App::waiting_for(&go, "slow").await, App::saying("quick").await);
    rig.switch_to(1, &[busy.address, idle.address]);
    let mut waiting = loop {
        let mut client = rig.connect().await;
        client.write_all(GET).await.unwrap();
        tokio::select! {
            answer = read_answer(&mut client) => assert!(answer.unwrap().ends_with("quick")),
            () = eventually("the busy one is asked", || busy.connections() == 1) => break client,
        }
    };

    for _ in 0..30 {
        assert!(rig.get("/").await.ends_with("quick"));
    }

    go.cancel();
    assert_eq!(busy.connections(), 1);
    assert!(read_answer(&mut waiting).await.unwrap().ends_with("slow"));
}

#[tokio::test]
async fn a_websocket_keeps_its_seat_until_it_ends() {
    let rig = Rig::start().await;
    let socket = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await.unwrap();
        let _ = rest(&mut stream).await;
    })
    .await;
    let (drained, _) = rig.switch(1, socket.address);
    let mut client = rig.connect().await;
    client.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    assert_status(&read_head(&mut client).await.unwrap(), 101);
    let lease = rig.lease();
    assert_eq!(lease.in_flight(), 1);

    drop(client);

    eventually("the seat is free", || lease.in_flight() == 0).await;
    drop(lease);
    drop(rig.routes.remove_app(&rig.id));
    timeout(PATIENCE, drained.wait()).await.expect("the tunnel is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_refuses_is_passed_over_and_no_request_fails() {
    let (rig, closed) = (Rig::start().await, Closed::new());
    let apps = [App::saying("ok").await, App::saying("ok").await];
    rig.switch_to(1, &[apps[0].address, closed.address(), apps[1].address]);

    let rounds = (0..100).map(|round| {
        let rig = &rig;
        async move { if round % 2 == 0 { rig.get("/").await } else { rig.post("hello").await } }
    });
    let answers = futures_util::future::join_all(rounds).await;

    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{answers:?}");
    assert_eq!(rig.traffic(), Traffic { served: 100, failed: 0 });
    // A second may be over: one request then looks whether it is back.
    assert!(seats_at(&rig.lease(), closed.address()) <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_dies_under_load_fails_no_get() {
    let rig = Rig::start().await;
    let (dying, staying) = (App::saying("ok").await, App::saying("ok").await);
    rig.switch_to(1, &[dying.address, staying.address]);
    let stop = CancellationToken::new();
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (stop, address) = (stop.clone(), rig.address);
        load.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            while !stop.is_cancelled() {
                client.write_all(GET).await.unwrap();
                assert_status(&read_answer(&mut client).await.unwrap(), 200);
            }
        });
    }
    eventually("both are asked", || dying.connections() > 0 && staying.connections() > 0).await;

    drop(dying);
    let before = rig.traffic().served;
    eventually("the other one answers", || rig.traffic().served > before + 200).await;
    stop.cancel();
    load.join_all().await;

    assert_eq!(rig.traffic().failed, 0);
}

#[tokio::test]
async fn an_upstream_that_is_back_is_asked_again_while_others_are_there() {
    let (rig, closed) = (Rig::start().await, Closed::new());
    let other = App::saying("other").await;
    rig.switch_to(1, &[closed.address(), other.address]);
    for _ in 0..10 {
        assert!(rig.get("/").await.ends_with("other"));
    }

    let back = App::saying_on(closed.open(), "back");

    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !rig.get("/").await.ends_with("back") {
        assert!(tokio::time::Instant::now() < deadline, "it is never asked again");
    }
    assert!((10..=30).contains(&seats_at(&rig.lease(), back.address)));
    assert_eq!(rig.traffic().failed, 0);
}

#[tokio::test]
async fn a_get_that_was_cut_before_its_answer_is_sent_once_more() {
    let (rig, seen) = (Rig::start().await, Arc::new(AtomicUsize::new(0)));
    let app = first_cut_then_saying("ok", &seen).await;
    rig.switch(1, app.address);

    assert_status(&rig.get("/").await, 200);

    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!(rig.traffic(), Traffic { served: 1, failed: 0 });
}

#[tokio::test]
async fn a_post_that_may_have_arrived_goes_nowhere_else() {
    let (rig, seen) = (Rig::start().await, Arc::new(AtomicUsize::new(0)));
    let apps = [first_cut_then_saying("ok", &seen).await, first_cut_then_saying("ok", &seen).await];
    rig.switch_to(1, &apps.each_ref().map(|app| app.address));

    assert_status(&rig.post("once").await, 502);

    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(rig.traffic(), Traffic { served: 0, failed: 1 });
}

#[tokio::test]
async fn generations_of_one_version_drain_each_by_itself() {
    let (rig, go) = (Rig::start().await, CancellationToken::new());
    let (slow, quick) = (App::waiting_for(&go, "slow").await, App::saying("quick").await);
    let (first, _) = rig.switch(7, slow.address);
    let mut client = rig.connect().await;
    client.write_all(GET).await.unwrap();
    eventually("the request arrives", || slow.connections() == 1).await;

    let (second, replaced) = rig.switch_to(7, &[slow.address, quick.address]);
    drop(replaced);
    let (third, replaced) = rig.switch(7, quick.address);
    drop(replaced);

    timeout(PATIENCE, second.wait()).await.expect("nothing was on the second");
    assert!(rig.get("/").await.ends_with("quick"));
    assert!(!first.is_drained() && !third.is_drained());
    go.cancel();
    assert!(read_answer(&mut client).await.unwrap().ends_with("slow"));
    timeout(PATIENCE, first.wait()).await.expect("the first has answered");
    assert!(!third.is_drained());
}

/// Returns how many of 40 requests at once would go to an address.
fn seats_at(lease: &Lease, address: SocketAddr) -> usize {
    let seats: Vec<_> = (0..40).filter_map(|_| Seat::take(lease, &mut Tried::default())).collect();
    seats.iter().filter(|seat| seat.address() == address).count()
}

/// An app that reads its first request and hangs up, and answers all others; `seen` counts requests.
async fn first_cut_then_saying(body: &'static str, seen: &Arc<AtomicUsize>) -> App {
    let seen = Arc::clone(seen);
    App::start(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            if read_whole(&mut stream).await.is_some() && seen.fetch_add(1, Ordering::SeqCst) > 0 {
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await
}
