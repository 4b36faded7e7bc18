//! `mini proxy`: the proxy alone, before addresses that a file names. For benchmarks, for tests of the proxy itself, and in front of what mini does not run.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access_file;
use super::listen::{Inherited, address_of};
use super::routes_file;
use super::setup::{say, start_logging};
use super::stop;
use crate::command::{Look, render_error};
use crate::config::{Listen, Span, parse_private};
use crate::error::{Error, Result};
use crate::model::{AddressRange, Edge, limits};
use crate::proxy::{Proxy, TrustedProxies, serve_metrics};
use crate::route::{Certificate, Routes};

// Help texts are for a terminal: no backticks in them.
#[allow(clippy::doc_markdown)]
/// Runs the proxy alone, until SIGTERM or SIGINT
#[derive(Parser)]
#[command(name = "mini proxy", version, term_width = 80, after_help = AFTER)]
struct Line {
    /// Where it listens, as 127.0.0.1:8080 or :8080; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = ":80")]
    http: String,
    /// Where it listens for TLS
    #[arg(long, value_name = "ADDR", requires = "certificate")]
    https: Option<String>,
    /// A certificate and what leads to its root, in PEM; one for each --key
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Vec<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Vec<PathBuf>,
    /// The routes
    #[arg(long, value_name = "FILE")]
    routes: PathBuf,
    /// Connections that one client address may have at once; 0: any number
    #[arg(long, value_name = "N", default_value_t = limits::CLIENT_CONNECTIONS_PER_ADDRESS)]
    per_address: usize,
    /// Proxies before this one, as 10.0.0.0/8,2001:db8::1, whose X-Forwarded headers are believed
    #[arg(long, value_name = "IPS", value_delimiter = ',')]
    trusted_proxies: Vec<AddressRange>,
    /// Where a line of each request goes: a file, or - for stdout; default: nowhere
    #[arg(long, value_name = "FILE|-")]
    access_log: Option<PathBuf>,
    /// Where figures are told to Prometheus, at /metrics of a private address
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// How long peers may owe bytes: tests cannot wait for the real limits
    #[arg(long, value_name = "TIME", hide = true)]
    patience: Option<Span>,
}

const AFTER: &str = "A line of the file is a host and an address, and what apps:set would say, as in
  blog.example.com 127.0.0.1:3000
  rpc.example.com 127.0.0.1:50051 protocol=h2c body-limit=10MiB first-byte=5s
A host with several lines has several upstreams and the same settings in each;
# begins a comment. Requests are judged, forwarded and answered as apps' are;
nothing else of mini runs.";

/// Runs `mini proxy` and returns the exit code: 0, 2 for wrong flags, 78 for the address or the file.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    let line = match Line::try_parse_from(std::iter::once("mini proxy".to_owned()).chain(words.iter().cloned())) {
        Ok(line) => line,
        Err(err) => {
            // Help goes to stdout with code 0, wrong flags to stderr with code 2.
            let _ = err.print();
            return u8::try_from(err.exit_code()).unwrap_or(2);
        }
    };
    start_logging();
    match run(&line) {
        Ok(()) => 0,
        Err(err) => {
            let _ = write!(std::io::stderr(), "{}", render_error(&err, &Look::default()));
            err.exit_code()
        }
    }
}

fn run(line: &Line) -> Result<()> {
    let (routes, mut proxy) = proxy_of(line)?;
    let listen = Listen::parse("http", Some(&line.http), 80)?;
    let https = line.https.as_deref().map(|text| Listen::parse("https", Some(text), 443)).transpose()?;
    let metrics = line.metrics.as_deref().map(|text| parse_private("metrics", text)).transpose()?;
    let access_log = line.access_log.as_deref().map(access_file::open).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::setup("the runtime could not start").because(err))?;
    runtime.block_on(async {
        let (tasks, served) = (TaskTracker::new(), CancellationToken::new());
        if let Some(file) = access_log {
            tasks.spawn(access_file::write(routes.access().read(), file, served.clone()));
        }
        let mut inherited = Inherited::from_env();
        let metrics = metrics.map(|listen| inherited.take_or_bind("metrics", &listen)).transpose()?;
        let http = inherited.take_or_bind("http", &listen)?;
        say(&format!("http {}", address_of(&http)?));
        if let Some(listen) = https {
            let listener = inherited.take_or_bind("https", &listen)?;
            say(&format!("https {}", address_of(&listener)?));
            proxy = proxy.with_https(listener)?;
        }
        if let Some(listener) = metrics {
            say(&format!("metrics {}", address_of(&listener)?));
            tasks.spawn(serve_metrics(routes, listener, served.clone()));
        }
        let ended = serve(proxy, http).await;
        served.cancel();
        tasks.close();
        tasks.wait().await;
        ended
    })
}

fn proxy_of(line: &Line) -> Result<(Routes, Proxy)> {
    let first_byte = line.patience.map_or(Edge::default().first_byte, |Span(patience)| Some(patience));
    let routes = routes_file::read(&line.routes, &Edge { first_byte, ..Edge::default() })?;
    routes.certificates().publish(certificates(line)?);
    let mut proxy =
        Proxy::new(routes.clone()).with_connections_per_address(line.per_address).with_trusted(TrustedProxies::new(&line.trusted_proxies));
    if let Some(Span(patience)) = line.patience {
        proxy = proxy.with_patience(patience);
    }
    Ok((routes, proxy))
}

async fn serve(proxy: Proxy, listener: TcpListener) -> Result<()> {
    let mut signals = stop::Signals::listen()?;
    let shutdown = CancellationToken::new();
    let mut serving = std::pin::pin!(proxy.serve(listener, shutdown.clone()));
    tokio::select! {
        served = &mut serving => return served,
        _ = signals.next() => shutdown.cancel(),
    }
    tokio::select! {
        served = serving => served,
        _ = signals.next() => Ok(()),
    }
}

/// Reads the certificates, each for all the names that it stands for.
fn certificates(line: &Line) -> Result<Vec<(String, Certificate)>> {
    if line.certificate.len() != line.key.len() {
        return Err(Error::setup("each --certificate has a --key, in the same order"));
    }
    let mut named = Vec::new();
    for (chain, key) in line.certificate.iter().zip(&line.key) {
        let text = |path: &Path| {
            std::fs::read_to_string(path).map_err(|err| Error::setup(format!("{} cannot be read: {err}", path.display())).because(err))
        };
        let certificate = Certificate::parse(&text(chain)?, &text(key)?)
            .map_err(|err| Error::setup(format!("--certificate {}: {err}", chain.display())).because(err))?;
        named.extend(certificate.names().iter().map(|name| (name.clone(), certificate.clone())));
    }
    Ok(named)
}
