//! What the proxy counts, in the text format of Prometheus (version 0.0.4), for a scraper on a private address.

use std::convert::Infallible;
use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::AppName;
use crate::model::limits::{HEAD_TIMEOUT, SCRAPERS};
use crate::route::{Reading, Routes};

/// A scraper that takes longer has lost interest.
const SCRAPE_TIME: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Serves `/metrics` on `listener` until `shutdown`.
pub async fn serve_metrics(routes: Routes, listener: TcpListener, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) if tasks.len() < SCRAPERS => drop(tasks.spawn(converse(routes.clone(), stream, shutdown.clone()))),
            Ok(_) => {}
            Err(err) => {
                tracing::debug!(error = %err, "a scraper could not come in");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(routes: Routes, stream: TcpStream, shutdown: CancellationToken) {
    let service = service_fn(|request| {
        let answer = answer(&routes, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let conn = Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = timeout(SCRAPE_TIME, conn) => {}
        () = shutdown.cancelled() => {}
    }
}

fn answer(routes: &Routes, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_known = request.uri().path() == "/metrics" && [Method::GET, Method::HEAD].contains(request.method());
    let (status, kind, text) = if is_known {
        (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", told(routes))
    } else {
        (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "GET /metrics\n".to_owned())
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// One app at one moment.
struct Seen {
    app: AppName,
    is_up: bool,
    reading: Reading,
}

/// All metrics as text.
fn told(routes: &Routes) -> String {
    let all = routes.metered().into_iter();
    let all: Vec<Seen> = all.map(|app| Seen { reading: app.meter.read(), app: app.app, is_up: app.is_up }).collect();
    let mut page = Page::default();
    page.family("mini_build_info", "gauge", "Which mini this is; always 1.");
    page.sample("mini_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.family("mini_time_seconds", "gauge", "The server's clock.");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    page.sample("mini_time_seconds", &[], format_args!("{:.3}", now.as_secs_f64()));
    page.per_app("mini_app_up", "gauge", "Whether requests to the app go to a release.", &all, |seen| u64::from(seen.is_up));
    page.requests(&all);
    page.per_app(
        "mini_http_failures_total",
        "counter",
        "Requests answered with 502, 503 or 504 in the app's place, and answers that it cut.",
        &all,
        |seen| seen.reading.traffic.failed,
    );
    page.latency(&all);
    let of = |read: fn(&Reading) -> u64| move |seen: &Seen| read(&seen.reading);
    page.per_app("mini_http_requests_in_flight", "gauge", "Requests under way, websockets among them.", &all, of(|seen| seen.in_flight));
    page.per_app("mini_websockets_open", "gauge", "Websockets that are open.", &all, of(|seen| seen.websockets));
    page.per_app("mini_http_received_bytes_total", "counter", "Bytes of requests' bodies.", &all, of(|seen| seen.received_bytes));
    page.per_app("mini_http_sent_bytes_total", "counter", "Bytes of answers' bodies.", &all, of(|seen| seen.sent_bytes));
    page.per_app("mini_access_lines_lost_total", "counter", "Access lines that were left out.", &all, of(|seen| seen.lost_lines));
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

// === impl Page ===

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(&value.to_string()));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn per_app(&mut self, name: &str, kind: &str, help: &str, all: &[Seen], value: impl Fn(&Seen) -> u64) {
        self.family(name, kind, help);
        for seen in all {
            self.sample(name, &[("app", &seen.app)], value(seen));
        }
    }

    fn requests(&mut self, all: &[Seen]) {
        let name = "mini_http_requests_total";
        self.family(name, "counter", "Requests that ended, by the hundreds of their status; 499, a client that left, is of 4xx.");
        for seen in all {
            for (class, count) in CLASSES.iter().zip(seen.reading.classes) {
                self.sample(name, &[("app", &seen.app), ("class", class)], count);
            }
        }
    }

    fn latency(&mut self, all: &[Seen]) {
        let name = "mini_http_time_to_first_byte_seconds";
        self.family(name, "histogram", "From a request's head to its answer's.");
        for Seen { app, reading, .. } in all {
            let (bucket, count) = (format!("{name}_bucket"), reading.latency.count());
            for (end, within) in reading.latency.cumulated() {
                self.sample(&bucket, &[("app", app), ("le", &end.as_secs_f64())], within);
            }
            self.sample(&bucket, &[("app", app), ("le", &"+Inf")], count);
            self.sample(&format!("{name}_sum"), &[("app", app)], reading.latency.sum().as_secs_f64());
            self.sample(&format!("{name}_count"), &[("app", app)], count);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AppId;
    use crate::route::Ended;

    #[test]
    fn what_was_counted_is_told_for_each_app() {
        let routes = Routes::new(None).unwrap();
        routes.add_app("shop".parse().unwrap(), AppId::random());
        routes.add_app("blog".parse().unwrap(), AppId::random());
        let blog = &routes.metered()[0].meter;
        for (status, millis) in [(200, 3), (204, 700), (503, 90_000)] {
            blog.begun();
            blog.ended(&Ended { status, first_byte: Some(Duration::from_millis(millis)), received_bytes: 1, sent_bytes: 10 });
        }
        blog.failed();
        blog.begun();

        let text = told(&routes);

        for line in [
            "# TYPE mini_http_requests_total counter",
            "mini_http_requests_total{app=\"blog\",class=\"2xx\"} 2",
            "mini_http_requests_total{app=\"blog\",class=\"5xx\"} 1",
            "mini_http_requests_total{app=\"shop\",class=\"2xx\"} 0",
            "mini_http_failures_total{app=\"blog\"} 1",
            "mini_http_time_to_first_byte_seconds_bucket{app=\"blog\",le=\"0.0005\"} 0",
            "mini_http_time_to_first_byte_seconds_bucket{app=\"blog\",le=\"0.004\"} 1",
            "mini_http_time_to_first_byte_seconds_bucket{app=\"blog\",le=\"65.536\"} 2",
            "mini_http_time_to_first_byte_seconds_bucket{app=\"blog\",le=\"+Inf\"} 3",
            "mini_http_time_to_first_byte_seconds_sum{app=\"blog\"} 90.703",
            "mini_http_time_to_first_byte_seconds_count{app=\"blog\"} 3",
            "mini_http_requests_in_flight{app=\"blog\"} 1",
            "mini_http_sent_bytes_total{app=\"blog\"} 30",
            "mini_app_up{app=\"blog\"} 0",
        ] {
            assert!(text.lines().any(|said| said == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();

        page.sample("a", &[("b", &"x\"y\\z\n"), ("c", &1)], 2);

        assert_eq!(page.text, "a{b=\"x\\\"y\\\\z\\n\",c=\"1\"} 2\n");
    }
}
