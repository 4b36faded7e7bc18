//! Requests that wait while nothing of their app answers for a moment.

use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn held_requests_are_answered_when_the_switch_comes() {
    let (rig, old, new) = (Rig::start().await, App::saying("old").await, App::saying("new").await);
    rig.switch(1, old.address);
    rig.routes.hold(&rig.id);
    let switch = async {
        eventually("three wait", || rig.waiting() == 3).await;
        rig.switch(2, new.address);
    };

    let (get, other, post, ()) = tokio::join!(rig.get("/"), rig.get("/"), rig.post("hello"), switch);

    for answer in [get, other, post] {
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("new"), "{answer}");
    }
    assert_eq!(old.connections(), 0);
    assert_eq!(rig.traffic(), Traffic { served: 3, failed: 0 });
    eventually("nobody waits", || rig.waiting() == 0).await;
}

#[tokio::test]
async fn a_held_websocket_opens_when_the_switch_comes() {
    let rig = Rig::start().await;
    let app = App::answering("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi").await;
    rig.routes.hold(&rig.id);
    let mut client = rig.connect().await;
    client.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    eventually("it waits", || rig.waiting() == 1).await;

    rig.switch(1, app.address);

    assert_status(&read_head(&mut client).await.unwrap(), 101);
    assert_eq!(read_bytes(&mut client, 2).await, "hi");
}

#[tokio::test]
async fn a_request_that_was_held_too_long_is_503() {
    let rig = Rig::start_with(|limits| limits.hold = SHORT).await;
    rig.routes.hold(&rig.id);

    let answer = rig.get("/").await;

    assert_status(&answer, 503);
    assert!(answer.contains("retry-after: 5") && answer.contains("blog has no running process"), "{answer}");
    assert_eq!(rig.traffic(), Traffic { served: 0, failed: 1 });
    assert_eq!(rig.waiting(), 0);
}

#[tokio::test]
async fn a_release_without_upstreams_holds_too() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch_to(1, &[]);
    let switch = async {
        eventually("it waits", || rig.waiting() == 1).await;
        rig.switch(1, app.address);
    };

    let (answer, ()) = tokio::join!(rig.get("/"), switch);

    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_crowd_beyond_the_bound_is_sent_away_at_once() {
    let (rig, app) = (Rig::start_with(|limits| limits.held = 2).await, App::saying("hello").await);
    rig.routes.hold(&rig.id);
    let crowd = async {
        eventually("two wait", || rig.waiting() == 2).await;
        let third = rig.get("/").await;
        rig.switch(1, app.address);
        third
    };

    let (first, second, third) = tokio::join!(rig.get("/"), rig.get("/"), crowd);

    assert!(first.ends_with("hello") && second.ends_with("hello"), "{first}\n{second}");
    assert_status(&third, 503);
    assert!(third.contains("retry-after: 5") && third.contains("too many requests wait"), "{third}");
    assert_eq!(rig.traffic(), Traffic { served: 2, failed: 1 });
}

#[tokio::test]
async fn a_client_that_leaves_makes_room() {
    let rig = Rig::start().await;
    rig.routes.hold(&rig.id);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("it waits", || rig.waiting() == 1).await;

    drop(client);

    eventually("it left", || rig.waiting() == 0).await;
    assert_eq!(rig.traffic(), Traffic::default());
}

#[tokio::test]
async fn a_stopping_server_sends_the_held_away_at_once() {
    let (rig, closed) = (Rig::start().await, Closed::new());
    rig.routes.hold(&rig.id);
    let mut held = rig.connect().await;
    held.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("it waits", || rig.waiting() == 1).await;
    rig.switch(1, closed.address());

    rig.shutdown.cancel();

    let answer = timeout(Duration::from_secs(5), rest(&mut held)).await.expect("a stop waits for no app");
    assert_status(&answer, 503);
    assert!(answer.contains("connection: close") && answer.contains("mini itself is restarting"), "{answer}");
    timeout(PATIENCE, rig.served).await.expect("the proxy returns").unwrap().unwrap();
}

#[tokio::test]
async fn who_is_stopped_or_removed_while_requests_wait_answers_them_at_once() {
    let rig = Rig::start().await;
    rig.routes.hold(&rig.id);
    let stop = async {
        eventually("it waits", || rig.waiting() == 1).await;
        rig.routes.set_down(&rig.id, "it was stopped");
    };
    let (stopped, ()) = tokio::join!(rig.get("/"), stop);
    rig.routes.set_up(&rig.id);
    let remove = async {
        eventually("it waits", || rig.waiting() == 1).await;
        rig.routes.remove_app(&rig.id);
    };

    let (removed, ()) = tokio::join!(rig.get("/"), remove);

    assert_status(&stopped, 503);
    assert!(stopped.contains("it was stopped"), "{stopped}");
    assert_status(&removed, 404);
}

#[tokio::test]
async fn while_all_upstreams_refuse_requests_wait_for_the_switch_and_hold_no_lease() {
    let (rig, closed, app) = (Rig::start().await, [Closed::new(), Closed::new()], App::saying("hello").await);
    let (drained, _) = rig.switch_to(1, &closed.each_ref().map(Closed::address));
    let switch = async {
        eventually("two wait", || rig.waiting() == 2).await;
        drop(rig.routes.hold(&rig.id));
        timeout(PATIENCE, drained.wait()).await.expect("who waits holds no lease");
        rig.switch(2, app.address);
    };

    let (get, post, ()) = tokio::join!(rig.get("/"), rig.post("hi"), switch);

    assert!(get.ends_with("hello") && post.ends_with("hello"), "{get}\n{post}");
    assert_eq!(rig.traffic(), Traffic { served: 2, failed: 0 });
}

#[tokio::test]
async fn an_upstream_that_is_back_answers_who_waited_without_a_switch() {
    let (rig, closed) = (Rig::start().await, Closed::new());
    rig.switch(1, closed.address());
    let come_back = async {
        eventually("twenty wait", || rig.waiting() == 20).await;
        App::saying_on(closed.open(), "back")
    };

    let (answers, _app) = tokio::join!(futures_util::future::join_all((0..20).map(|_| rig.post("hi"))), come_back);

    assert!(answers.iter().all(|answer| answer.ends_with("back")), "{answers:?}");
    assert_eq!(rig.traffic(), Traffic { served: 20, failed: 0 });
}

#[tokio::test]
async fn a_running_answer_goes_on_while_others_are_held() {
    let (rig, go) = (Rig::start().await, CancellationToken::new());
    let (old, new) = (App::waiting_for(&go, "old").await, App::saying("new").await);
    let (drained, _) = rig.switch(1, old.address);
    let mut running = rig.connect().await;
    running.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();
    eventually("the request arrives", || old.connections() == 1).await;

    assert!(rig.routes.hold(&rig.id).is_some_and(|lease| lease.is_retired()));
    let finish = async {
        eventually("another waits", || rig.waiting() == 1).await;
        assert!(!drained.is_drained());
        go.cancel();
        assert!(read_answer(&mut running).await.unwrap().ends_with("old"));
        timeout(PATIENCE, drained.wait()).await.expect("the last answer is complete");
        rig.switch(2, new.address);
    };

    let (held, ()) = tokio::join!(rig.get("/"), finish);
    assert!(held.ends_with("new"), "{held}");
}
