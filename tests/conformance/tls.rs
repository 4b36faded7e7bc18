//! Inside TLS: what is agreed on is spoken, the app knows of it, and an end that was not said is none.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ClientConfig, ConnectionTrafficSecrets, HandshakeKind};

use super::case::Clue::{self, Body, Line, No, Target};
use super::case::{Case, get, post, request, statuses};
use super::client::{Client, End};
use super::frames::{GET, PREFACE, SETTINGS, Verdict, WHOLE, frame, greet, headers, verdict};
use super::hello::{APPLICATION_DATA, HANDSHAKE, Hello, message, record};
use super::origin::{After, At, does, says};
use super::stage::Stage;
use super::tls_client::{TLS12, TLS13, config, connect, offering, shown};

pub fn cases() -> Vec<Case> {
    [requests(), protocols(), hosts(), confusion(), ends(), sessions()].into_iter().flatten().collect()
}

const HTTPS: Clue = Line("x-forwarded-proto: https");

fn requests() -> Vec<Case> {
    let in_bytes = |bytes: String| {
        move |stage: &Stage| {
            stage.begin(None);
            let mut client = offering(stage, "a.test", &[])?;
            let is_sent = bytes.bytes().all(|byte| client.send([byte]));
            client.read_to_end();
            is_sent.then_some(()).ok_or("it was not taken")?;
            arrived(stage, &client, &[HTTPS])
        }
    };
    vec![
        passes("TLS 1.3 is spoken, and the app knows of https", config(TLS13, &[]), get(""), &[HTTPS, Line("host: a.test")]),
        passes("TLS 1.2 is spoken, and the app knows of https", config(TLS12, &[]), get(""), &[HTTPS, Line("host: a.test")]),
        passes(
            "a client that claims http over https is not believed",
            usual(),
            get("X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: off\r\nForwarded: proto=http\r\nX-Forwarded-Port: 80"),
            &[HTTPS, No("x-forwarded-ssl"), No("forwarded")],
        ),
        passes(
            "a target of http over https stays https",
            usual(),
            request("GET http://a.test/case HTTP/1.1", "", ""),
            &[HTTPS, Target("/case")],
        ),
        passes("a body arrives", usual(), post("Content-Length: 3", "abc"), &[HTTPS, Body("abc")]),
        passes("chunks arrive", usual(), post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), &[HTTPS, Body("abc")]),
        Case::new("the app knows the port", |stage| {
            stage.begin(None);
            stage.talk_on(offering(stage, "a.test", &[])?, get("").as_bytes())?;
            let (sent, port) = (stage.sent()?, stage.https.port().to_string());
            let told = sent.first().map(|sent| sent.values("x-forwarded-port"));
            (told == Some(vec![&port])).then_some(()).ok_or_else(|| format!("{told:?} and not {port}"))
        }),
        Case::new("a head in records of a byte is a head", in_bytes(get("Connection: close"))),
        Case::new("a body in records of a byte is a body", in_bytes(post("Connection: close\r\nContent-Length: 3", "abc"))),
        refused("two lengths", post("Content-Length: 3\r\nContent-Length: 4", "abc")),
        refused(
            "a length and a coding of another name",
            post("Content-Length: 6\r\nTransfer-Encoding: xchunked", "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ),
        Case::new("a websocket goes both ways", |stage| {
            stage.begin(Some(does(At::Head, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
                After::Listen
            })));
            let mut client = offering(stage, "a.test", &[])?;
            client.send(get("Connection: Upgrade\r\nUpgrade: websocket"));
            client.read_until("hello").then_some(()).ok_or("no hello")?;
            client.send("from the client");
            stage.eventually("the client's word", |wires| wires.iter().any(|wire| wire.bytes.ends_with(b"from the client")))?;
            drop(client);
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))
        }),
    ]
}

/// Which protocol is agreed on is the one that is spoken (RFC 7301, RFC 9113 §3.2).
fn protocols() -> Vec<Case> {
    let agrees = |name: &str, offered: &'static [&'static str], wanted: Option<&'static str>| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let client = offering(stage, "a.test", offered)?;
            let agreed = client.tls.as_ref().and_then(|tls| tls.alpn_protocol()).map(|name| String::from_utf8_lossy(name).into_owned());
            (agreed.as_deref() == wanted).then_some(()).ok_or_else(|| format!("{agreed:?} was agreed on"))?;
            if wanted == Some("h2") {
                return over_http2(stage, client, &GET);
            }
            let outcome = stage.talk_on(client, get("").as_bytes())?;
            (statuses(&outcome.answers) == [200, 200]).then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))
        })
    };
    vec![
        agrees("HTTP/2 where both are offered", &["h2", "http/1.1"], Some("h2")),
        agrees("HTTP/2 where it is offered second", &["http/1.1", "h2"], Some("h2")),
        agrees("HTTP/2 alone", &["h2"], Some("h2")),
        agrees("HTTP/1.1 alone", &["http/1.1"], Some("http/1.1")),
        agrees("HTTP/1.1 where nothing is offered", &[], None),
        agrees("ours beside what nobody speaks", &["h3", "spdy/3", "http/1.1"], Some("http/1.1")),
        Case::new("a scheme of http over TLS stays https", |stage| over_http2(stage, offering(stage, "a.test", &["h2"])?, &GET)),
        Case::new("where HTTP/2 is agreed on, a request of HTTP/1.1 is none", |stage| {
            stage.begin(None);
            let mut client = offering(stage, "a.test", &["h2"])?;
            client.send(get("X: smuggled"));
            goes_nowhere(stage, &mut client)
        }),
        Case::new("where HTTP/1.1 is agreed on, a preface smuggles nothing", |stage| {
            stage.begin(None);
            let mut client = offering(stage, "a.test", &["http/1.1"])?;
            client.send([PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(WHOLE, 1, &GET)].concat());
            match (verdict(&mut client), &stage.sent()?[..]) {
                (Verdict::Status(200), [sent]) => HTTPS.hold_for(sent),
                (Verdict::Closed | Verdict::GoneAway(_), []) => Ok(()),
                (verdict, sent) => Err(format!("{verdict:?}, {sent:?}")),
            }
        }),
    ]
}

/// The handshake's name picks the certificate, the request's host the app.
fn hosts() -> Vec<Case> {
    let asks = |name: &str, handshake: &'static str, host: &'static str, certificate: Option<usize>, status: u16| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let client = offering(stage, handshake, &[])?;
            let seen = shown(&client).ok_or("nothing was shown")?;
            let which = stage.certificates.iter().position(|own| *own == seen);
            (which == certificate).then_some(()).ok_or_else(|| format!("certificate {which:?} was shown"))?;
            let outcome = stage.talk_on(client, get("").replace("a.test", host).as_bytes())?;
            let first = outcome.answers.first().map(|answer| answer.status);
            (first == Some(status)).then_some(()).ok_or_else(|| format!("{first:?}"))?;
            outcome.sent.iter().try_for_each(|sent| HTTPS.hold_for(sent))?;
            ((status == 200) == (outcome.sent.len() == 1)).then_some(()).ok_or_else(|| format!("{:?}", outcome.sent))
        })
    };
    vec![
        asks("a host of its certificate", "a.test", "a.test", Some(0), 200),
        asks("each host has its own", "other.test", "other.test", Some(1), 200),
        asks("a host with the port", "a.test", "A.test.:8443", Some(0), 200),
        asks("a host that the handshake did not name is served all the same", "a.test", "other.test", Some(0), 200),
        asks("a host without a certificate is served behind the stopgap", "xn--bcher-kva.test", "xn--bcher-kva.test", None, 200),
        asks("a handshake without a name is a word to the server, and its request to the host", "127.0.0.1", "a.test", None, 200),
        asks("a host of nobody is a 404", "a.test", "b.test", Some(0), 404),
        asks("a name of a wildcard without an app is a 404", "x.wild.test", "x.wild.test", Some(0), 404),
        asks("a malformed host is a 400", "a.test", "a..test", Some(0), 400),
        Case::new("a connection of HTTP/2 may ask for another host", |stage| {
            let other = GET.map(|field| if field.0 == ":authority" { (field.0, "other.test") } else { field });
            over_http2(stage, offering(stage, "a.test", &["h2"])?, &other)
        }),
    ]
}

/// Bytes below TLS, once it is spoken.
fn confusion() -> Vec<Case> {
    let below = |name: &str, versions, bytes: Vec<u8>| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let mut client = connect(stage, "a.test", &Arc::new(config(versions, &[])))?;
            client.again().send(&bytes);
            goes_nowhere(stage, &mut client)
        })
    };
    let clear = || get("X: smuggled").into_bytes();
    vec![
        below("a request in the clear behind a handshake of TLS 1.3", TLS13, clear()),
        below("a request in the clear behind a handshake of TLS 1.2", TLS12, clear()),
        below("data that nobody sealed", TLS13, record(APPLICATION_DATA, 0x0303, &[0x5a; 100])),
        below("data that nobody sealed, in TLS 1.2", TLS12, record(APPLICATION_DATA, 0x0303, &[0x5a; 100])),
        below("a record that is too long", TLS13, [&[APPLICATION_DATA, 3, 3, 0xff, 0xff][..], &[0; 20_000]].concat()),
        below("a second hello in the clear", TLS13, Hello::named("a.test").bytes()),
        below("a second hello in the clear, in TLS 1.2", TLS12, Hello::named("a.test").bytes()),
        below("a change of ciphers that comes late", TLS13, [20, 3, 3, 0, 1, 1].repeat(100)),
        below("an alert in the clear", TLS13, record(super::hello::ALERT, 0x0303, &[2, 40])),
        Case::new("renegotiation without end is ended", |stage| {
            stage.begin(None);
            let mut config = config(TLS12, &[]);
            config.enable_secret_extraction = true;
            let mut client = connect(stage, "a.test", &Arc::new(config))?;
            let secrets = client.tls.take().ok_or("no TLS")?.dangerous_extract_secrets().map_err(|err| err.to_string())?;
            let (first, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else { return Err("another suite".into()) };
            let hello = message(1, &Hello::named("a.test").message()[4..]);
            for number in first..first + 20 {
                client.send(sealed(HANDSHAKE, number, key.as_ref(), iv.as_ref(), &hello));
            }
            client.read_to_end();
            (!client.is_open()).then_some(()).ok_or_else(|| "it goes on".into())
        }),
    ]
}

fn ends() -> Vec<Case> {
    let leaves = |name: &str, bytes: String, leave: fn(&mut Client)| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let mut client = offering(stage, "a.test", &[])?;
            client.send(&bytes);
            stage.eventually("the body", |wires| wires.iter().any(|wire| wire.bytes.windows(3).any(|body| body == b"abc")))?;
            leave(&mut client);
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))?;
            stage.sent()?.is_empty().then_some(()).ok_or_else(|| "the app took it for whole".into())
        })
    };
    let without_a_word = |client: &mut Client| client.half_close();
    let seen = |name: &str, asked: String, answer: &'static str, after: After, wanted: End| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(Some(says(answer, after)));
            let mut client = offering(stage, "a.test", &[])?;
            client.send(&asked);
            let end = client.read_to_end();
            (end == wanted && client.bytes.windows(4).any(|body| body == b"some")).then_some(()).ok_or_else(|| format!("{end:?}"))
        })
    };
    let length = || post("Content-Length: 100", "abc");
    let chunks = || post("Transfer-Encoding: chunked", "3\r\nabc\r\n");
    let old = || request("GET /case HTTP/1.0", "", "");
    vec![
        leaves("a body of a length that ends without a word is never whole", length(), without_a_word),
        leaves("chunks that end without a word are never whole", chunks(), without_a_word),
        leaves("a body of a length that ends in good form is never whole", length(), Client::close_tls),
        leaves("chunks that end in good form are never whole", chunks(), Client::close_tls),
        leaves("a body that ends in the middle of a record is never whole", length(), |client| {
            client.again().send([APPLICATION_DATA, 3, 3, 0, 100, 1, 2, 3]);
            let _ = client.stream.shutdown(Shutdown::Both);
        }),
        seen(
            "an answer that ends with its connection ends in good form",
            old(),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome",
            After::Close,
            End::Closed,
        ),
        seen(
            "the last answer of a connection does so, too",
            get("Connection: close"),
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome",
            After::Keep,
            End::Closed,
        ),
        seen(
            "an answer that its app cut does not, where only the end could tell",
            old(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            After::Close,
            End::Reset,
        ),
        Case::new("a client that says its end behind its request is not left waiting", |stage| {
            stage.begin(None);
            let mut client = offering(stage, "a.test", &[])?;
            client.send(get(""));
            client.close_tls();
            let end = client.read_to_end();
            (end != End::Open).then_some(()).ok_or_else(|| "left open".into())
        }),
    ]
}

fn sessions() -> Vec<Case> {
    let resumes = |name: &str, versions| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let config = Arc::new(config(versions, &[]));
            let kinds = (0..6).map(|_| kind_of_visit(stage, &config)).collect::<Result<Vec<_>, _>>()?;
            let is_so = kinds[0] != Some(HandshakeKind::Resumed) && kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed));
            is_so.then_some(()).ok_or_else(|| format!("{kinds:?}"))
        })
    };
    vec![
        resumes("a session of TLS 1.3 resumes by its ticket, on whichever core", TLS13),
        resumes("a session of TLS 1.2 resumes by its ticket, on whichever core", TLS12),
        Case::new("nothing is taken ahead of a handshake, where it could be played again", |stage| {
            stage.begin(None);
            let mut config = config(TLS13, &[]);
            config.enable_early_data = true;
            let config = Arc::new(config);
            kind_of_visit(stage, &config)?;
            let mut next = super::tls_client::begin("a.test", &config);
            next.early_data().is_none().then_some(()).ok_or_else(|| "its ticket allows it".into())
        }),
        Case::new("keys that are renewed a hundred times within a request", |stage| {
            stage.begin(None);
            let mut client = connect(stage, "a.test", &Arc::new(config(TLS13, &[])))?;
            for byte in post("Content-Length: 100\r\nConnection: close", &"a".repeat(100)).bytes() {
                client.tls.iter_mut().try_for_each(|tls| tls.refresh_traffic_keys()).map_err(|err| err.to_string())?;
                client.send([byte]);
            }
            client.read_to_end();
            arrived(stage, &client, &[HTTPS])
        }),
    ]
}

fn usual() -> ClientConfig {
    config(rustls::DEFAULT_VERSIONS, &[])
}

/// As `case::passes`, over TLS.
fn passes(name: &str, config: ClientConfig, bytes: String, clues: &'static [Clue]) -> Case {
    let config = Arc::new(config);
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let outcome = stage.talk_on(connect(stage, "a.test", &config)?, bytes.as_bytes())?;
        (statuses(&outcome.answers).first() == Some(&200)).then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))?;
        let [sent] = &outcome.sent[..] else { return Err(format!("the origin got {:?}", outcome.sent)) };
        clues.iter().try_for_each(|clue| clue.hold_for(sent))
    })
}

/// As `case::refused` with a 400, over TLS.
fn refused(name: &str, bytes: String) -> Case {
    Case::new(format!("{name} is refused"), move |stage: &Stage| {
        stage.begin(None);
        let outcome = stage.talk_on(offering(stage, "a.test", &[])?, bytes.as_bytes())?;
        let is_so = statuses(&outcome.answers) == [400] && outcome.sent.is_empty() && outcome.end != End::Open;
        is_so.then_some(()).ok_or_else(|| format!("{:?}, the origin got {:?}", outcome.answers, outcome.sent))
    })
}

/// The app got one request, and its answer came.
fn arrived(stage: &Stage, client: &Client, clues: &[Clue]) -> Result<(), String> {
    let sent = stage.sent()?;
    let ([sent], [200]) = (&sent[..], &statuses(&client.answers())[..]) else { return Err(format!("{sent:?}, {:?}", client.answers())) };
    clues.iter().try_for_each(|clue| clue.hold_for(sent))
}

/// The connection ends and the app never got a request.
fn goes_nowhere(stage: &Stage, client: &mut Client) -> Result<(), String> {
    client.read_to_end();
    let sent = stage.sent()?;
    (!client.is_open() && sent.is_empty() && client.answers().iter().all(|answer| answer.status >= 400))
        .then_some(())
        .ok_or_else(|| format!("open: {}, the origin got {sent:?}", client.is_open()))
}

/// Asks over HTTP/2; the app knows of https.
fn over_http2(stage: &Stage, client: Client, fields: &[super::frames::Field<'_>]) -> Result<(), String> {
    stage.begin(None);
    let mut client = greet(client);
    client.send(headers(WHOLE, 1, fields));
    let verdict = verdict(&mut client);
    match (verdict, &stage.sent()?[..]) {
        (Verdict::Status(200), [sent]) => HTTPS.hold_for(sent),
        (verdict, sent) => Err(format!("{verdict:?}, {sent:?}")),
    }
}

/// Makes a handshake and a request; returns what kind of handshake it was.
fn kind_of_visit(stage: &Stage, config: &Arc<ClientConfig>) -> Result<Option<HandshakeKind>, String> {
    let mut client = connect(stage, "a.test", config)?;
    client.send(get("Connection: close"));
    client.read_to_end();
    let got = statuses(&client.answers());
    (got == [200]).then_some(()).ok_or_else(|| format!("{got:?}"))?;
    Ok(client.tls.and_then(|tls| tls.handshake_kind()))
}

/// Seals a record of TLS 1.2 with AES-GCM (RFC 5246 §6.2.3.3, RFC 5288 §3).
fn sealed(kind: u8, number: u64, key: &[u8], iv: &[u8], text: &[u8]) -> Vec<u8> {
    let explicit = number.to_be_bytes();
    let nonce = Nonce::try_assume_unique_for_key(&[&iv[..4], &explicit].concat()).unwrap();
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let about = [&explicit[..], &[kind, 3, 3], &length].concat();
    let mut sealed = text.to_vec();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    key.seal_in_place_append_tag(nonce, Aad::from(about), &mut sealed).unwrap();
    record(kind, 0x0303, &[&explicit[..], &sealed].concat())
}
