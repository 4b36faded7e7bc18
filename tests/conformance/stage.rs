//! What a group of cases plays on: the real `mini proxy`, apps of its own behind it, and a judge over both.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::client::{Answer, Client, End, PATIENCE};
use super::judge::{self, Sent};
use super::origin::{Origin, Script, Wire};
use super::rpc::Rpc;

/// The host that the origin answers for.
pub const HOST: &str = "a.test";

/// The names of each certificate. Other hosts are known and have none.
const NAMES: [&[&str]; 2] = [&["a.test", "*.wild.test"], &["other.test"]];

pub struct Stage {
    /// Where clients go: the proxy or, in the negative control, the origin itself.
    pub front: SocketAddr,
    /// Where clients of TLS go.
    pub https: SocketAddr,
    /// The certificates of [`NAMES`].
    pub certificates: Vec<CertificateDer<'static>>,
    pub origin: Origin,
    pub rpc: Rpc,
    /// How long its clients wait.
    patience: Duration,
    proxy: Option<Child>,
    _folder: Option<tempfile::TempDir>,
}

/// What came of the bytes of a case.
pub struct Outcome {
    pub end: End,
    pub answers: Vec<Answer>,
    /// What the origin got, but for the requests that the stage itself puts behind.
    pub sent: Vec<Sent>,
}

/// A request that ends its connection.
const LAST: &str = "GET /after HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

// === impl Stage ===

impl Stage {
    /// Starts the proxy, with these flags too.
    pub fn start_with(flags: &[&str]) -> Stage {
        let (origin, rpc, folder) = (Origin::start(), Rpc::start(), tempfile::tempdir().unwrap());
        let routes = folder.path().join("routes");
        std::fs::write(&routes, routes_to(origin.address, rpc.address)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
        command.args(["proxy", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--routes"]).arg(&routes).args(flags);
        let certificates = NAMES.map(|names| show(&mut command, folder.path(), names)).into();
        let mut proxy = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
        let [front, https] = ["http ", "https "].map(|entrance| {
            let line = lines.next().expect("it says where it listens").unwrap();
            line.strip_prefix(entrance).expect("it says where it listens").parse().unwrap()
        });
        Stage { front, https, certificates, origin, rpc, patience: PATIENCE, proxy: Some(proxy), _folder: Some(folder) }
    }

    /// The negative control: nothing stands before the origin.
    pub fn without_proxy() -> Stage {
        let (origin, rpc) = (Origin::start(), Rpc::start());
        let (front, patience) = (origin.address, Duration::from_millis(60));
        Stage { front, https: front, certificates: Vec::new(), origin, rpc, patience, proxy: None, _folder: None }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.front, self.patience)
    }

    /// Connects where TLS is spoken, and says nothing yet.
    pub fn connect_https(&self) -> Client {
        Client::connect(self.https, self.patience)
    }

    /// Sends the bytes, and a last request behind them; returns what came of it. Dirt is an error.
    pub fn talk(&self, bytes: &[u8]) -> Result<Outcome, String> {
        self.talk_on(self.connect(), bytes)
    }

    /// As [`Self::talk`], on this connection.
    pub fn talk_on(&self, mut client: Client, bytes: &[u8]) -> Result<Outcome, String> {
        client.send(bytes);
        client.send(LAST);
        let (end, answers) = (client.read_to_end(), client.answers());
        let asks = |answer: &Answer| answer.header("x-target").is_some_and(|target| target.contains("smuggled"));
        if answers.iter().any(asks) {
            return Err("SMUGGLED: the client got an answer to what was a body".into());
        }
        Ok(Outcome { end, answers, sent: self.sent()? })
    }

    /// Begins a case: what was heard before is forgotten.
    pub fn begin(&self, script: Option<Script>) {
        self.origin.begin(script);
    }

    /// Returns the requests that the origin got in this case.
    pub fn sent(&self) -> Result<Vec<Sent>, String> {
        let mut all = Vec::new();
        for wire in self.origin.wires() {
            all.extend(judge::requests(&wire.bytes)?);
        }
        all.retain(|sent| !sent.target.starts_with("/after"));
        Ok(all)
    }

    /// After any case, the next client is served, and gets its own answer.
    pub fn settle(&self) -> Result<(), String> {
        let mut client = self.connect();
        client.send(LAST);
        client.read_to_end();
        match client.answers().first() {
            Some(answer) if answer.status == 200 && answer.text() == "/after" => Ok(()),
            other => Err(format!("the next client got {other:?}")),
        }
    }

    /// Returns the memory that the proxy has, in MiB.
    pub fn resident_mib(&self) -> usize {
        let proxy = self.proxy.as_ref().expect("there is a proxy");
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
    }

    /// Waits until the origin saw what is wanted.
    pub fn eventually(&self, what: &str, is_so: impl Fn(&[Wire]) -> bool) -> Result<(), String> {
        let is_so = self.origin.eventually(PATIENCE, is_so);
        is_so.then_some(()).ok_or_else(|| format!("the origin never saw this: {what}"))
    }
}

/// The file of routes: hosts that are as usual, and hosts with settings.
fn routes_to(origin: SocketAddr, rpc: SocketAddr) -> String {
    format!(
        "{HOST} {origin}
        other.test {origin}
        xn--bcher-kva.test {origin}
        dead.test 127.0.0.1:1
        small.test {origin} body-limit=1K
        empty.test {origin} body-limit=0
        rpc.test {rpc} protocol=h2c
        small-rpc.test {rpc} protocol=h2c body-limit=1K
        hasty.test {rpc} protocol=h2c first-byte=1s
        old.test {origin} protocol=h2c"
    )
}

/// Lets the proxy show a certificate that is issued by itself.
fn show(command: &mut Command, folder: &Path, names: &[&str]) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let [certificate, key] = ["pem", "key"].map(|end| folder.join(format!("{}.{end}", names[0])));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    command.arg("--certificate").arg(certificate).arg("--key").arg(key);
    made.cert.der().clone()
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
    }
}
