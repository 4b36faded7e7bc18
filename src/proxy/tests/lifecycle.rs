//! Releases that come and go under load, and the proxy's own end.

use super::*;

#[tokio::test]
async fn a_lease_ends_with_the_last_byte_and_an_idle_connection_is_none() {
    let (rig, app) = (Rig::start().await, App::saying("v1").await);
    let (drained, _) = rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    read_answer(&mut client).await.unwrap();

    let next = App::saying("v2").await;
    drop(rig.switch(2, next.address));

    timeout(PATIENCE, drained.wait()).await.expect("v1 is idle");
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.unwrap().ends_with("v2"));
}

#[tokio::test]
async fn a_running_answer_keeps_its_release() {
    let rig = Rig::start().await;
    let finish = CancellationToken::new();
    let go = finish.clone();
    let app = App::start(move |mut stream| {
        let go = go.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold").await.unwrap();
            go.cancelled().await;
            stream.write_all(b"end").await.unwrap();
        }
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    read_head(&mut client).await.unwrap();
    assert_eq!(read_bytes(&mut client, 3).await, "old");

    let next = App::saying("new").await;
    drop(rig.switch(2, next.address));

    assert!(rig.get("/").await.ends_with("new"));
    assert!(!drained.is_drained());
    finish.cancel();
    assert_eq!(read_bytes(&mut client, 3).await, "end");
    timeout(PATIENCE, drained.wait()).await.expect("the old answer is complete");
}

#[tokio::test]
async fn idle_connections_of_a_retired_release_are_closed_within_a_moment() {
    let rig = Rig::start().await;
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let app = App::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            while read_head(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    rig.switch(1, app.address);
    assert_status(&rig.get("/").await, 200);

    drop(rig.routes.remove_app(&rig.id));

    eventually("the idle connection is closed", || closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_under_load_fail_no_request_and_drain_every_release() {
    let rig = Rig::start().await;
    let apps = [App::saying("one").await, App::saying("two").await];
    let (mut drained, _) = rig.switch(1, apps[0].address);
    let stop = CancellationToken::new();
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (stop, address) = (stop.clone(), rig.address);
        load.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            let mut count = 0_u64;
            while !stop.is_cancelled() {
                client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
                let answer = read_answer(&mut client).await.unwrap();
                assert_status(&answer, 200);
                count += 1;
            }
            count
        });
    }

    for version in 2..12 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (next, replaced) = rig.switch(version, apps[version as usize % 2].address);
        drop(replaced);
        timeout(PATIENCE, drained.wait()).await.expect("the old release drains under load");
        drained = next;
    }
    stop.cancel();
    let served = load.join_all().await.into_iter().sum();

    assert_eq!(rig.traffic(), Traffic { served, failed: 0 });
    assert!(served > 100, "only {served} requests");
}

#[tokio::test]
async fn stopping_lets_a_running_request_finish_and_closes_idle_ones() {
    let rig = Rig::start().await;
    let finish = CancellationToken::new();
    let go = finish.clone();
    let app = App::start(move |mut stream| {
        let go = go.clone();
        async move {
            read_head(&mut stream).await;
            go.cancelled().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
        }
    })
    .await;
    rig.switch(1, app.address);
    let (mut busy, mut idle) = (rig.connect().await, rig.connect().await);
    busy.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("the request arrives", || app.connections() == 1).await;

    rig.shutdown.cancel();

    assert_eq!(rest(&mut idle).await, "");
    assert!(!rig.served.is_finished());
    finish.cancel();
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("done") && answer.contains("connection: close"), "{answer}");
    timeout(PATIENCE, rig.served).await.expect("the proxy returns").unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_answer_does_not_keep_others_out_while_stopping() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        if head.starts_with("GET /slow ") {
            std::future::pending::<()>().await;
        }
        stream.write_all(b"done").await.unwrap();
    })
    .await;
    rig.switch(1, app.address);
    let mut slow = rig.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    read_head(&mut slow).await.unwrap();

    rig.shutdown.cancel();

    // Longer than the last call of idle connections.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let answer = rig.get("/").await;
        assert!(answer.ends_with("done") && answer.contains("connection: close"), "{answer}");
    }
    drop(slow);
    timeout(PATIENCE, rig.served).await.expect("the slow one was all that it waited for").unwrap().unwrap();
}

#[tokio::test]
async fn stopping_cuts_what_does_not_finish_in_its_grace() {
    let rig = Rig::start_with(|limits| limits.grace = Duration::from_millis(500)).await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
        let _ = rest(&mut stream).await;
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    read_head(&mut client).await.unwrap();

    rig.shutdown.cancel();

    timeout(Duration::from_secs(5), rig.served).await.expect("the grace is bounded").unwrap().unwrap();
}

#[tokio::test]
async fn stopping_closes_websockets_at_once() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await.unwrap();
        let _ = rest(&mut stream).await;
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    assert_status(&read_head(&mut client).await.unwrap(), 101);

    rig.shutdown.cancel();

    timeout(Duration::from_secs(1), rig.served).await.expect("a websocket holds nobody up").unwrap().unwrap();
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_request_that_comes_on_an_accepted_connection_while_stopping_is_answered() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    assert_status(&rig.get("/").await, 200);

    rig.shutdown.cancel();
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();

    let answer = rest(&mut client).await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
    timeout(Duration::from_secs(1), rig.served).await.expect("nothing is left to do").unwrap().unwrap();
}
