//! HTTPS: who is shown which certificate, what is agreed on, and clients that never come to an end.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::route::Certificate;
use crate::route::testing::certificate;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n";

/// `blog` at `example.com`, with a certificate.
async fn rig(app: &App) -> (Rig, Certificate) {
    let rig = Rig::start_with(|limits| limits.handshake = Duration::from_millis(500)).await;
    rig.switch(1, app.address);
    rig.routes.set_domains(&rig.id, &["example.com".parse().unwrap()]);
    let own = certificate(&["example.com"]);
    rig.routes.certificates().publish(vec![("example.com".into(), own.clone())]);
    (rig, own)
}

fn connector(trusted: &Certificate, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.key().cert[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(rig: &Rig, name: &'static str, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(rig.https).await.unwrap();
    timeout(PATIENCE, connector.connect(ServerName::try_from(name).unwrap(), stream)).await.expect("a handshake within patience")
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the end within patience");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_domain_is_served_with_its_certificate_and_the_app_knows() {
    let app = App::echoing_heads().await;
    let (rig, own) = rig(&app).await;

    let mut stream = connect(&rig, "example.com", &connector(&own, &[])).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let answer = read_all(&mut stream).await;

    assert_status(&answer, 200);
    assert!(answer.contains("x-forwarded-proto: https\r\n"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake_and_a_session_resumes() {
    let app = App::saying("hello").await;
    let (rig, old) = rig(&app).await;
    let to_old = connector(&old, &[]);
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    for resumes in [false, true] {
        let mut stream = connect(&rig, "example.com", &to_old).await.unwrap();
        stream.write_all(GET).await.unwrap();
        assert!(read_all(&mut stream).await.ends_with("hello"));
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, resumes, "{kind:?}");
    }

    let new = certificate(&["example.com"]);
    rig.routes.certificates().publish(vec![("example.com".into(), new.clone())]);

    let stream = connect(&rig, "example.com", &connector(&new, &[])).await.unwrap();
    assert_eq!(shown(&stream), new.key().cert[0]);
}

#[tokio::test]
async fn http_2_is_agreed_on_and_plain_clients_get_http_1() {
    let app = App::saying("hello").await;
    let (rig, own) = rig(&app).await;

    let stream = connect(&rig, "example.com", &connector(&own, &["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, conn) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(conn.await) });
    let request = hyper::Request::get("https://example.com/").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    assert_eq!(timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap().status(), 200);

    let stream = connect(&rig, "example.com", &connector(&own, &["http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn a_websocket_goes_over_tls() {
    let app = App::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    })
    .await;
    let (rig, own) = rig(&app).await;
    let mut stream = connect(&rig, "example.com", &connector(&own, &[])).await.unwrap();
    stream.write_all(WEBSOCKET.replace("blog.localhost", "example.com").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));

    let sent = vec![b'x'; 300_000];
    let mut back = vec![0; sent.len()];
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (_, read) = tokio::join!(writing.write_all(&sent), timeout(PATIENCE, reading.read_exact(&mut back)));

    read.unwrap().unwrap();
    assert!(back == sent);
}

#[tokio::test]
async fn own_names_have_a_stopgap_and_strange_ones_are_not_recognized() {
    let app = App::saying("hello").await;
    let (rig, own) = rig(&app).await;
    let connector = connector(&own, &[]);

    let untrusted = connect(&rig, "blog.localhost", &connector).await.unwrap_err();
    let unknown = connect(&rig, "example.org", &connector).await.unwrap_err();

    assert!(untrusted.to_string().contains("invalid peer certificate"), "{untrusted}");
    assert!(unknown.to_string().contains("UnrecognizedName") || unknown.to_string().contains("UnrecognisedName"), "{unknown}");
}

#[tokio::test]
async fn an_authority_sees_its_proof_and_nothing_else() {
    let app = App::saying("hello").await;
    let (rig, _) = rig(&app).await;
    let proof = certificate(&["example.com"]);
    let connector = connector(&proof, &["acme-tls/1"]);
    assert!(connect(&rig, "example.com", &connector).await.is_err(), "nothing was ordered");

    rig.routes.certificates().set_challenge("example.com", proof);
    let mut stream = connect(&rig, "example.com", &connector).await.unwrap();

    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
    let _ = stream.write_all(GET).await;
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_proof_over_http_is_found_on_any_host_and_other_paths_stay_the_apps() {
    let (rig, app) = (Rig::start().await, App::saying("the app's own").await);
    rig.switch(1, app.address);
    rig.routes.certificates().set_token("token", "token.print");

    assert!(rig.get("/.well-known/acme-challenge/token").await.ends_with("token.print"));
    assert!(rig.get("/.well-known/acme-challenge/other").await.ends_with("the app's own"));
    let elsewhere = rig.talk("GET /.well-known/acme-challenge/token HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n").await;
    assert!(elsewhere.ends_with("token.print"), "{elsewhere}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_and_one_in_small_pieces_is_made() {
    let app = App::saying("hello").await;
    let (rig, own) = rig(&app).await;
    let mut silent = TcpStream::connect(rig.https).await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");

    let mut plain = TcpStream::connect(rig.https).await.unwrap();
    plain.write_all(GET).await.unwrap();
    assert!(!read_all(&mut plain).await.contains("HTTP"));

    let (near, far) = tokio::io::duplex(1);
    let mut wire = TcpStream::connect(rig.https).await.unwrap();
    let trickle = async move {
        let mut far = far;
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut far, &mut wire, 1, 1024).await;
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(trickle);
    let name = ServerName::try_from("example.com").unwrap();
    let connected = timeout(PATIENCE, connector(&own, &[]).connect(name, near)).await.unwrap();
    assert!(connected.is_ok(), "{:?}", connected.err());
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_not_shown() {
    let app = App::saying("hello").await;
    let (rig, _) = rig(&app).await;
    let mut ended = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
    ended.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let ended = Certificate::parse(&ended.self_signed(&key).unwrap().pem(), &key.serialize_pem()).unwrap();
    rig.routes.certificates().publish(vec![("example.com".into(), ended.clone())]);

    assert!(ended.has_ended() && !rig.routes.certificates().has(&"example.com".parse().unwrap()));
    let refused = connect(&rig, "example.com", &connector(&ended, &[])).await.unwrap_err();
    // It would be "Expired" for the certificate itself.
    assert!(refused.to_string().contains("invalid peer certificate") && !refused.to_string().contains("xpired"), "{refused}");
}
