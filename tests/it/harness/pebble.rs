//! A certificate authority on loopback: Debian's `pebble`, with a DNS by which every name leads here.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{eventually, get_https};

/// An authority that may be away. It ends when dropped.
pub struct Pebble {
    folder: tempfile::TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    dns: SocketAddr,
    running: Vec<Child>,
}

/// Where the authority looks for proofs.
pub struct Looks {
    pub http_port: u16,
    pub tls_port: u16,
}

impl Pebble {
    /// Takes addresses, and starts nothing yet: the server that is to be looked at needs to know them first.
    pub fn new() -> Self {
        let ensure = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ensure-packages");
        assert!(Command::new(ensure).arg("pebble").status().unwrap().success(), "there is no pebble");
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path());
        Pebble { folder, directory: free(), management: free(), dns: free(), running: Vec::new() }
    }

    /// The flags by which a server orders here, without waiting between two orders.
    pub fn flags(&self) -> Vec<String> {
        let directory = format!("https://{}/dir", self.directory);
        let ca = self.ca().display().to_string();
        ["--acme", "on", "--acme-directory", &directory, "--acme-ca", &ca, "--acme-pause", "250ms"].map(str::to_owned).into()
    }

    /// Starts the authority, which has forgotten everything, its root too.
    pub fn start(&mut self, looks: &Looks) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": self.directory, "managementListenAddress": self.management,
            "certificate": file("own.pem"), "privateKey": file("own.key"),
            "httpPort": looks.http_port, "tlsPort": looks.tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": 90 * 24 * 60 * 60,
        }});
        std::fs::write(file("config.json"), config.to_string()).unwrap();
        let mut dns = Command::new("pebble-challtestsrv");
        dns.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        dns.args(["-dns01", &self.dns.to_string(), "-management", &free().to_string()]);
        let mut authority = Command::new("pebble");
        authority.args(["-config", &file("config.json"), "-dnsserver", &self.dns.to_string()]);
        // At once instead of after some seconds; some nonces are refused, as the world's authorities do.
        authority.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "5");
        for mut command in [dns, authority] {
            let log = std::fs::OpenOptions::new().create(true).append(true).open(file("log")).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            self.running.push(command.spawn().unwrap());
        }
        for address in [self.dns, self.directory, self.management] {
            eventually("the authority to listen", || TcpStream::connect(address).ok());
        }
    }

    pub fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The root of what it issues, in PEM.
    pub fn root(&self) -> String {
        let (answer, _) = get_https(self.management, "localhost", "/roots/0", &std::fs::read_to_string(self.ca()).unwrap()).unwrap();
        answer.body
    }

    /// What it and its DNS said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody has, for TCP and UDP.
fn free() -> SocketAddr {
    let both = || {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        UdpSocket::bind(address).ok().map(|_| address)
    };
    eventually("a free port", both)
}

/// Makes the certificate by which the authority's own server is known, and the root of that.
fn make_certificates(folder: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "root of a test");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(folder.join("own.pem"), own.pem()).unwrap();
    std::fs::write(folder.join("own.key"), key.serialize_pem()).unwrap();
}
