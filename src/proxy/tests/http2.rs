//! HTTP/2 with clients and with apps, trailers, and what apps say ahead.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

type Upload = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A client that speaks HTTP/2 with prior knowledge, as `curl --http2-prior-knowledge` does.
struct Http2 {
    sender: SendRequest<Upload>,
    _tasks: JoinSet<()>,
}

impl Http2 {
    async fn to(address: SocketAddr) -> Http2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, conn) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(conn.await) });
        Http2 { sender, _tasks: tasks }
    }

    async fn get(&mut self, path: &str) -> Response<Incoming> {
        let request = Request::get(format!("http://blog.localhost{path}"));
        let (_, nothing) = tokio::sync::mpsc::channel(1);
        let answer = self.sender.send_request(request.body(upload(nothing)).unwrap());
        timeout(PATIENCE, answer).await.expect("an answer within patience").unwrap()
    }
}

fn upload(frames: tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, Infallible>>) -> Upload {
    StreamBody::new(ReceiverStream::new(frames))
}

async fn text(answer: Response<Incoming>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// An app that speaks HTTP/2 only: it echoes each frame and ends with a status in the trailers, as gRPC does.
async fn grpc_app() -> App {
    App::start(|stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.uri().authority().unwrap(), "blog.localhost");
            let te = request.headers().get("te").cloned();
            let frames = request.into_body().into_data_stream().map(|data| Ok::<_, Infallible>(Frame::data(data.unwrap())));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let whole = frames.chain(tokio_stream::once(Ok(Frame::trailers(trailers))));
            let mut answer = Response::new(StreamBody::new(whole));
            answer.headers_mut().extend(te.map(|te| (HeaderName::from_static("x-te"), te)));
            Ok::<_, Infallible>(answer)
        });
        let conn = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        let _ = conn.await;
    })
    .await
}

fn speak_http2_to_the_app(rig: &Rig) {
    rig.routes.set_edge(&rig.id, &Edge { protocol: Protocol::H2c, ..Edge::default() });
}

#[tokio::test]
async fn many_requests_share_a_clients_connection_and_the_app_sees_http_1() {
    let (rig, app) = (Rig::start().await, App::saying("hello").await);
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;

    for _ in 0..5 {
        let answer = client.get("/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(text(answer).await, "hello");
    }

    assert_eq!(app.connections(), 1);
    assert_eq!(rig.traffic(), Traffic { served: 5, failed: 0 });
}

#[tokio::test]
async fn an_app_sees_the_host_and_whole_cookies_of_an_http_2_request() {
    let (rig, app) = (Rig::start().await, App::echoing_heads().await);
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    let request = Request::get("http://BLOG.localhost:80/a?b=c").header("cookie", "a=1").header("cookie", "b=2");
    let (_, nothing) = tokio::sync::mpsc::channel(1);

    let answer = client.sender.send_request(request.body(upload(nothing)).unwrap()).await.unwrap();

    let head = text(answer).await;
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: blog.localhost:80\r\n") && head.contains("cookie: a=1; b=2\r\n"), "{head}");
}

#[tokio::test]
async fn a_slow_stream_holds_no_other_up_and_a_cut_answer_is_cut() {
    let rig = Rig::start().await;
    let app = App::start(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
        if head.starts_with("GET /slow ") {
            std::future::pending::<()>().await;
        }
        if !head.starts_with("GET /cut ") {
            stream.write_all(b"cd").await.unwrap();
        }
    })
    .await;
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;

    let _slow = client.get("/slow").await;

    assert_eq!(text(client.get("/").await).await, "abcd");
    assert!(client.get("/cut").await.into_body().collect().await.is_err());
    assert_eq!(text(client.get("/").await).await, "abcd");
}

#[tokio::test]
async fn an_app_that_speaks_http_2_streams_both_ways_and_ends_with_trailers() {
    let (rig, app) = (Rig::start().await, grpc_app().await);
    speak_http2_to_the_app(&rig);
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    let (frames, body) = tokio::sync::mpsc::channel(1);
    let request = Request::post("http://blog.localhost/echo.Echo/Both").header("te", "trailers").body(upload(body)).unwrap();

    let answer = timeout(PATIENCE, client.sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.headers()["x-te"], "trailers");
    let mut back = answer.into_body();
    for word in ["ping", "pong"] {
        frames.send(Ok(Frame::data(Bytes::from_static(word.as_bytes())))).await.unwrap();
        let frame = timeout(PATIENCE, back.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    drop(frames);
    let end = timeout(PATIENCE, back.frame()).await.unwrap().unwrap().unwrap();

    assert_eq!(end.into_trailers().unwrap()["grpc-status"], "0");
    assert_eq!(rig.traffic(), Traffic { served: 1, failed: 0 });
}

#[tokio::test]
async fn requests_share_an_apps_http_2_connection_and_a_switch_lets_it_go() {
    let (rig, app) = (Rig::start().await, grpc_app().await);
    speak_http2_to_the_app(&rig);
    let (drained, _) = rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status(), StatusCode::OK);
    }
    assert!(app.connections() <= 2, "one a core at most: {}", app.connections());

    let next = grpc_app().await;
    drop(rig.switch(2, next.address));

    timeout(PATIENCE, drained.wait()).await.expect("an idle connection is no lease");
    assert_eq!(client.get("/").await.status(), StatusCode::OK);
    assert_eq!(next.connections(), 1);
}

#[tokio::test]
async fn an_app_that_does_not_speak_http_2_is_an_honest_502() {
    let (rig, app) = (Rig::start().await, App::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await);
    speak_http2_to_the_app(&rig);
    rig.switch(1, app.address);

    assert_status(&rig.get("/").await, 502);
}

#[tokio::test]
async fn trailers_reach_who_asked_for_them() {
    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, host\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\nhost: evil\r\n\r\n";
    let (rig, app) = (Rig::start().await, App::answering(ANSWER).await);
    rig.switch(1, app.address);

    let without = rig.get("/").await;
    let with = rig.talk("GET / HTTP/1.1\r\nhost: blog.localhost\r\nte: trailers\r\nconnection: close, te\r\n\r\n").await;
    let mut client = Http2::to(rig.address).await;
    let http2 = client.get("/").await.into_body().collect().await.unwrap();

    assert!(without.ends_with("0\r\n\r\n") && !without.contains("x-sum"), "{without}");
    assert!(with.ends_with("0\r\nx-sum: 7\r\n\r\n") && !with.contains("evil"), "{with}");
    let trailers = http2.trailers().unwrap();
    assert!(trailers["x-sum"] == "7" && !trailers.contains_key("host"));
}

#[tokio::test]
async fn early_hints_arrive_before_the_answer() {
    let rig = Rig::start().await;
    let go = CancellationToken::new();
    let finish = go.clone();
    let app = App::start(move |mut stream| {
        let go = go.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await.unwrap();
            go.cancelled().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    rig.switch(1, app.address);
    let mut client = rig.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: blog.localhost\r\n\r\n").await.unwrap();

    assert_eq!(read_head(&mut client).await.unwrap(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    finish.cancel();

    assert!(read_answer(&mut client).await.unwrap().ends_with("ok"));
    let old = rig.talk("GET / HTTP/1.0\r\nhost: blog.localhost\r\n\r\n").await;
    assert!(old.ends_with("ok") && !old.contains("103"), "{old}");
}

#[tokio::test]
async fn stopping_ends_an_http_2_connection_after_its_answers() {
    let rig = Rig::start().await;
    let go = CancellationToken::new();
    let app = App::waiting_for(&go, "done").await;
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let request = Request::get("http://blog.localhost/").body(upload(nothing)).unwrap();
    let answer = client.sender.send_request(request);
    let serving = async {
        eventually("the request arrives", || app.connections() == 1).await;
        rig.shutdown.cancel();
        go.cancel();
    };

    let (answer, ()) = tokio::join!(timeout(PATIENCE, answer), serving);

    assert_eq!(text(answer.unwrap().unwrap()).await, "done");
    timeout(PATIENCE, rig.served).await.expect("nothing is left to do").unwrap().unwrap();
}

#[tokio::test]
async fn an_http_2_connection_without_requests_ends() {
    let rig = Rig::start_with(|limits| (limits.head, limits.keep_alive) = (Duration::from_millis(200), Duration::from_millis(200))).await;
    let app = App::saying("hello").await;
    rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    assert_eq!(text(client.get("/").await).await, "hello");

    eventually("the connection ends", || client.sender.is_closed()).await;
}

#[tokio::test]
async fn an_http_2_client_that_takes_nothing_is_cut() {
    let rig = Rig::start_with(|limits| limits.progress = Duration::from_millis(300)).await;
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        let block = vec![b'x'; 65536];
        while stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let (drained, _) = rig.switch(1, app.address);
    let mut client = Http2::to(rig.address).await;
    let _untaken = client.get("/").await;
    drop(rig.routes.remove_app(&rig.id));

    timeout(PATIENCE, drained.wait()).await.expect("the answer is given up");
}
