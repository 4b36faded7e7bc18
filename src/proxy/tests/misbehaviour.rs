//! Peers that close, stall, lie or leave.

use super::*;

#[tokio::test]
async fn gets_survive_an_app_that_closes_its_idle_connections() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        // Keep-alive was promised; the next request is read and the connection closed under it.
        read_head(&mut stream).await;
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for _ in 0..10 {
        client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut client).await.unwrap();
        assert_status(&answer, 200);
    }
    assert_eq!(rig.traffic(), Traffic { served: 10, failed: 0 });
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let rig = Rig::start().await;
    let posts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&posts);
    let app = App::start(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            if read_head(&mut stream).await.is_some() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    read_answer(&mut client).await.unwrap();

    client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 0\r\n\r\n").await.unwrap();

    assert_status(&read_answer(&mut client).await.unwrap(), 502);
    assert_eq!(posts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_post_after_an_idle_close_goes_to_a_fresh_connection() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;

    for _ in 0..10 {
        client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        assert_status(&read_answer(&mut client).await.unwrap(), 200);
        // The app's close is on its way; it has arrived when the next request comes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cut_answer_is_cut_for_the_client_too() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let (drained, _) = rig.switch(1, app.address);

    let answer = rig.get("/").await;

    assert!(answer.ends_with("half") && answer.contains("content-length: 100"), "{answer}");
    assert_eq!(rig.traffic(), Traffic { served: 0, failed: 1 });
    rig.routes.remove_app(&rig.id);
    timeout(PATIENCE, drained.wait()).await.expect("a cut answer holds no lease");
}

#[tokio::test]
async fn an_app_that_does_not_speak_http_is_502() {
    let rig = Rig::start().await;
    let app = App::answering("SSH-2.0-nonsense\r\n\r\n").await;
    rig.switch(1, app.address);

    assert_status(&rig.get("/").await, 502);
}

#[tokio::test]
async fn when_the_client_leaves_the_apps_connection_is_closed() {
    let rig = Rig::start().await;
    let hung_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hung_up);
    let app = App::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            let _ = rest(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("the request arrives", || app.connections() == 1).await;

    drop(client);

    eventually("the app is told", || hung_up.load(Ordering::SeqCst) == 1).await;
    rig.routes.remove_app(&rig.id);
    timeout(PATIENCE, drained.wait()).await.expect("nobody waits for the answer");
    assert_eq!(rig.traffic(), Traffic::default());
}

#[tokio::test]
async fn a_client_that_owes_its_body_is_cut_with_408() {
    let rig = Rig::start_with(|limits| limits.progress = Duration::from_millis(100)).await;
    let app = App::start(|mut stream| async move {
        let _ = rest(&mut stream).await;
    })
    .await;
    rig.switch(1, app.address);

    let answer = rig.talk("POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 10\r\n\r\nabc").await;

    assert_status(&answer, 408);
    assert_eq!(rig.traffic(), Traffic::default());
}

#[tokio::test]
async fn a_malformed_upload_is_the_clients_400() {
    let (rig, app) = (Rig::start().await, App::start(|mut stream| async move { drop(rest(&mut stream).await) }).await);
    rig.switch(1, app.address);

    let answer = rig.talk("POST / HTTP/1.1\r\nhost: blog.localhost\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n").await;

    assert_status(&answer, 400);
    assert_eq!(rig.traffic(), Traffic::default());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let rig = Rig::start_with(|limits| limits.progress = Duration::from_millis(200)).await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("the request arrives", || app.connections() == 1).await;

    rig.routes.remove_app(&rig.id);

    timeout(PATIENCE, drained.wait()).await.expect("an unread answer is given up");
}

#[tokio::test]
async fn the_first_byte_is_owed_only_once_the_upload_is_over() {
    let rig = Rig::start().await;
    rig.expect_first_byte_within(Duration::from_millis(300));
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        read_bytes(&mut stream, 10).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 10\r\n\r\n").await.unwrap();

    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        client.write_all(b"x").await.unwrap();
    }

    assert_status(&read_head(&mut client).await.unwrap(), 200);
}

#[tokio::test]
async fn an_app_that_takes_no_byte_of_an_upload_is_504() {
    let rig = Rig::start().await;
    rig.expect_first_byte_within(Duration::from_millis(200));
    let app = App::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: blog.localhost\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
    let (mut reading, mut writing) = client.split();
    let upload = async { while writing.write_all(&[b'x'; 8192]).await.is_ok() {} };

    let mut answer = [0; 12];
    tokio::select! {
        read = timeout(PATIENCE, reading.read_exact(&mut answer)) => drop(read.expect("an answer within patience").unwrap()),
        () = upload => panic!("the client was cut without an answer"),
    }

    assert_eq!(&answer, b"HTTP/1.1 504");
}
