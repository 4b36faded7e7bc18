//! Requests as the owner of an app sees them: a line for each in the log, figures for `top` and for Prometheus.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, eventually};

/// A server with the app `blog`, and where its figures are.
fn with_app() -> (Mini, SocketAddr) {
    let mini = Mini::start_with(&["--metrics", "127.0.0.1:0"]);
    let metrics = mini.said.iter().find_map(|line| line.trim().strip_prefix("metrics")?.trim().parse().ok()).expect("it says where");
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    (mini, metrics)
}

fn router_lines(mini: &Mini, more: &[&str]) -> Vec<String> {
    let said = mini.local(&[&["logs", "blog", "-s", "router"], more].concat()).ok();
    said.stdout.lines().map(str::to_owned).collect()
}

/// Waits for the one line of a path.
#[track_caller]
fn line_of(mini: &Mini, path: &str) -> String {
    let path = format!("path=\"{path}\"");
    eventually(&path, || router_lines(mini, &[]).into_iter().find(|line| line.contains(&path)))
}

fn scrape(metrics: SocketAddr) -> String {
    let mut stream = TcpStream::connect(metrics).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("text/plain; version=0.0.4"), "{text}");
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Returns a count.
#[track_caller]
fn sample(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn requests(metrics: SocketAddr, class: &str) -> u64 {
    sample(&scrape(metrics), &format!("mini_http_requests_total{{app=\"blog\",class=\"{class}\"}}"))
}

#[test]
fn each_request_is_a_line_within_a_second_with_its_id_and_why_the_app_did_not_answer() {
    let (mini, _) = with_app();

    let answer = mini.get("blog", "/index.html?token=s3cret");
    let asked = Instant::now();
    let line = line_of(&mini, "/index.html");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(line.contains(" mini[router]: method=GET path=\"/index.html\" host=blog.localhost request_id="), "{line}");
    assert!(line.contains(" fwd=\"127.0.0.1\" release=v1 upstream=") && !line.contains("s3cret") && !line.contains("error="), "{line}");
    assert!(line.ends_with(&format!(" status=200 received=0 bytes={}", answer.body.len())), "{line}");
    let id = answer.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("the answer has the id");
    assert!(line.contains(&format!(" request_id={id} ")), "{line}, and not {id}");

    mini.get("blog", "/missing");
    assert!(line_of(&mini, "/missing").contains(" status=404 "));
    let refused = mini.get_host("blog.localhost", "ftp://blog.localhost/refused");
    let line = line_of(&mini, "/refused");
    assert!(line.contains(&format!(" status={} ", refused.status)) && line.contains(" error=\""), "{line}");

    mini.local(&["ps:stop", "blog"]).ok();
    assert_eq!(mini.get("blog", "/stopped").status, 503);
    let line = line_of(&mini, "/stopped");
    assert!(line.contains(" status=503 ") && line.contains(" error=\"") && !line.contains("upstream="), "{line}");
    assert!(router_lines(&mini, &["-p", "web"]).is_empty());
    assert!(mini.local(&["logs", "blog", "-s", "release"]).ok().stdout.lines().all(|line| !line.contains("router")));
    mini.finish();
}

#[test]
fn figures_count_each_request_once_and_top_shows_them() {
    let (mini, metrics) = with_app();
    let before = requests(metrics, "2xx");

    for _ in 0..20 {
        assert_eq!(mini.get("blog", "/index.html").status, 200);
    }
    mini.get("blog", "/missing");

    eventually("all to be counted", || (requests(metrics, "2xx") >= before + 20).then_some(()));
    let text = scrape(metrics);
    assert_eq!(sample(&text, "mini_http_requests_total{app=\"blog\",class=\"2xx\"}"), before + 20);
    assert!(sample(&text, "mini_http_requests_total{app=\"blog\",class=\"4xx\"}") >= 1);
    assert_eq!(sample(&text, "mini_http_failures_total{app=\"blog\"}"), 0);
    assert_eq!(sample(&text, "mini_app_up{app=\"blog\"}"), 1);
    assert_eq!(
        sample(&text, "mini_http_time_to_first_byte_seconds_bucket{app=\"blog\",le=\"+Inf\"}"),
        sample(&text, "mini_http_time_to_first_byte_seconds_count{app=\"blog\"}")
    );
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
    }

    let rows: serde_json::Value = serde_json::from_str(&mini.local(&["top", "blog", "--json"]).ok().stdout).unwrap();
    assert!(rows[0]["requests"].as_u64().unwrap() >= 21 && rows[0]["p99_us"].as_u64().unwrap() > 0, "{rows}");
    let shown = mini.anna.ssh(mini.ssh, "top").ok().stdout;
    assert!(shown.starts_with("APP ") && shown.contains("REQ/S") && shown.contains("\nblog "), "{shown}");
    mini.finish();
}

#[test]
fn a_flood_loses_no_request_and_takes_no_other_line_away() {
    const CLIENTS: usize = 8;
    const EACH: usize = 2_000;
    let (mini, metrics) = with_app();
    mini.local(&["ps:stop", "blog"]).ok();
    let before = requests(metrics, "5xx");
    let request = "GET /flood HTTP/1.1\r\nHost: blog.localhost\r\n\r\n";

    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = std::io::BufReader::new(TcpStream::connect(mini.http).unwrap());
                for _ in 0..EACH {
                    stream.get_mut().write_all(request.as_bytes()).unwrap();
                    read_answer(&mut stream);
                }
            });
        }
    });

    let all = (CLIENTS * EACH) as u64;
    eventually("all to be counted", || (requests(metrics, "5xx") - before >= all).then_some(()));
    let text = scrape(metrics);
    let lost = sample(&text, "mini_access_lines_lost_total{app=\"blog\"}");
    let lines = || router_lines(&mini, &["-n", "100000"]).iter().filter(|line| line.contains("/flood")).count() as u64;
    eventually("a line for each that was not counted as left out", || (lines() + lost >= all).then_some(()));
    let said = mini.local(&["logs", "blog", "-s", "release"]).ok().stdout;
    assert!(said.contains("v1 is live"), "the flood took it away: {said}");
    mini.finish();
}

/// Reads an answer that says its length.
fn read_answer(stream: &mut impl std::io::BufRead) {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the proxy hung up");
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).unwrap();
}

#[test]
fn figures_are_not_told_where_the_world_could_ask() {
    let mini = Mini::unstarted(&["--metrics", "0.0.0.0:0"]);

    let said = mini.server_command().output().unwrap();

    assert_eq!(said.status.code(), Some(78));
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("--metrics `0.0.0.0:0` may be reached by the world"), "{text}");
}
