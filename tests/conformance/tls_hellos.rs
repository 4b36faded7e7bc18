//! Handshakes in bytes: who is shown which certificate, what is refused, and hellos that are slow, broken or none. Played before a proxy
//! whose patience is a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::Case;
use super::client::Client;
use super::hello::{
    ALPN, APPLICATION_DATA, HANDSHAKE, HOST_NAME, Hello, SERVER_NAME, SESSION_TICKET, SUPPORTED_VERSIONS, Word, message, names, protocols,
    read_flight, record, tiny, word,
};
use super::judge::find;
use super::stage::Stage;
use super::tls_client::{begin, config, offering};

const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The proxy's patience, and then some.
const LATE: Duration = Duration::from_secs(4);

/// Which certificate is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// The one with this number.
    Own(usize),
    /// None of a host's own.
    Stopgap,
}

pub fn cases() -> Vec<Case> {
    [versions(), names_asked_for(), offers(), pieces(), broken(), slow()].into_iter().flatten().collect()
}

fn versions() -> Vec<Case> {
    let of = |version| Hello { version, ..Hello::named("a.test") };
    vec![
        refused("SSL 3.0", PROTOCOL_VERSION, &of(0x0300)),
        refused("TLS 1.0", PROTOCOL_VERSION, &of(0x0301)),
        refused("TLS 1.1", PROTOCOL_VERSION, &of(0x0302)),
        refused("TLS 1.1 by its extension alone", PROTOCOL_VERSION, &Hello::named("a.test").with(SUPPORTED_VERSIONS, tiny(&[3, 2]))),
        refused("a version of the future alone", PROTOCOL_VERSION, &Hello::named("a.test").with(SUPPORTED_VERSIONS, tiny(&[3, 9]))),
        taken("a version of the future beside TLS 1.2", &Hello::named("a.test").with(SUPPORTED_VERSIONS, tiny(&[3, 9, 3, 3]))),
        taken("a hello that says a later version without the extension", &of(0x0399)),
        ends("a hello of SSL 2.0", [&[0x80, 0x2e, 1, 3, 0, 0, 21, 0, 0, 0, 16][..], &[7; 37]].concat()),
        refused("suites that nobody should use", HANDSHAKE_FAILURE, &Hello { suites: vec![0x0005, 0x000a, 0x002f], ..of(0x0303) }),
        refused("suites without a certificate", HANDSHAKE_FAILURE, &Hello { suites: vec![0xc018, 0x0034], ..of(0x0303) }),
        refused_somehow("no suite at all", &Hello { suites: Vec::new(), ..of(0x0303) }.bytes()),
        refused_somehow("compression that cannot be left out", &Hello { compressions: vec![1], ..of(0x0303) }.bytes()),
        taken("compression that can", &Hello { compressions: vec![1, 0], ..of(0x0303) }),
    ]
}

fn names_asked_for() -> Vec<Case> {
    let asks = |names_asked: &[(u8, &str)]| Hello::new().with(SERVER_NAME, names(names_asked));
    vec![
        shows("a known name", Shown::Own(0), &Hello::named("a.test")),
        shows("another known name", Shown::Own(1), &Hello::named("other.test")),
        shows("a name in capitals", Shown::Own(0), &Hello::named("A.TEST")),
        shows("a name that a wildcard stands for", Shown::Own(0), &Hello::named("x.wild.test")),
        shows("a host without a certificate", Shown::Stopgap, &Hello::named("dead.test")),
        shows("no name", Shown::Stopgap, &Hello::new()),
        shows("an address for a name", Shown::Stopgap, &Hello::named("127.0.0.1")),
        refused("a name of nobody", UNRECOGNIZED_NAME, &Hello::named("b.test")),
        refused("a name below a known one", UNRECOGNIZED_NAME, &Hello::named("x.a.test")),
        refused("a name two labels below a wildcard", UNRECOGNIZED_NAME, &Hello::named("x.y.wild.test")),
        refused("a wildcard itself", UNRECOGNIZED_NAME, &Hello::named("wild.test")),
        refused_somehow("a star for a name", &Hello::named("*.wild.test").bytes()),
        refused_somehow("an empty name", &Hello::named("").bytes()),
        refused_somehow("a name with a blank", &Hello::named("a test").bytes()),
        refused_somehow("a name with a NUL", &Hello::named("a.test\0.evil.test").bytes()),
        refused_somehow("a name with a line break", &Hello::named("a.test\r\nX: y").bytes()),
        refused_somehow("a name of 300 letters", &Hello::named(&"a".repeat(300)).bytes()),
        refused_somehow("two names", &asks(&[(HOST_NAME, "a.test"), (HOST_NAME, "other.test")]).bytes()),
        refused_somehow("a list of no names", &asks(&[]).bytes()),
        refused_somehow("two lists of names", &Hello::named("a.test").with(SERVER_NAME, names(&[(HOST_NAME, "other.test")])).bytes()),
        refused_somehow("a list that is longer than it says", &Hello::new().with(SERVER_NAME, vec![0, 9, 0, 0, 1, b'a']).bytes()),
    ]
}

fn offers() -> Vec<Case> {
    let offers = |offered: &[&str]| Hello::named("a.test").with(ALPN, protocols(offered));
    vec![
        refused("only a protocol that nobody speaks", NO_APPLICATION_PROTOCOL, &offers(&["spdy/3"])),
        refused("only a protocol in capitals", NO_APPLICATION_PROTOCOL, &offers(&["H2", "HTTP/1.1"])),
        taken("a protocol that nobody speaks beside one of ours", &offers(&["spdy/3", "http/1.1"])),
        taken("an authority's protocol beside one of ours", &offers(&["acme-tls/1", "http/1.1"])),
        refused_somehow("an authority's protocol where none is expected", &offers(&["acme-tls/1"]).bytes()),
        refused_somehow("an empty protocol", &offers(&[""]).bytes()),
        refused_somehow("an empty list of protocols", &offers(&[]).bytes()),
        taken("a ticket that is none", &Hello::named("a.test").with(SESSION_TICKET, vec![9; 200])),
        taken("an extension that is unknown", &Hello::named("a.test").with(0x5a5a, vec![1; 100])),
        refused_somehow("an extension twice", &Hello::named("a.test").with(0x5a5a, vec![]).with(0x5a5a, vec![]).bytes()),
    ]
}

/// Records are no messages: how a hello is cut must not matter.
fn pieces() -> Vec<Case> {
    let in_records = |size: usize| {
        let message = Hello::named("a.test").message();
        message.chunks(size).flat_map(|piece| record(HANDSHAKE, 0x0301, piece)).collect::<Vec<u8>>()
    };
    vec![
        Case::new("a hello byte by byte, in time, is a hello", |stage| {
            stage.begin(None);
            let mut client = stage.connect_https();
            client.drip(Hello::named("a.test").bytes(), Duration::from_millis(1));
            is_word(&mut client, |word| word == Word::Hello)
        }),
        says("a hello in two records", in_records(40), |word| word == Word::Hello),
        says("a hello in records of a byte", in_records(1), |word| word == Word::Hello),
        refused_somehow("an empty record of a handshake", &[record(HANDSHAKE, 0x0301, &[]), in_records(1000)].concat()),
        says("a hello that fills its record", Hello::named("a.test").with(0x5a5a, vec![0; 16_000]).bytes(), |word| word == Word::Hello),
        bounded("a hello of 48 KiB", || {
            let message = Hello::named("a.test").with(0x5a5a, vec![0; 48 << 10]).message();
            message.chunks(16 << 10).flat_map(|piece| record(HANDSHAKE, 0x0301, piece)).collect()
        }),
        bounded("a hello that says 16 MiB", || {
            let mut message = message(1, &vec![3; 1 << 20]);
            message[1..4].fill(0xff);
            message.chunks(16 << 10).flat_map(|piece| record(HANDSHAKE, 0x0301, piece)).collect()
        }),
    ]
}

fn broken() -> Vec<Case> {
    fn hello() -> Vec<u8> {
        Hello::named("a.test").bytes()
    }
    vec![
        ends("a request in the clear", b"GET /case HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()),
        ends("the preface of HTTP/2 in the clear", super::frames::PREFACE.to_vec()),
        ends("a greeting of SSH", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ends("garbage", (0..=255).collect()),
        ends("zeros", vec![0; 1000]),
        ends("a record of 65,535 bytes", [&[HANDSHAKE, 3, 1, 0xff, 0xff][..], &[1; 20_000]].concat()),
        ends("data before a hello", record(APPLICATION_DATA, 0x0303, b"GET / HTTP/1.1\r\n\r\n")),
        ends("an alert before a hello", record(super::hello::ALERT, 0x0303, &[2, 40])),
        ends("a server's hello", record(HANDSHAKE, 0x0303, &message(2, &[3; 70]))),
        ends("a hello of one byte", record(HANDSHAKE, 0x0301, &message(1, &[3]))),
        ends("a hello that says less than it has", {
            let mut bytes = hello();
            bytes[8] -= 1;
            bytes
        }),
        ends("a hello twice", [hello(), hello()].concat()),
        ends("garbage behind a hello", [hello(), vec![0x5a; 100]].concat()),
        ends("a request in the clear behind a hello", [hello(), b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()].concat()),
        Case::new("a hello to the entrance without TLS is refused there", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(hello());
            client.read_to_end();
            let text = String::from_utf8_lossy(&client.bytes).into_owned();
            (!client.is_open() && (text.is_empty() || text.starts_with("HTTP/1.1 400 "))).then_some(()).ok_or(text)
        }),
        Case::new("a client that leaves in its hello leaves nothing", |stage| {
            stage.begin(None);
            let memory = stage.resident_mib();
            for length in (1..hello().len()).step_by(3) {
                let mut client = stage.connect_https();
                client.send(&hello()[..length]);
            }
            let grown = stage.resident_mib().saturating_sub(memory);
            (grown < 16).then_some(()).ok_or_else(|| format!("{grown} MiB more"))
        }),
        Case::new("a client that closes its side in its hello is not waited for", |stage| {
            stage.begin(None);
            let (mut client, begun) = (stage.connect_https(), Instant::now());
            client.send(&hello()[..20]);
            client.half_close();
            client.read_to_end();
            let is_so = !client.is_open() && begun.elapsed() < Duration::from_millis(700);
            is_so.then_some(()).ok_or_else(|| format!("open: {} after {:?}", client.is_open(), begun.elapsed()))
        }),
    ]
}

fn slow() -> Vec<Case> {
    vec![
        late("a hello that never comes", |_| {}),
        late("a hello that stops", |client| _ = client.send(&Hello::named("a.test").bytes()[..30])),
        late("a record that stops in its length", |client| _ = client.send([HANDSHAKE, 3, 1])),
        late("a hello byte by byte without end", |client| {
            let mut client = client.again();
            let bytes = Hello::named("a.test").with(0x5a5a, vec![0; 10_000]).bytes();
            std::thread::spawn(move || client.drip(bytes, Duration::from_millis(100)));
        }),
        late("a handshake that stops at the server's hello", |client| _ = client.send(Hello::named("a.test").bytes())),
        late("a handshake of TLS 1.3 that stops there", |client| {
            let mut tls = begin("a.test", &Arc::new(config(rustls::DEFAULT_VERSIONS, &[])));
            let _ = tls.write_tls(&mut client.stream);
        }),
        Case::new("slow handshakes hold nobody up", |stage| {
            stage.begin(None);
            let waiting: Vec<Client> = (0..100)
                .map(|number| {
                    let mut client = stage.connect_https();
                    let hello = Hello::named("a.test").bytes();
                    client.send(if number % 2 == 0 { &hello[..] } else { &hello[..30] });
                    client
                })
                .collect();
            let begun = Instant::now();
            let outcome = stage.talk_on(offering(stage, "a.test", &[])?, super::case::get("").as_bytes())?;
            let (time, statuses) = (begun.elapsed(), super::case::statuses(&outcome.answers));
            drop(waiting);
            (statuses == [200, 200] && time < Duration::from_millis(700))
                .then_some(())
                .ok_or_else(|| format!("{statuses:?} after {time:?}"))
        }),
    ]
}

fn says(name: &str, bytes: Vec<u8>, is_so: impl Fn(Word) -> bool + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let mut client = stage.connect_https();
        client.send(&bytes);
        is_word(&mut client, &is_so)
    })
}

fn is_word(client: &mut Client, is_so: impl Fn(Word) -> bool) -> Result<(), String> {
    let word = word(client);
    is_so(word).then_some(()).ok_or_else(|| format!("{word:?}"))
}

fn taken(name: &str, hello: &Hello) -> Case {
    says(name, hello.bytes(), |word| word == Word::Hello)
}

/// The connection ends with this alert.
fn refused(name: &str, alert: u8, hello: &Hello) -> Case {
    let bytes = hello.bytes();
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let mut client = stage.connect_https();
        client.send(&bytes);
        is_word(&mut client, |word| word == Word::Alert(alert))?;
        client.read_to_end();
        (!client.is_open()).then_some(()).ok_or_else(|| "left open".into())
    })
}

/// The connection ends, with an alert or without.
fn refused_somehow(name: &str, bytes: &[u8]) -> Case {
    ends(name, bytes.to_vec())
}

/// Nothing of this comes to a handshake, nor to the app, and the connection ends at once or when its time is up.
fn ends(name: &str, bytes: Vec<u8>) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let (mut client, begun) = (stage.connect_https(), Instant::now());
        client.send(&bytes);
        client.read_to_end();
        let is_clear = find(&client.bytes, b"HTTP/").is_some();
        if client.is_open() || is_clear || begun.elapsed() > LATE {
            return Err(format!("open: {}, in the clear: {is_clear}, after {:?}", client.is_open(), begun.elapsed()));
        }
        stage.sent()?.is_empty().then_some(()).ok_or_else(|| "the origin got a request".into())
    })
}

/// As [`ends`], or taken for a hello; the memory stays.
fn bounded(name: &str, bytes: fn() -> Vec<u8>) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let (memory, mut client) = (stage.resident_mib(), stage.connect_https());
        client.send(bytes());
        is_word(&mut client, |word| !matches!(word, Word::Silence | Word::Nonsense))?;
        let grown = stage.resident_mib().saturating_sub(memory);
        (grown < 16).then_some(()).ok_or_else(|| format!("{grown} MiB more"))
    })
}

/// The connection ends when its time is up.
fn late(name: &str, play: impl Fn(&mut Client) + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let (mut client, begun) = (stage.connect_https(), Instant::now());
        play(&mut client);
        client.read_to_end();
        let is_so = !client.is_open() && begun.elapsed() < LATE;
        is_so.then_some(()).ok_or_else(|| format!("open: {} after {:?}", client.is_open(), begun.elapsed()))
    })
}

/// The hello is taken and this certificate shown.
fn shows(name: &str, wanted: Shown, hello: &Hello) -> Case {
    let bytes = hello.bytes();
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let mut client = stage.connect_https();
        client.send(&bytes);
        let flight = read_flight(&mut client);
        let has: Vec<bool> = stage.certificates.iter().map(|certificate| find(flight, certificate).is_some()).collect();
        let is_so = match wanted {
            Shown::Own(number) => (0..has.len()).all(|at| has[at] == (at == number)),
            Shown::Stopgap => !flight.is_empty() && flight[0] == HANDSHAKE && !has.contains(&true),
        };
        is_so.then_some(()).ok_or_else(|| format!("certificates {has:?} in {} bytes", flight.len()))
    })
}
